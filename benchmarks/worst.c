/* Times a million steps of an artefact named own, one by one, and as often nothing at all. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "own.h"

enum { STEPS = 1000000 };
static double took[STEPS];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static long switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nivcsw;
}

static void run(const char *what, int steps) {
    static own_state state;
    static float x[OWN_INPUTS], y[OWN_OUTPUTS];
    long before = switches();
    own_init(&state);
    for (int t = 0; t < STEPS; t++) {
        for (int i = 0; i < OWN_INPUTS; i++) x[i] = (float)rand() / RAND_MAX - 0.5f;
        double begin = now();
        if (steps) own_step(&state, x, y);
        took[t] = now() - begin;
    }
    long interrupted = switches() - before;
    qsort(took, STEPS, sizeof *took, compare);
    printf("%s,%.3f,%.3f,%.3f,%.1f,%ld\n", what, took[STEPS / 2], took[STEPS / 100 * 99],
           took[STEPS / 10000 * 9999], took[STEPS - 1], interrupted);
}

int main(void) {
    run("nothing", 0);
    run("a step", 1);
    return 0;
}
