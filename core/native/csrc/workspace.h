/* What the threads of a pool work with, and how they share. */
#ifndef LOGITSCOPE_POOL_H
#define LOGITSCOPE_POOL_H

#include <stddef.h>

#include "kernels/kernels.h"
#include "threadpool.h"

extern const Kernels *kernels; /* those in use, see dispatch.c */

/* What one thread works with when it reads a few tokens. */
typedef struct {
    Input inputs[MAX_STEP_TOKENS];
    float *attending;
} Scratch;

typedef struct Many Many; /* what all of them work with when they read many, see prefill.c */

struct Pool {
    Team *team;
    int32_t columns, d_head; /* the most there can be */
    void *memory;
    Many *many; /* NULL until it is needed */
    Scratch scratch[];
};

/* A thread's share of n things: from *first up to *last. */
static inline void share(int32_t n, int thread, int threads, int32_t *first, int32_t *last) {
    *first = (int32_t)((int64_t)n * thread / threads);
    *last = (int32_t)((int64_t)n * (thread + 1) / threads);
}

static inline int32_t rows_in_block(const Matrix *matrix, int32_t first) {
    return matrix->rows - first < ROWS ? matrix->rows - first : ROWS;
}

static inline int32_t blocks_of(const Matrix *matrix) { return (matrix->rows + ROWS - 1) / ROWS; }

/* Memory in pieces that begin at a line of the cache: from byte *at on, which moves on behind it. Without memory, this
 * only measures. */
static inline void *piece(char *memory, size_t *at, size_t size) {
    void *here = memory ? memory + *at : NULL;
    *at += (size + 63) / 64 * 64;
    return here;
}

#endif
