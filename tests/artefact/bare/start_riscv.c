/* How a RISC-V begins. */
#include "board.h"

void print(const char *text) { ask(4, text); }

__attribute__((used)) static void go(void) { run(); }

__attribute__((naked, section(".vectors"), used)) void start(void) {
    __asm__ volatile(
        "li sp, %0\n"
        "li t0, 0x6000\n csrs mstatus, t0\n" /* the floating-point unit is on */
        "j go" : : "i"(RAM + 0x10000));
}
