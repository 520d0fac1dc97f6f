/* The kernels: one table of functions per set of instructions. Must not know an operation or a thread. */
#ifndef LOGITSCOPE_KERNELS_H
#define LOGITSCOPE_KERNELS_H

#include "../api.h"

enum { RESIDUAL_STEPS = 128 }; /* of a residual in one quant; residuals are from -64 to 63 */

/* The bytes of 16 rows of a group of columns in a quantized format. */
static inline int32_t group_bytes(int32_t format) { return format == INT4 ? ROWS * GROUP / 2 : ROWS * GROUP; }

/* One token's vector in the forms in which the formats of weights multiply it; padded with zeros to whole groups. */
typedef struct {
    float *values;
    uint16_t *bf16;
    /* For INT4, value = quant * scale of its group. INT8 is worth more: value = (quant * RESIDUAL_STEPS + residual)
     * * scale. */
    int8_t *quants, *residuals;
    float *scales;
    int32_t *sums;    /* of a group's integers, as weights are stored with an offset */
} Input;

/* What some query heads that share a key head need to attend with. */
typedef struct {
    const float *queries; /* (n_heads, d_head) */
    int32_t n_heads, d_head, format;
    const void *keys, *values; /* (positions, d_head) of the key head */
    int64_t begin, end;        /* positions to attend to, `end` not included */
    float scale, softcap;
    float *scratch;            /* attention_scratch_size(d_head) floats */
    float *out;                /* (n_heads, d_head) */
} AttentionArgs;

enum { TILE_HEADS = 4, DECODE_KV_BLOCK = 64 }; /* heads and positions whose scores are computed together */
/* A head's channels, filled up to pairs of the longest vectors. */
static inline int32_t padded_d_head(int32_t d_head) { return (d_head + 31) / 32 * 32; }
static inline int64_t attention_scratch_size(int32_t d_head) {
    return TILE_HEADS * ((int64_t)padded_d_head(d_head) * 5 / 2 + DECODE_KV_BLOCK);
}

/* Up to 16 rows of a matrix, from `first` on, times each of n inputs, bias added: out (n, 16). */
typedef struct {
    const Matrix *matrix;
    int32_t first;
    const Input *inputs;
    float *out;
} Block;

typedef struct {
    const char *name;
    /* Convert input->values (columns,) into the form that this format of weights is multiplied with. */
    void (*convert_input)(Input *input, int32_t columns, int32_t format);
    /* Two blocks, or one twice, times n inputs: two streams from memory come in faster than one. */
    void (*gemv)(const Block *a, const Block *b, int32_t n);
    void (*normalize)(const Norm *norm, const float *weight, const float *in, int32_t width, float *out);
    /* Rotate x (2 * half,) in place, channel i together with channel half + i. */
    void (*rope)(float *x, const float *cos, const float *sin, int32_t half);
    void (*activate)(int32_t activation, float *x, int32_t count);
    void (*softcap)(float *x, int32_t count, float limit); /* limit * tanh(x / limit) */
    void (*attend)(const AttentionArgs *attention);
    /* Floats to F32 or BF16, and back. */
    void (*from_float)(const float *in, int32_t count, int32_t format, void *out, int64_t offset);
    void (*to_float)(const void *in, int64_t offset, int32_t count, int32_t format, float *out);
    /* One row of a matrix of any format, without its bias. */
    void (*get_row)(const Matrix *matrix, int32_t row, float *out);
    /* 16 rows of a quantized matrix, the block at `first`, as (16, columns) F32 or BF16; only `count` of them. */
    void (*dequantize)(const Matrix *matrix, int32_t first, int32_t count, int32_t format, void *out);
    /* Quantize up to 16 rows (count, columns) into the block of the matrix that begins at row `first`. */
    void (*quantize)(const Matrix *matrix, int32_t first, int32_t count, const float *rows);
    /* The sum of n_bytes / 4 floats, n_bytes a multiple of 64: to measure the bandwidth. */
    float (*sum_memory)(const void *memory, int64_t n_bytes);
} Kernels;

/* Which sets of instructions can be compiled. GCC knows those for BF16 since version 10, those for AMX since 11;
 * whether AMX may be used is asked of Linux alone. */
#if defined(__x86_64__)
#define HAVE_AVX2 1
#endif
#if defined(__x86_64__) && (defined(__clang__) || __GNUC__ >= 10)
#define HAVE_AVX512 1
#endif
#if defined(HAVE_AVX512) && defined(__linux__) && (defined(__clang__) || __GNUC__ >= 11)
#define HAVE_AMX 1
#endif
#if defined(__aarch64__) && !defined(__ARM_BIG_ENDIAN)
#define HAVE_NEON 1
#if defined(__clang__) || __GNUC__ >= 9
#define HAVE_DOTPROD 1
#endif
#endif

extern const Kernels kernels_generic, kernels_avx2, kernels_avx512, kernels_neon, kernels_dotprod;

/* Whether this processor knows the instructions of kernels_dotprod. */
int has_dotprod(void);

#endif
