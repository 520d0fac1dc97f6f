/* Prefill: operations on many tokens at once, so that a matrix meets all of them while it is in the cache. Must not
 * know quantized formats other than through prefill_linear.c, nor experts. */
#ifndef LOGITSCOPE_PREFILL_H
#define LOGITSCOPE_PREFILL_H

#include "workspace.h"

/* 16 rows of a matrix in BF16: row r, columns 32 * g to 32 * g + 31 stand at data + r * stride + g * step. */
typedef struct {
    const uint16_t *data;
    int64_t stride, step;
} RowTile;

/* The micro-kernel of matrix products: two tiles of rows times n (1 or 2) panels of 16 tokens each, (columns / 2,
 * 16, 2) in BF16; columns a multiple of 32. out[i][j]: (16 rows, 16 tokens). */
typedef void GemmKernel(const RowTile *tiles, const uint16_t *const *panels, int32_t n, int32_t columns,
                        float (*out)[2][ROWS * 16]);

GemmKernel gemm_avx512, gemm_amx;

/* Whether this processor has AMX and the system lets us use it. */
int has_amx(void);
/* What a thread has to do before gemm_amx, and after. */
void amx_begin(void);
void amx_end(void);

void prefill_linear(const Operation *op, const Run *run, Workspace *workspace, int thread, int n_threads);
void prefill_rope_store_kv(const Operation *op, const Run *run, PrefillScratch *prefill, int thread, int n_threads);
void prefill_attend(const Operation *op, const Run *run, PrefillScratch *prefill, int thread, int n_threads);

/* Carry out operations that were written for a prefill; with AMX, if `amx`. 0: not enough memory. */
int prefill_run(Workspace *workspace, const Operation *operations, int32_t n_operations, const Run *run, int amx);
void prefill_scratch_free(PrefillScratch *prefill);

#endif
