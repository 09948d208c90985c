/* What every contestant of the benchmark is, as a shared library.
 *
 * Compiled for one stack of layers: LAYERS of UNITS, the lowest one with INPUTS features, each a
 * CELL. Weights come layer by layer as torch.nn has them: weight_ih, weight_hh, bias_ih, bias_hh.
 */
#ifndef CONTESTANT_H
#define CONTESTANT_H

#include <stddef.h>

#define GRU 3
#define LSTM 4
#define GATES CELL /* a cell is named by its number of gates */

#ifdef __cplusplus
extern "C" {
#endif

int load(const float *weights); /* 0 if it can take part */
void begin(void);               /* zero states */
void steps(size_t T, const float *x, float *y); /* one step after another, each a call */

#ifdef __cplusplus
}
#endif

#endif
