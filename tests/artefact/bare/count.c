/* Prints the fewest and the most instructions of a step of an artefact named own, over steps with
 * numbers of all kinds. Takes qemu with -icount shift=10: an instruction takes 1,024 ns. */
#include "board.h"
#include "own.h"

#ifdef __riscv
static unsigned now(void) {
    unsigned count;
    __asm__ volatile("csrr %0, minstret" : "=r"(count));
    return count;
}

static unsigned instructions(unsigned from, unsigned to) { return (to - from) / 1024; }

static void begin(void) {}
#else
/* The timer of the board counts down, 25 million times a second. */
#define TIMER ((volatile unsigned *)0xE000E010)
static unsigned now(void) { return TIMER[2]; }

static unsigned instructions(unsigned from, unsigned to) {
    return (((from - to) & 0xFFFFFF) * 10 + 128) / 256;
}

static void begin(void) {
    TIMER[1] = 0xFFFFFF;
    TIMER[2] = 0;
    TIMER[0] = 5;
}
#endif

static void say(unsigned number) {
    char text[16];
    int i = 15;
    text[i] = 0;
    text[--i] = '\n';
    do text[--i] = '0' + number % 10;
    while (number /= 10);
    print(text + i);
}

static own_state state;
static float x[OWN_INPUTS], y[OWN_OUTPUTS];

int main(void) {
    /* Nothing, denormal numbers, small ones, usual ones, and such as no product of two has. */
    static const float kinds[] = {0, 1e-40f, 1e-30f, 1, 100, 1e30f, 1e38f};
    const int count = sizeof kinds / sizeof *kinds;
    unsigned seed = 1, fewest = -1u, most = 0;
    begin();
    for (int t = 0; t < 3 * count; t++) {
        if (t % 3 == 0) own_init(&state);
        for (int i = 0; i < OWN_INPUTS; i++) {
            seed = seed * 1664525u + 1013904223u;
            x[i] = kinds[t / 3] * ((int)(seed >> 8) - (1 << 23)) / (1 << 22);
        }
        unsigned before = now();
        own_step(&state, x, y);
        unsigned taken = instructions(before, now());
        if (taken < fewest) fewest = taken;
        if (taken > most) most = taken;
    }
    say(fewest);
    say(most);
    return 0;
}
