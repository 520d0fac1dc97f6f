/* A small model of random numbers through every kind of operation, for the sanitizers: all memory is of exactly the size
 * that is needed, and all kernels and numbers of threads have to agree. Built by test_native.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

enum { D = 96, HEADS = 3, KV = 1, D_FF = 64, VOCAB = 37, CAPACITY = 70, TOKENS = 66, LAYERS = 2, EXPERTS = 3 };

static unsigned long long state;

static float noise(void) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (float)(state >> 40) / (float)(1 << 24) - 0.5f;
}

static void *allocated[400];
static int n_allocated;

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (!memory || n_allocated == sizeof allocated / sizeof *allocated) abort();
    return allocated[n_allocated++] = memory;
}

static float *floats(int64_t count) {
    float *out = allocate(sizeof(float) * (size_t)count);
    for (int64_t i = 0; i < count; i++) out[i] = noise();
    return out;
}

static Matrix matrix(int format, int rows, int columns, int bias) {
    Matrix made = {.format = format, .rows = rows, .columns = columns, .bias = bias ? floats(rows) : NULL};
    int64_t blocks = (rows + ROWS - 1) / ROWS, groups = columns / GROUP;
    if (format == F32) made.weights = floats((int64_t)rows * columns);
    if (format == BF16) {
        uint16_t *weights = allocate(sizeof(uint16_t) * (size_t)rows * (size_t)columns);
        for (int i = 0; i < rows * columns; i++) {
            float value = noise();
            uint32_t bits;
            memcpy(&bits, &value, sizeof bits);
            weights[i] = (uint16_t)(bits >> 16);
        }
        made.weights = weights;
    }
    if (format >= INT8) {
        int64_t size = blocks * groups * ROWS * GROUP / (format == INT4 ? 2 : 1);
        uint8_t *weights = allocate((size_t)size);
        for (int64_t i = 0; i < size; i++) weights[i] = (uint8_t)(1 + 255.0f * (noise() + 0.5f) * 0.99f);
        uint16_t *scales = allocate(sizeof(uint16_t) * (size_t)(blocks * groups * ROWS));
        for (int64_t i = 0; i < blocks * groups * ROWS; i++) scales[i] = 0x1c00; /* 2 ** -8 */
        made.weights = weights;
        made.scales = scales;
    }
    return made;
}

/* Nothing in it may be used before it is written: it begins as NaN. */
static Buffer buffer_for(int tokens, int width) {
    size_t size = sizeof(float) * (size_t)tokens * (size_t)width;
    return (Buffer){memset(allocate(size), 0xff, size), width, 0};
}

static Buffer buffer(int width) { return buffer_for(MAX_STEP_TOKENS, width); }

/* For `cut` tokens: panels, if that is more than a step takes. */
static Buffer buffer_of_pass(int cut, int width) {
    return cut <= MAX_STEP_TOKENS ? buffer(width) : buffer_for((cut + 15) / 16 * 16, width);
}

/* The same, as the input of a product. */
static Buffer vnni_buffer(int cut, int width) {
    if (cut <= MAX_STEP_TOKENS) return buffer(width);
    size_t size = sizeof(uint16_t) * (size_t)((cut + 15) / 16 * 16) * (size_t)((width + 31) / 32 * 32);
    return (Buffer){memset(allocate(size), 0, size), width, 1};
}

static Norm norm(int kind, int width) {
    return (Norm){kind, 1e-5f, floats(width), kind == LAYER_NORM ? floats(width) : NULL};
}

typedef struct {
    int format, cache_format, d_head;
    int cut;     /* tokens of a prefill; of steps, the most: 1, 2 ... cut, 1 ... */
    int experts; /* whether there are any */
} Model;

