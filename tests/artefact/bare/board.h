/* What a board without an operating system has. */
int main(void);
void print(const char *text);

/* Asks the emulator to do something (semihosting). */
static inline void ask(unsigned operation, const void *argument) {
#ifdef __riscv
    register unsigned what __asm__("a0") = operation;
    register const void *with __asm__("a1") = argument;
    __asm__ volatile(
        ".balign 16\n .option push\n .option norvc\n"
        "slli zero, zero, 0x1f\n ebreak\n srai zero, zero, 7\n .option pop"
        : "+r"(what) : "r"(with) : "memory");
#else
    register unsigned what __asm__("r0") = operation;
    register const void *with __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(what) : "r"(with) : "memory");
#endif
}

/* Runs main, and ends the emulator with what it returns. */
static inline void run(void) {
    unsigned block[2] = {0x20026, 0}; /* the application exits, with a status */
    block[1] = main() != 0;
    ask(0x20, block); /* SYS_EXIT_EXTENDED */
    for (;;) {
    }
}
