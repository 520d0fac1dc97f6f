/* The operations of a step that are carried out in files of their own, and what those share. */
#ifndef LOGITSCOPE_OPERATIONS_H
#define LOGITSCOPE_OPERATIONS_H

#include "workspace.h"

static inline float *row_of(Rows rows, int32_t token) { return rows.at + (int64_t)token * rows.stride; }

/* The forms of an input that so many matrices multiply. `done` is the format it was made ready for last, or -1. */
int32_t prepare_for(const Matrix *matrices, int32_t n_matrices, int32_t done, Input *input);
/* One vector, normalised, in the forms that so many formats of weights multiply. */
int32_t prepare_one(const float *x, const Norm *norm, const Matrix *matrices, int32_t n_matrices, Input *input);

/* activation(gate) * up, 16 rows of each of n inputs; out (n, 16). Without a gate, activation(up). */
void gated_block(const Operation *op, const Matrix *gate, const Matrix *up, int32_t first, const Input *inputs, int32_t n,
                 float *out);
/* Bring up to 16 numbers of one token to where they belong. */
void deliver(const Operation *op, const float *from, int32_t count, float *to);

void linear(const Operation *op, const Run *run, Scratch *scratch, int thread, int threads);
void route(const Operation *op, const Run *run);
void experts_in(const Operation *op, const Run *run, Scratch *scratch, int thread, int threads);
void experts_out(const Operation *op, const Run *run, Scratch *scratch, int thread, int threads);

#endif
