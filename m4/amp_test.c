/* Runs amp on a test vector, step by step and as a chunk. Returns 0 if the results are right. */
#include <stdio.h>

#include "amp.h"
#include "amp_vector.h"

static amp_state state;
static float steps[AMP_TEST_STEPS][AMP_OUTPUTS];
static float chunk[AMP_TEST_STEPS][AMP_OUTPUTS];

int main(void) {
    double worst = 0;
    int wrong = 0;
    amp_init(&state);
    for (int t = 0; t < AMP_TEST_STEPS; t++)
        amp_step(&state, amp_test_x[t], steps[t]);
    amp_reset(&state);
    amp_chunk(&state, amp_test_x[0], AMP_TEST_STEPS, chunk[0]);
    for (int t = 0; t < AMP_TEST_STEPS; t++)
        for (int i = 0; i < AMP_OUTPUTS; i++) {
            double expected = amp_test_y[t][i], scale = expected < 0 ? -expected : expected;
            double error = steps[t][i] - expected;
            if (error < 0) error = -error;
            error /= scale > 1 ? scale : 1;
            if (!(error <= AMP_TEST_TOLERANCE) || chunk[t][i] != steps[t][i]) wrong++;
            if (error > worst) worst = error;
        }
    printf("amp: %d steps, largest error %.1e, %d of %d numbers wrong\n", AMP_TEST_STEPS,
           worst, wrong, AMP_TEST_STEPS * AMP_OUTPUTS);
    return wrong != 0;
}