/* The logits of TOKENS tokens. */
static void run_model(Model model, int n_threads, float *logits) {
    state = 42;
    Operation ops[6 + 7 * LAYERS + 2];
    memset(ops, 0, sizeof ops);
    const int format = model.format, d_head = model.d_head, cut = model.cut;
    int n = 0, qkv_width = (HEADS + 2 * KV) * d_head, plain = format >= INT8 ? BF16 : format;
    Buffer x = buffer_of_pass(cut, D), branch = buffer_of_pass(cut, D), qkv = buffer_of_pass(cut, qkv_width),
           attention_out = vnni_buffer(cut, HEADS * d_head), ff_hidden = vnni_buffer(cut, D_FF), loaded = buffer(D);
    ops[n++] = (Operation){.kind = EMBED, .input = branch, .output = x, .width = D, .scale = 2.0f, .n_matrices = 2,
                           .matrices = {matrix(format, VOCAB, D, 0), matrix(plain, TOKENS, D, 0)}};
    for (int layer = 0; layer < LAYERS; layer++) {
        Heads h = {.layer = layer, .n_heads = HEADS, .n_kv_heads = KV, .d_head = d_head, .rope_table = layer,
                   .rope_width = layer ? 30 : d_head, .window = layer ? 9 : 0, .norm_per_head = layer, .scale = 0.3f,
                   .softcap = layer ? 5.0f : 0.0f, .query_norm = norm(RMS_NORM, HEADS * d_head),
                   .key_norm = norm(RMS_NORM, KV * d_head)};
        ops[n++] = (Operation){.kind = LINEAR, .input = x, .output = qkv, .norm = norm(layer ? LAYER_NORM : RMS_NORM, D),
                               .n_matrices = 3, .scale = 1.0f,
                               .matrices = {matrix(format, HEADS * d_head, D, 1), matrix(format, KV * d_head, D, 1),
                                            matrix(plain, KV * d_head, D, 1)}};
        ops[n++] = (Operation){.kind = ROPE_STORE_KV, .input = qkv, .output = qkv, .heads = h};
        ops[n++] = (Operation){.kind = ATTEND, .input = qkv, .output = attention_out, .heads = h};
        ops[n++] = (Operation){.kind = LINEAR, .input = attention_out, .output = branch, .n_matrices = 1, .scale = 1.0f,
                               .matrices = {matrix(plain, D, HEADS * d_head, 0)}};
        ops[n++] = (Operation){.kind = NORM, .input = branch, .output = x, .norm = norm(RMS_NORM, D), .width = D,
                               .add = 1, .scale = 0.5f};
        ops[n++] = (Operation){.kind = LINEAR, .input = x, .output = ff_hidden, .norm = norm(RMS_NORM, D), .n_matrices = 2,
                               .gated = 1, .activation = layer ? GELU_TANH : SILU, .scale = 1.0f,
                               .matrices = {matrix(format, D_FF, D, 0), matrix(format, D_FF, D, 0)}};
        ops[n++] = (Operation){.kind = LINEAR, .input = ff_hidden, .output = x, .n_matrices = 1, .add = 1, .scale = 1.0f,
                               .activation = layer ? GELU : RELU, .matrices = {matrix(format, D, D_FF, 1)}};
    }
    Matrix *expert = allocate(sizeof(Matrix) * 3 * EXPERTS);
    for (int e = 0; e < EXPERTS; e++) {
        expert[3 * e] = matrix(format, D_FF, D, 0);
        expert[3 * e + 1] = matrix(format, D_FF, D, 1);
        expert[3 * e + 2] = matrix(format, D, D_FF, 0);
    }
    Experts experts = {.n_experts = EXPERTS, .n_used = 2, .renormalize = 1, .matrices = expert, .routing = buffer(4)};
    Buffer scores = buffer(EXPERTS), both = buffer(2 * D_FF);
    Matrix router = matrix(plain, EXPERTS, D, 0);
    Norm before = norm(RMS_NORM, D), within = norm(RMS_NORM, D);
    if (model.experts) {
        ops[n++] = (Operation){.kind = LINEAR, .input = x, .output = scores, .norm = before, .n_matrices = 1,
                               .scale = 1.0f, .matrices = {router}};
        ops[n++] = (Operation){.kind = ROUTE, .input = scores, .output = scores, .experts = experts};
        ops[n++] = (Operation){.kind = EXPERTS_UP, .input = x, .output = both, .norm = within, .gated = 1,
                               .activation = SILU, .experts = experts};
        ops[n++] = (Operation){.kind = EXPERTS_DOWN, .input = both, .output = x, .add = 1, .scale = 1.0f, .experts = experts};
    }
    ops[n++] = (Operation){.kind = NORM, .input = x, .output = branch, .norm = norm(RMS_NORM, D), .width = D,
                           .store_hidden = 1, .scale = 1.0f};
    int forward = n;
    ops[n++] = (Operation){.kind = LOAD_HIDDEN, .input = loaded, .output = loaded, .width = D};
    ops[n++] = (Operation){.kind = LINEAR, .input = loaded, .output = {NULL, VOCAB, 0}, .n_matrices = 1, .scale = 1.0f,
                           .softcap = 30.0f, .matrices = {matrix(format, VOCAB, D, 1)}};
    size_t number = model.cache_format == F32 ? 4 : 2, slab = (size_t)LAYERS * KV * CAPACITY * (size_t)d_head * number;
    char *hidden = allocate((size_t)(cut > MAX_STEP_TOKENS ? cut : MAX_STEP_TOKENS) * D * number);
    Run run = {.format = model.cache_format, .capacity = CAPACITY, .hidden = hidden,
               .keys = memset(allocate(slab), 0xff, slab), .values = memset(allocate(slab), 0xff, slab),
               .cos = {floats(TOKENS * d_head / 2), floats(TOKENS * 15)},
               .sin = {floats(TOKENS * d_head / 2), floats(TOKENS * 15)}};
    Workspace *workspace = logitscope_create_workspace(n_threads, HEADS * d_head, d_head);
    if (!workspace) abort();
    const int prefills = cut > MAX_STEP_TOKENS;
    for (int size = prefills ? cut : 1; run.start < TOKENS; size = prefills ? cut : size % cut + 1) {
        int64_t *tokens = malloc(sizeof(int64_t) * (size_t)size);
        if (!tokens) abort();
        run.n_tokens = TOKENS - run.start < size ? TOKENS - run.start : size;
        for (int t = 0; t < run.n_tokens; t++) tokens[t] = (run.start + t) * 7 % VOCAB;
        run.tokens = tokens;
        if (!prefills) logitscope_decode(workspace, ops, forward, &run);
        else if (!logitscope_prefill(workspace, ops, forward, &run)) abort();
        free(tokens);
        for (int t = 0; t < run.n_tokens; t += MAX_STEP_TOKENS) {
            int left = run.n_tokens - t;
            Run last = {.n_tokens = left < MAX_STEP_TOKENS ? left : MAX_STEP_TOKENS, .format = run.format,
                        .hidden = hidden + (size_t)t * D * number, .logits = logits + (run.start + t) * VOCAB};
            logitscope_decode(workspace, ops + forward, n - forward, &last);
        }
        run.start += run.n_tokens;
    }
    if (format >= INT8) {
        Matrix quantized = ops[0].matrices[0];
        float *out = allocate(sizeof(float) * VOCAB * D);
        logitscope_dequantize(workspace, &quantized, 0, VOCAB, F32, out);
        logitscope_dequantize(workspace, &quantized, 16, VOCAB - 16, BF16, out);
    }
    logitscope_bandwidth_pass(workspace, ops[0].matrices[1].weights, 64);
    logitscope_free_workspace(workspace);
    while (n_allocated) free(allocated[--n_allocated]);
}

