/* Runs an artefact named own with every array right before, or right behind, memory that may not be
 * touched: whoever reads or writes beyond its ends is ended. Compares with the test vector. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "own.h"
#include "own_vector.h"

static size_t page = 4096;

/* An array of so many bytes that ends, or begins, where a page does, between two forbidden ones. */
static void *guarded(size_t bytes, int at_end) {
    size_t room = (bytes + page - 1) / page * page;
    char *memory = mmap(0, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + page, room, PROT_READ | PROT_WRITE)) exit(3);
    memset(memory + page, 0xFF, room);
    return memory + page + (at_end ? room - bytes : 0);
}

static int run(int at_end) {
    const size_t in = OWN_INPUTS * sizeof(float), out = OWN_OUTPUTS * sizeof(float);
    own_state *state = guarded(sizeof *state, at_end);
    float *x = guarded(in, at_end), *y = guarded(out, at_end);
    float *many = guarded(OWN_TEST_STEPS * out, at_end), *all = guarded(sizeof own_test_x, at_end);
    int wrong = 0;
    memcpy(all, own_test_x, sizeof own_test_x);
    own_init(state);
    own_chunk(state, all, OWN_TEST_STEPS, many);
    own_reset(state);
    for (int t = 0; t < OWN_TEST_STEPS; t++) {
        memcpy(x, own_test_x[t], in);
        own_step(state, x, y);
        wrong += memcmp(y, many + t * OWN_OUTPUTS, out) != 0;
        for (int i = 0; i < OWN_OUTPUTS; i++) {
            float error = y[i] - (float)own_test_y[t][i];
            wrong += !(error < OWN_TEST_TOLERANCE && -error < OWN_TEST_TOLERANCE);
        }
    }
    return wrong;
}

int main(void) {
    int wrong = run(0) + run(1);
    if (wrong) fprintf(stderr, "%d wrong\n", wrong);
    return wrong != 0;
}
