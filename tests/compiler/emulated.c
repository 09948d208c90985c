/* Runs an AArch64 kernel, which is linked with this program, on the memory of another process.
 *
 *     emulated TABLE FROM-TO...
 *
 * All arguments are hexadecimal addresses in that process: the kernel's argument, and the ranges that
 * may be written. Standard input is its /proc/self/mem. The ranges are reserved at the same addresses
 * here, and a block is fetched when the kernel first touches it, so that every pointer holds. At the
 * end the words that the kernel has changed go back, and no others: the process may have changed what
 * lies beside them meanwhile.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCK = 1 << 16, MOST = 1 << 14, OCCUPIED = 75 };

void kernel(void *table);

static struct range { char *from, *to; } ranges[MOST];
static struct block { char *now, *before; size_t size; } blocks[MOST];
static int reserved, fetched;

static void fail(int status, const char *what, const void *where) {
    fprintf(stderr, "%s at %p\n", what, where);
    _exit(status);
}

static void *map(char *where, size_t size, int rights) {
    return mmap(where, size, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void fetch(int signal, siginfo_t *info, void *context) {
    char *at = info->si_addr, *from = (char *)((uintptr_t)at & -(uintptr_t)BLOCK);
    struct range *r = ranges;
    struct block *b = blocks + fetched;
    (void)signal, (void)context;
    while (r < ranges + reserved && (at < r->from || at >= r->to)) r++;
    if (r == ranges + reserved || fetched == MOST) fail(1, "the kernel reached for memory", at);
    char *to = from + BLOCK < r->to ? from + BLOCK : r->to;
    from = from > r->from ? from : r->from;
    if (fetched && b[-1].now == from) fail(1, "the kernel jumped into data", at);
    *b = (struct block){from, map(0, to - from, PROT_READ | PROT_WRITE), to - from};
    mprotect(from, b->size, PROT_READ | PROT_WRITE);
    if (pread(0, from, b->size, (off_t)from) != (ssize_t)b->size) fail(1, "cannot read", from);
    memcpy(b->before, from, b->size);
    fetched++;
}

static void give_back(const struct block *b) {
    const uint32_t *now = (void *)b->now, *before = (void *)b->before;
    for (size_t from = 0, to, n = b->size / sizeof *now; from < n; from = to + 1) {
        for (to = from; to < n && now[to] != before[to];) to++;
        ssize_t size = (to - from) * sizeof *now;
        if (size && pwrite(0, now + from, size, (off_t)(now + from)) != size)
            fail(1, "cannot write", now + from);
    }
}

static uint64_t rounding_and_denormals(void) {
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
}

int main(int count, char **arguments) {
    for (; reserved < count - 2; reserved++) {
        char *rest, *from = (char *)strtoull(arguments[reserved + 2], &rest, 16);
        char *to = (char *)strtoull(rest + 1, 0, 16);
        if (reserved == MOST || map(from, to - from, PROT_NONE) != from) fail(OCCUPIED, "occupied", from);
        ranges[reserved] = (struct range){from, to};
    }
    struct sigaction action = {.sa_sigaction = fetch, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);

    uint64_t before = rounding_and_denormals();
    kernel((void *)strtoull(arguments[1], 0, 16));
    if (before != rounding_and_denormals()) fail(1, "the kernel has changed FPCR,", 0);

    for (int i = 0; i < fetched; i++)
        if (memcmp(blocks[i].now, blocks[i].before, blocks[i].size)) give_back(blocks + i);
    return 0;
}
