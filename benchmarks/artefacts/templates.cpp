/* A stack as libraries for audio plug-ins have it: sizes are template constants, weights lie in
 * aligned arrays column by column, the compiler makes vectors of the inner loops, and tanh is a
 * quotient of polynomials. */
#include "contestant.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace {

/* Lambert's continued fraction, cut off where numbers near 5 are good to four digits. */
inline float quick_tanh(float x) {
    x = std::min(std::max(x, -4.97f), 4.97f);
    const float s = x * x;
    return x * (135135 + s * (17325 + s * (378 + s))) / (135135 + s * (62370 + s * (3150 + s * 28)));
}

inline float quick_sigmoid(float x) { return 0.5f + 0.5f * quick_tanh(0.5f * x); }

/* Columns of a matrix, of which a block of BLOCK rows is added up at a time. */
template <int Columns, int Rows>
struct Matrix {
    static constexpr int block = Rows % BLOCK == 0 ? BLOCK : Rows;
    alignas(64) float weights[Rows / block][Columns][block];

    void load(const float *from) {
        for (int i = 0; i < Rows; i++)
            for (int k = 0; k < Columns; k++) weights[i / block][k][i % block] = from[i * Columns + k];
    }

    /* y += W x */
    void multiply(const float *__restrict x, float *__restrict y) const {
        for (int b = 0; b < Rows / block; b++) {
            alignas(64) float sums[block];
            for (int i = 0; i < block; i++) sums[i] = y[b * block + i];
            for (int k = 0; k < Columns; k++)
                for (int i = 0; i < block; i++) sums[i] += weights[b][k][i] * x[k];
            for (int i = 0; i < block; i++) y[b * block + i] = sums[i];
        }
    }
};

template <int Inputs, int Units>
struct Layer {
    static constexpr int rows = GATES * Units;
    Matrix<Inputs, rows> inputs;
    Matrix<Units, rows> states;
    alignas(64) float b_ih[rows], b_hh[rows], h[Units], c[Units];

    const float *load(const float *from) {
        inputs.load(from);
        from += rows * Inputs;
        states.load(from);
        from += rows * Units;
        std::copy_n(from, rows, b_ih);
        std::copy_n(from + rows, rows, b_hh);
        return from + 2 * rows;
    }

    void begin() {
        std::fill_n(h, Units, 0.0f);
        std::fill_n(c, Units, 0.0f);
    }

    void step(const float *x) {
        alignas(64) float a[rows], u[rows];
        std::copy_n(b_ih, rows, a);
#if CELL == GRU
        std::copy_n(b_hh, rows, u);
        inputs.multiply(x, a);
        states.multiply(h, u);
        for (int i = 0; i < Units; i++) {
            const float r = quick_sigmoid(a[i] + u[i]);
            const float z = quick_sigmoid(a[Units + i] + u[Units + i]);
            const float n = quick_tanh(a[2 * Units + i] + r * u[2 * Units + i]);
            h[i] = (1 - z) * n + z * h[i];
        }
#else
        for (int i = 0; i < rows; i++) a[i] += b_hh[i];
        inputs.multiply(x, a);
        states.multiply(h, a);
        for (int i = 0; i < Units; i++) {
            const float in = quick_sigmoid(a[i]), forget = quick_sigmoid(a[Units + i]);
            const float g = quick_tanh(a[2 * Units + i]), out = quick_sigmoid(a[3 * Units + i]);
            c[i] = forget * c[i] + in * g;
            h[i] = out * quick_tanh(c[i]);
        }
        (void)u;
#endif
    }
};

Layer<INPUTS, UNITS> first;
#if LAYERS > 1
Layer<UNITS, UNITS> others[LAYERS - 1];
#else
Layer<UNITS, UNITS> *const others = nullptr;
#endif

}  // namespace

int load(const float *from) {
    from = first.load(from);
    for (int l = 0; l < LAYERS - 1; l++) from = others[l].load(from);
    return 0;
}

void begin(void) {
    first.begin();
    for (int l = 0; l < LAYERS - 1; l++) others[l].begin();
}

void steps(size_t T, const float *x, float *y) {
    for (size_t t = 0; t < T; t++) {
        first.step(x + t * INPUTS);
        const float *h = first.h;
        for (int l = 0; l < LAYERS - 1; l++) {
            others[l].step(h);
            h = others[l].h;
        }
        std::copy_n(h, UNITS, y + t * UNITS);
    }
}
