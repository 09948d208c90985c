/* Runs main on a board without an operating system, and ends the emulator with what it returns. */
int main(void);

void run(void) {
    volatile unsigned block[2] = {0x20026, 0}; /* the application exits, with a status */
    block[1] = main() != 0;
    register unsigned operation __asm__("a0") = 0x20; /* SYS_EXIT_EXTENDED of semihosting */
    register volatile void *argument __asm__("a1") = block;
    __asm__ volatile(
        ".balign 16\n .option push\n .option norvc\n"
        "slli zero, zero, 0x1f\n ebreak\n srai zero, zero, 7\n .option pop"
        : : "r"(operation), "r"(argument) : "memory");
    for (;;) {
    }
}

__attribute__((naked, section(".vectors"), used)) void start(void) {
    __asm__ volatile(
        "li sp, %0\n"
        "li t0, 0x6000\n csrs mstatus, t0\n" /* the floating-point unit is on */
        "j run" : : "i"(RAM + 0x10000));
}