/* A matrix times MAX_STEP_TOKENS inputs, `at_once` of them in a step. Weights and inputs of a quantized one are such
 * that every product is exact: scales are powers of two, inputs multiples of what they are rounded to, many as large as
 * they can be. */
static void multiply(int format, int at_once, float *out) {
    state = 7;
    const int columns = format < INT8 ? 77 : 5 * GROUP;
    static const float largest[] = {127.0f, -127.0f, 126.5f, -126.5f}; /* with residuals of 0 and -64 */
    Matrix m = matrix(format, VOCAB, columns, 0);
    uint8_t *bytes = (uint8_t *)m.weights;
    for (int i = 0; format >= INT8 && i < 2 * group_bytes(format); i++) bytes[i] = noise() < 0.0f ? 0 : 255;
    Buffer x = buffer(columns);
    for (int i = 0; i < MAX_STEP_TOKENS * columns; i++) {
        x.data[i] = (float)(int)(noise() * 2.0f * 127.0f * RESIDUAL_STEPS) / RESIDUAL_STEPS;
        if (i % 2 && i / columns % 2) x.data[i] = largest[(int)(4.0f * (noise() + 0.5f))];
        if (i % columns % GROUP == 0) x.data[i] = noise() < 0.0f ? 127.0f : -127.0f;
    }
    Operation op = {.kind = LINEAR, .input = x, .output = {NULL, VOCAB, 0}, .n_matrices = 1, .matrices = {m}, .scale = 1.0f};
    Workspace *workspace = logitscope_create_workspace(1, columns, 40);
    if (!workspace) abort();
    for (int t = 0; t < MAX_STEP_TOKENS; t += at_once) {
        Run run = {.n_tokens = MAX_STEP_TOKENS - t < at_once ? MAX_STEP_TOKENS - t : at_once, .logits = out + t * VOCAB};
        op.input.data = x.data + t * columns;
        logitscope_decode(workspace, &op, 1, &run);
    }
    logitscope_free_workspace(workspace);
    while (n_allocated) free(allocated[--n_allocated]);
}

