/* What all threads work with, and how they share the work. Must not know what an operation computes. */
#ifndef LOGITSCOPE_WORKSPACE_H
#define LOGITSCOPE_WORKSPACE_H

#include <stddef.h>

#include "kernels/kernels.h"
#include "threadpool.h"

extern const Kernels *kernels; /* those in use, see dispatch.c */

/* What one thread needs to decode. */
typedef struct {
    Input inputs[MAX_STEP_TOKENS];
    float *attention; /* attention_scratch_size(d_head) */
} ThreadScratch;

typedef struct PrefillScratch PrefillScratch; /* what all of them need for a prefill, see panels.h */

struct Workspace {
    Threadpool *threadpool;
    int32_t columns, d_head; /* the most there can be */
    void *memory;
    PrefillScratch *prefill; /* NULL until it is needed */
    ThreadScratch scratch[];
};

/* A thread's range of n things: from *first up to *last, this one not included. */
static inline void thread_range(int32_t n, int thread, int n_threads, int32_t *first, int32_t *last) {
    *first = (int32_t)((int64_t)n * thread / n_threads);
    *last = (int32_t)((int64_t)n * (thread + 1) / n_threads);
}

static inline int32_t rows_in_block(const Matrix *matrix, int32_t first) {
    return matrix->rows - first < ROWS ? matrix->rows - first : ROWS;
}

static inline int32_t n_blocks(const Matrix *matrix) { return (matrix->rows + ROWS - 1) / ROWS; }

/* The next piece of memory, from byte *at on, which moves on behind it to where a line of the cache begins. Without
 * memory, this only measures. */
static inline void *carve(char *memory, size_t *at, size_t size) {
    void *buffer = memory ? memory + *at : NULL;
    *at += (size + 63) / 64 * 64;
    return buffer;
}

#endif
