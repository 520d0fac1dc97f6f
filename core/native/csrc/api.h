/* The library's interface: a forward pass as a list of operations, the structures that describe it, and the functions.
 *
 * core/backends/native_program.py writes the list from a model's config and weights; decode.c and prefill.c carry it
 * out. What an operation reads, does and writes is all there is: no file here knows a family of models. bindings.py
 * mirrors the structures: neither may be changed without the other, nor either without raising INTERFACE.
 */
#ifndef LOGITSCOPE_API_H
#define LOGITSCOPE_API_H

#include <stdint.h>

enum { INTERFACE = 4 }; /* to be raised here and in bindings.py when a structure, a number or a function changes */
enum { MAX_STEP_TOKENS = 8 };      /* of one call of logitscope_decode */
enum { MAX_PREFILL_TOKENS = 512 }; /* of one call of logitscope_prefill */
enum { ROWS = 16 };                /* of a matrix in a block: what a thread computes at a time */
enum { GROUP = 32 };               /* columns that share a scale in a quantized matrix */

enum Format { F32, BF16, INT8, INT4 };
enum NormKind { NO_NORM, RMS_NORM, LAYER_NORM };
enum Activation { NO_ACTIVATION, SILU, GELU, GELU_TANH, RELU };
enum OperationKind { EMBED, LINEAR, NORM, ROPE_STORE_KV, ATTEND, LOAD_HIDDEN, ROUTE, EXPERTS_UP, EXPERTS_DOWN };

/* A matrix of weights.
 *
 * F32, BF16   row-major (rows, columns)
 * INT8        uint8 (blocks, groups, 8, 16, 4): of each block of 16 rows and group of 32 columns, eight times four
 *             neighboring columns of all rows; a weight is (value - 128) * scale
 * INT4        uint8 (blocks, groups, 4, 16, 4): the same, two values to a byte: the low half is from the even one of
 *             the eight, the high half from the odd one after it; a weight is (value - 8) * scale
 * scales      float16 (blocks, groups, 16)
 */
typedef struct {
    int32_t format, rows, columns;
    const void *weights;
    const uint16_t *scales; /* of the quantized formats */
    const float *bias;      /* (rows,), or NULL */
} Matrix;

typedef struct {
    int32_t kind;
    float eps;
    const float *weight; /* or NULL: all 1 */
    const float *bias;   /* or NULL */
} Norm;

/* Activations: a row of `stride` floats per token. In a prefill: panels (features, 16) of 16 tokens each, `stride`
 * features to a panel; or with `vnni` in BF16, two features side by side as matrix instructions want them,
 * (features / 2, 16, 2), features filled up to a multiple of 32. */
typedef struct {
    float *data;
    int32_t stride, vnni;
} Buffer;

/* The heads of one layer. Keys and values of all layers lie in two slabs (layers, kv_heads, positions, d_head). */
typedef struct {
    int32_t layer, n_heads, n_kv_heads, d_head;
    int32_t rope_table;    /* which of Run's tables rotates queries and keys, or -1: none */
    int32_t rope_width;    /* channels of a head that are rotated */
    int32_t window;        /* tokens seen, the newest included; 0: all */
    int32_t norm_per_head; /* the weights of the two norms are (heads, d_head); else (d_head,) for every head */
    float scale, softcap;  /* of the scores; 0: no cap */
    Norm query_norm, key_norm;
} Heads;

/* A mixture of experts: each token goes through n_used of them. */
typedef struct {
    int32_t n_experts, n_used; /* n_used at most MAX_STEP_TOKENS */
    int32_t renormalize;       /* the weights of those that are used sum to 1 */
    const Matrix *matrices;    /* (n_experts, 3): gate or nothing, up, down */
    Buffer routing;            /* the numbers of the experts a token goes through, then the weight of each */
} Experts;

