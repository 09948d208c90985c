/* A stack as one writes it in C without further thought: loops over rows of weights, libm. */
#include "contestant.h"

#include <math.h>
#include <string.h>

#define WIDEST (INPUTS > UNITS ? INPUTS : UNITS)

static struct {
    float w_ih[GATES * UNITS * WIDEST], w_hh[GATES * UNITS * UNITS];
    float b_ih[GATES * UNITS], b_hh[GATES * UNITS];
    float h[UNITS], c[UNITS];
} layers[LAYERS];

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

static void product(
    float *restrict y, const float *restrict w, const float *restrict x, const float *restrict b, int columns
) {
    for (int i = 0; i < GATES * UNITS; i++) {
        float sum = b[i];
        for (int k = 0; k < columns; k++) sum += w[i * columns + k] * x[k];
        y[i] = sum;
    }
}

static void layer_step(int l, const float *x) {
    float a[GATES * UNITS], u[GATES * UNITS], *h = layers[l].h, *c = layers[l].c;
    if (l == 0) product(a, layers[l].w_ih, x, layers[l].b_ih, INPUTS);
    else product(a, layers[l].w_ih, x, layers[l].b_ih, UNITS);
    product(u, layers[l].w_hh, h, layers[l].b_hh, UNITS);
    for (int i = 0; i < UNITS; i++) {
#if CELL == GRU
        float r = sigmoid(a[i] + u[i]), z = sigmoid(a[UNITS + i] + u[UNITS + i]);
        float n = tanhf(a[2 * UNITS + i] + r * u[2 * UNITS + i]);
        h[i] = (1.0f - z) * n + z * h[i];
        (void)c;
#else
        float in = sigmoid(a[i] + u[i]), forget = sigmoid(a[UNITS + i] + u[UNITS + i]);
        float g = tanhf(a[2 * UNITS + i] + u[2 * UNITS + i]);
        float out = sigmoid(a[3 * UNITS + i] + u[3 * UNITS + i]);
        c[i] = forget * c[i] + in * g;
        h[i] = out * tanhf(c[i]);
#endif
    }
}

static const float *take(float *to, const float *from, size_t count) {
    memcpy(to, from, count * sizeof(float));
    return from + count;
}

int load(const float *from) {
    for (int l = 0; l < LAYERS; l++) {
        from = take(layers[l].w_ih, from, GATES * UNITS * (l ? UNITS : INPUTS));
        from = take(layers[l].w_hh, from, GATES * UNITS * UNITS);
        from = take(layers[l].b_ih, from, GATES * UNITS);
        from = take(layers[l].b_hh, from, GATES * UNITS);
    }
    return 0;
}

void begin(void) {
    for (int l = 0; l < LAYERS; l++) {
        memset(layers[l].h, 0, sizeof layers[l].h);
        memset(layers[l].c, 0, sizeof layers[l].c);
    }
}

static void step(const float *x, float *y) {
    for (int l = 0; l < LAYERS; l++) {
        layer_step(l, x);
        x = layers[l].h;
    }
    memcpy(y, x, UNITS * sizeof(float));
}

void steps(size_t T, const float *x, float *y) {
    for (size_t t = 0; t < T; t++) step(x + t * INPUTS, y + t * UNITS);
}