/* An input's numbers do not depend on which are multiplied along with it, and exact ones on no set of instructions. */
static int multiplies_alike(const char *name, int format, float *expected, int known) {
    float out[MAX_STEP_TOKENS * VOCAB];
    if (!known || format < INT8) multiply(format, MAX_STEP_TOKENS, expected);
    for (int at_once = 1; at_once <= MAX_STEP_TOKENS; at_once++) {
        multiply(format, at_once, out);
        for (int i = 0; i < MAX_STEP_TOKENS * VOCAB; i++)
            if (out[i] != expected[i]) {
                fprintf(stderr, "%s, format %d, %d at once: %.9g, not %.9g\n", name, format, at_once, (double)out[i],
                        (double)expected[i]);
                return 0;
            }
    }
    return 1;
}

static float first[TOKENS * VOCAB], other[TOKENS * VOCAB];
static int compared, steps;

/* All have to agree; those with the same instructions, whatever is cut and shared, to the last bit. */
static int agree(Model model, const char *name, int n_threads, float tolerance) {
    float *logits = compared++ ? other : first;
    run_model(model, n_threads, logits);
    steps++;
    for (int i = 0; i < TOKENS * VOCAB; i++)
        if (!(fabsf(logits[i] - first[i]) <= tolerance)) {
            fprintf(stderr, "%s, format %d, %d at once, %d threads: %f, not %f\n", name, model.format, model.cut, n_threads,
                    (double)logits[i], (double)first[i]);
            return 0;
        }
    return 1;
}

int main(void) {
    static float products[MAX_STEP_TOKENS * VOCAB];
    const char *names[] = {"generic", "avx2", "neon", "dotprod", "avx512", "amx"};
    enum { N_DECODING = 5, FIRST_PREFILL = 4 }; /* how many decode in a way of their own; the first that prefills */
    for (int format = F32; format <= INT4; format++) {
        compared = 0;
        for (int name = 0; name < N_DECODING; name++) {
            if (!logitscope_select_kernels(names[name])) continue;
            if (!multiplies_alike(names[name], format, products, compared)) return 1;
            for (int n_threads = 1; n_threads <= 3; n_threads++) {
                Model model = {format, format == F32 ? F32 : BF16, 40, MAX_STEP_TOKENS, 1};
                if (!agree(model, names[name], n_threads, format == F32 ? 1e-3f : 0.3f)) return 1;
            }
        }
    }
    static const int d_heads[] = {40, 64}, cuts[] = {TOKENS, 50, 9};
    for (int name = FIRST_PREFILL; name < (int)(sizeof names / sizeof *names); name++)
        for (int format = BF16; logitscope_select_kernels(names[name]) && format <= INT4; format++)
            for (int d = 0; d < 2; d++) {
                compared = 0;
                if (!agree((Model){format, BF16, d_heads[d], MAX_STEP_TOKENS, 0}, names[name], 1, 0.0f)) return 1;
                if (!agree((Model){format, BF16, d_heads[d], TOKENS, 0}, names[name], 1, 0.3f)) return 1;
                memcpy(first, other, sizeof first);
                for (int cut = 0; cut < 3; cut++)
                    for (int n_threads = 1; n_threads <= 3; n_threads++)
                        if (!agree((Model){format, BF16, d_heads[d], cuts[cut], 0}, names[name], n_threads, 0.0f))
                            return 1;
            }
    printf("steps: %d\n", steps);
    return 0;
}