/* EMBED          output = row `token` of matrices[0] * scale, plus row `position` of matrices[1], if there is one, read
 *                into input
 * LINEAR         output (+)= scale * f(norm(input) @ matrices.T + bias): the matrices stand one below the other, or if
 *                gated output = activation(first) * second; capped by softcap. Written to Run.logits if output.data is
 *                NULL
 * NORM           output (+)= scale * norm(input), width channels; also to Run.hidden if store_hidden
 * ROPE_STORE_KV  input holds queries, keys and values side by side: normalize and rotate the first two, store the last
 *                two in the cache
 * ATTEND         the queries of input attend to the cache; output (n_heads * d_head)
 * LOAD_HIDDEN    output = Run.hidden
 * ROUTE          input holds the scores of the experts: the likeliest go into experts.routing
 * EXPERTS_UP     like a LINEAR with the gate and up matrices of the chosen experts; output (n_used, width) per token
 * EXPERTS_DOWN   output (+)= scale * the sum of what the experts' down matrices make of input, each times its weight
 */
typedef struct {
    int32_t kind;
    Buffer input, output;
    Norm norm;
    int32_t width;
    int32_t n_matrices;
    Matrix matrices[3];
    int32_t activation, gated, add, store_hidden;
    float scale, softcap;
    Heads heads;
    Experts experts;
} Operation;

/* What changes from one call to the next. */
typedef struct {
    int32_t n_tokens, start;        /* the tokens stand at positions start, start + 1 ... */
    int32_t format;                 /* of keys, values and hidden: F32 or BF16 */
    const int64_t *tokens;          /* (n_tokens,) */
    void *keys, *values;            /* (layers, kv_heads, capacity, d_head) */
    int64_t capacity;
    const float *cos[2], *sin[2];   /* (positions, rope_width / 2) */
    void *hidden;                   /* (n_tokens, d_model) */
    float *logits;                  /* (n_tokens, vocab) */
} Run;

#pragma GCC visibility push(default) /* all else is built hidden */

typedef struct Workspace Workspace;

/* Threads that carry out operations together, the caller one of them, and the memory they need on the way; NULL: not
 * enough memory, or threads. `columns`: the most that any matrix or norm has; `d_head`: the most of a head. */
Workspace *logitscope_create_workspace(int32_t n_threads, int32_t columns, int32_t d_head);
void logitscope_free_workspace(Workspace *workspace);

/* Carry out operations on up to MAX_STEP_TOKENS tokens. The same numbers come out for any number of threads. */
void logitscope_decode(Workspace *workspace, const Operation *operations, int32_t n_operations, const Run *run);

/* Whether logitscope_prefill can be used here. It is for weights, keys and values in BF16, or quantized weights; no
 * experts; an even number of channels to a head. */
int32_t logitscope_can_prefill(void);

/* Carry out operations on up to MAX_PREFILL_TOKENS tokens, whose buffers are panels. 0: not enough memory. */
int32_t logitscope_prefill(Workspace *workspace, const Operation *operations, int32_t n_operations, const Run *run);

/* Rows first, first + 1 ... of a quantized matrix, first a multiple of 16, as (count, columns) F32 or BF16. */
void logitscope_dequantize(Workspace *workspace, const Matrix *matrix, int32_t first, int32_t count, int32_t format,
                           void *out);

/* Quantize rows (count, columns) into rows first, first + 1 ... of a matrix whose weights and scales are zero there;
 * first a multiple of 16. Of a group with a value that is not finite, the scale is NaN. */
void logitscope_quantize(Workspace *workspace, const Matrix *matrix, int32_t first, int32_t count, const float *rows);

/* Read n bytes of memory with all threads, and do nothing with them: the caller takes the time. */
void logitscope_bandwidth_pass(Workspace *workspace, const void *memory, int64_t n_bytes);

/* The instructions used: "amx" (prefill with AMX, decoding as "avx512"), "avx512", "avx2", "dotprod", "neon" or
 * "generic". */
const char *logitscope_kernels_name(void);

/* Use the kernels of this name, or for NULL the best ones: 0 if this processor cannot, else 1. */
int32_t logitscope_select_kernels(const char *name);

/* INTERFACE of the sources that the library was built from. */
int32_t logitscope_interface(void);

#pragma GCC visibility pop

#endif
