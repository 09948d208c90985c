/* amp: LSTM(1, 16, proj_size=1)
 * Made by elman for thumbv7em-unknown-none-eabihf (cortex-m4). Link it with amp.o.
 *
 * The functions allocate nothing, take no lock, and call nothing: no system, no library. They keep
 * the caller's rounding and denormal modes. A state belongs to one thread at a time; any number of
 * states may run at once.
 */
#ifndef AMP_H
#define AMP_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AMP_INPUTS 1         /* numbers that a step reads */
#define AMP_OUTPUTS 1        /* numbers that a step writes */
#define AMP_STATE_BYTES 768  /* memory of one stream */

/* One stream: the recurrent states, and memory to work in. A copy of it goes on where it is. */
typedef struct amp_state {
    double memory[AMP_STATE_BYTES / 8];
} amp_state;

/* Begins a stream, in memory of any content. */
void amp_init(amp_state *state);

/* Sets the states to the initial ones again. */
void amp_reset(amp_state *state);

/* One step. Arrays must not overlap.
 *   x[AMP_INPUTS]
 *   y[AMP_OUTPUTS] is written. */
void amp_step(amp_state *state, const float *x, float *y);

/* T steps, with the same results as T calls of amp_step. Arrays are in row-major order:
 *   x[T][AMP_INPUTS]
 *   y[T][AMP_OUTPUTS] is written. */
void amp_chunk(amp_state *state, const float *x, size_t T, float *y);

#ifdef __cplusplus
}
#endif

#endif
