/* Reading many tokens at once: a list of operations as in api.h, but every matrix meets all tokens while it is at hand. */
#ifndef LOGITSCOPE_MANY_H
#define LOGITSCOPE_MANY_H

#include "workspace.h"

/* 16 rows of a matrix in BF16: row r, columns 32 * g to 32 * g + 31 stand at `at` + r * stride + g * step. */
typedef struct {
    const uint16_t *at;
    int64_t stride, step;
} Sixteen;

/* Two times 16 rows times n (1 or 2) panels: 16 tokens each, (columns / 2, 16, 2) in BF16; columns a multiple of 32.
 * out[i][j]: (16 rows, 16 tokens). */
typedef void Multiply(const Sixteen *rows, const uint16_t *const *panels, int32_t n, int32_t columns,
                      float (*out)[2][ROWS * 16]);

Multiply multiply_avx512, multiply_amx;

/* Whether this processor has matrix instructions and the system lets us use them. */
int amx_is_here(void);
/* What a thread has to do before multiply_amx, and after. */
void amx_begin(void);
void amx_end(void);

void many_heads(const Operation *op, const Run *run, Many *many, int thread, int threads);
void many_attend(const Operation *op, const Run *run, Many *many, int thread, int threads);

/* Carry out operations that native_program.py has written for many tokens. 0: not enough memory. */
int many_run(Pool *pool, const Operation *operations, int32_t n_operations, const Run *run, int amx);
void many_free(Many *many);

#endif
