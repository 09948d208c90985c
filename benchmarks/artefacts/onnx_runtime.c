/* ONNX Runtime through its C API: one thread, all memory bound once, states handed on in turn.
 * MODEL is a graph of one step, whose inputs are x and the states, whose outputs y and the new ones.
 */
#include "contestant.h"

#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <string.h>

enum { STATES = (CELL == LSTM ? 2 : 1) * LAYERS, VALUES = 1 + STATES };

static const OrtApi *api;
static OrtSession *session;
static float states[2][STATES][UNITS], input[INPUTS], output[UNITS];
static OrtValue *given[2][VALUES], *found[2][VALUES];
static const char *given_names[VALUES], *found_names[VALUES];
static char names[2][STATES][32];
static int turn;

static int failed(OrtStatus *status) {
    if (status) fprintf(stderr, "ONNX Runtime: %s\n", api->GetErrorMessage(status));
    return status != NULL;
}

static int bind(OrtMemoryInfo *memory, OrtValue **value, float *numbers, int64_t count) {
    const int64_t shape[] = {1, 1, count};
    return failed(api->CreateTensorWithDataAsOrtValue(
        memory, numbers, count * sizeof(float), shape, 3, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, value
    ));
}

int load(const float *weights) {
    (void)weights; /* they are in the model */
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) return 1;
    const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))dlsym(library, "OrtGetApiBase");
    api = base()->GetApi(ORT_API_VERSION);
    if (!api) return 1;
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtMemoryInfo *memory;
    if (failed(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "benchmark", &env))) return 1;
    if (failed(api->CreateSessionOptions(&options))) return 1;
    if (failed(api->SetIntraOpNumThreads(options, 1))) return 1;
    if (failed(api->SetInterOpNumThreads(options, 1))) return 1;
    if (failed(api->SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL))) return 1;
    if (failed(api->CreateSession(env, MODEL, options, &session))) return 1;
    if (failed(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory))) return 1;
    given_names[0] = "x";
    found_names[0] = "y";
    for (int i = 0; i < STATES; i++) { /* state0_0, state0_1, ..., state1_0, ... */
        snprintf(names[0][i], 32, "state%d_%d", i / LAYERS, i % LAYERS);
        snprintf(names[1][i], 32, "new%d_%d", i / LAYERS, i % LAYERS);
        given_names[1 + i] = names[0][i];
        found_names[1 + i] = names[1][i];
    }
    for (int side = 0; side < 2; side++) {
        if (bind(memory, &given[side][0], input, INPUTS)) return 1;
        if (bind(memory, &found[side][0], output, UNITS)) return 1;
        for (int i = 0; i < STATES; i++) {
            if (bind(memory, &given[side][1 + i], states[side][i], UNITS)) return 1;
            if (bind(memory, &found[side][1 + i], states[!side][i], UNITS)) return 1;
        }
    }
    return 0;
}

void begin(void) {
    memset(states, 0, sizeof states);
    turn = 0;
}

void steps(size_t T, const float *x, float *y) {
    for (size_t t = 0; t < T; t++, turn = !turn) {
        memcpy(input, x + t * INPUTS, sizeof input);
        OrtStatus *status = api->Run(
            session, NULL, given_names, (const OrtValue *const *)given[turn], VALUES, found_names, VALUES, found[turn]
        );
        if (failed(status)) return;
        memcpy(y + t * UNITS, output, sizeof output);
    }
}
