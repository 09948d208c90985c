/* The little of Arduino's core that the sketch of docs/export.md uses. */
#pragma once

static const int A0 = 0;

inline int analogRead(int) { return 0; }
inline void delay(unsigned long) {}

struct Port {
  void begin(unsigned long) {}
  void println(float) {}
};
static Port Serial;
