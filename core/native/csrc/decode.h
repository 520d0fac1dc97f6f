/* What decode.c, linear.c and moe.c share: the operations on a few tokens. Must not know an instruction set. */
#ifndef LOGITSCOPE_DECODE_H
#define LOGITSCOPE_DECODE_H

#include "workspace.h"

static inline float *row_of(Buffer buffer, int32_t token) {
    return buffer.data + (int64_t)token * buffer.stride;
}

/* Convert an input for these matrices' formats; `done` and the result: the format it was converted for last, or -1. */
int32_t convert_input_for(const Matrix *matrices, int32_t n_matrices, int32_t done, Input *input);
/* Normalize one vector, and convert it for these matrices' formats. Returns the last of them. */
int32_t prepare_input(const float *x, const Norm *norm, const Matrix *matrices, int32_t n_matrices, Input *input);

/* 16 rows of activation(gate @ x) * (up @ x), or without a gate of activation(up @ x), for n inputs; out (n, 16). */
void gated_gemv(const Operation *op, const Matrix *gate, const Matrix *up, int32_t first, const Input *inputs,
                int32_t n, float *out);
/* Scale up to 16 numbers of one token, and write or add them to the output; then cap this. */
void store_output(const Operation *op, const float *from, int32_t count, float *to);

void linear(const Operation *op, const Run *run, ThreadScratch *scratch, int thread, int n_threads);
void route(const Operation *op, const Run *run);
void experts_up(const Operation *op, const Run *run, ThreadScratch *scratch, int thread, int n_threads);
void experts_down(const Operation *op, const Run *run, ThreadScratch *scratch, int thread, int n_threads);

#endif
