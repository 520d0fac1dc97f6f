/* One decoding step of a transformer as a list of operations: what Python hands over, said once.
 *
 * native_program.py writes the list from a model's config and weights; decode.c carries it out. Neither this file nor any beside
 * it knows a family of models: what an operation reads, does and writes is all there is. The structures here are
 * mirrored in bindings.py.
 */
#ifndef LOGITSCOPE_STEP_H
#define LOGITSCOPE_STEP_H

#include <stdint.h>

enum { INTERFACE = 3 };   /* to be raised here and in bindings.py when a structure, a number or a function changes */
enum { MAX_STEP_TOKENS = 8 };  /* in one step */
enum { MAX_PREFILL_TOKENS = 512 }; /* read at once at most */
enum { ROWS = 16 };       /* of a matrix in a block: what a thread computes at a time */
enum { GROUP = 32 };      /* columns that share a scale in a quantised matrix */

enum Format { F32, BF16, INT8, INT4 };
enum NormKind { NO_NORM, RMS_NORM, LAYER_NORM };
enum Activation { NO_ACTIVATION, SILU, GELU, GELU_TANH, RELU };
enum OperationKind { EMBED, LINEAR, NORM, HEADS, ATTEND, RECALL, ROUTE, EXPERTS_IN, EXPERTS_OUT };

/* A matrix of weights.
 *
 * F32, BF16   row-major (rows, columns)
 * INT8        uint8 (blocks, groups, 8, 16, 4): of each block of 16 rows and group of 32 columns, eight times four
 *             neighbouring columns of all rows; a weight is (value - 128) * scale
 * INT4        uint8 (blocks, groups, 4, 16, 4): the same, two values to a byte: the low half is from the even one of
 *             the eight, the high half from the odd one after it; a weight is (value - 8) * scale
 * scales      float16 (blocks, groups, 16)
 */
typedef struct {
    int32_t format, rows, columns;
    const void *weights;
    const uint16_t *scales; /* of the quantised formats */
    const float *bias;      /* (rows,), or NULL */
} Matrix;

typedef struct {
    int32_t kind;
    float eps;
    const float *weight; /* or NULL: all 1 */
    const float *bias;   /* or NULL */
} Norm;

/* A row of floats per token of the step. When many tokens are read: panels (features, 16) of 16 tokens each, `stride`
 * features to a panel; or with `pairs` in BF16 (features / 2, 16, 2), features filled up to a multiple of 32. */
typedef struct {
    float *at;
    int32_t stride, pairs;
} Rows;

/* The heads of one layer. Keys and values of all layers lie in two slabs (layers, kv_heads, positions, d_head). */
typedef struct {
    int32_t layer, n_heads, n_kv_heads, d_head;
    int32_t turns;         /* which table of angles turns queries and keys, or -1: none */
    int32_t rotary_width;  /* channels of a head that turn */
    int32_t window;        /* tokens seen, the newest included; 0: all */
    int32_t norm_per_head; /* the weights of the two norms are (heads, d_head); else (d_head,) for every head */
    float scale, softcap;  /* of the scores; 0: no cap */
    Norm query_norm, key_norm;
} Heads;

/* A mixture of experts: each token goes through n_used of them. */
typedef struct {
    int32_t n_experts, n_used; /* n_used at most MAX_STEP_TOKENS */
    int32_t renormalised;      /* the shares of those that are used sum to 1 */
    const Matrix *matrices;    /* (n_experts, 3): gate or nothing, up, down */
    Rows choice;               /* the numbers of the experts, then the share of each */
} Experts;

/* EMBED   output = row `token` of matrices[0] * scale, plus row `position` of matrices[1], if there is one, which is read
 *         into input
 * LINEAR  output (+)= scale * f(norm(input) @ matrices.T + bias): the matrices stand one below the other, or if gated
 *         output = activation(first) * second; capped by softcap. Written to Run.logits if output.at is NULL
 * NORM    output (+)= scale * norm(input), width channels; also to Run.hidden if keep
 * HEADS   input holds queries, keys and values side by side: normalise and turn the first two, store the last two
 * ATTEND  the queries of input attend to what is stored; output (n_heads * d_head)
 * RECALL  output = Run.hidden
 * ROUTE   input holds the scores of the experts: the likeliest go into experts.choice
 * EXPERTS_IN   like a LINEAR with the first matrices of the chosen experts; output (n_used, width) for each token
 * EXPERTS_OUT  output (+)= scale * the sum of what the experts' last matrices make of input, each times its share
 */
typedef struct {
    int32_t kind;
    Rows input, output;
    Norm norm;
    int32_t width;
    int32_t n_matrices;
    Matrix matrices[3];
    int32_t activation, gated, add, keep;
    float scale, softcap;
    Heads heads;
    Experts experts;
} Operation;

/* What changes from one step to the next. */
typedef struct {
    int32_t n_tokens, start;        /* the tokens stand at positions start, start + 1 ... */
    int32_t format;                 /* of keys, values and hidden: F32 or BF16 */
    const int64_t *tokens;          /* (n_tokens,) */
    void *keys, *values;            /* (layers, kv_heads, capacity, d_head) */
    int64_t capacity;
    const float *cos[2], *sin[2];   /* (positions, rotary_width / 2) */
    void *hidden;                   /* (n_tokens, d_model) */
    float *logits;                  /* (n_tokens, vocab) */
} Run;

#pragma GCC visibility push(default) /* all else is built hidden */

typedef struct Pool Pool;

/* Threads that carry out steps together, the caller one of them; NULL: not enough memory, or threads.
 * `columns` is the most that any matrix or norm has, `d_head` the most channels of a head. */
Pool *logitscope_pool(int32_t n_threads, int32_t columns, int32_t d_head);
void logitscope_free(Pool *pool);

/* Carry out the operations. The same numbers come out for any number of threads. */
void logitscope_run(Pool *pool, const Operation *operations, int32_t n_operations, const Run *run);

/* Whether logitscope_prefill can be used here: weights, keys and values in BF16, or weights quantised; no experts; an even
 * number of channels to a head. */
int32_t logitscope_can_prefill(void);

/* Carry out operations on up to MAX_PREFILL_TOKENS tokens, whose rows are panels. 0: not enough memory. */
int32_t logitscope_prefill(Pool *pool, const Operation *operations, int32_t n_operations, const Run *run);

/* Rows first, first + 1 ... of a quantised matrix, first a multiple of 16, as (count, columns) F32 or BF16. */
void logitscope_unpack(Pool *pool, const Matrix *matrix, int32_t first, int32_t count, int32_t format, void *out);

/* Quantise rows (count, columns) into rows first, first + 1 ... of a matrix whose weights and scales are zero there;
 * first a multiple of 16. What is no number makes a scale that is none. */
void logitscope_pack(Pool *pool, const Matrix *matrix, int32_t first, int32_t count, const float *rows);

/* Read n bytes of memory with all threads, and do nothing with them: as fast as weights can come in at best. */
void logitscope_add_up(Pool *pool, const void *memory, int64_t n_bytes);

/* The instructions used: "amx" (which is "avx512" where few tokens are read), "avx512", "avx2", "dotprod", "neon" or
 * "plain". */
const char *logitscope_target(void);

/* Use another target, for tests: 0 if this processor cannot, else 1. */
int32_t logitscope_use(const char *target);

/* INTERFACE of the sources that the library was built from. */
int32_t logitscope_interface(void);

#pragma GCC visibility pop

#endif
