/* LINEAR for a few tokens: matrices times vectors. Must not know how a block is multiplied (see gemv_impl.h), nor let
 * numbers depend on the number of threads: a block is computed by one thread, whichever it is. */
#include <string.h>

#include "decode.h"

int32_t convert_input_for(const Matrix *matrices, int32_t n_matrices, int32_t done, Input *input) {
    for (int32_t m = 0; m < n_matrices; m++) {
        if (matrices[m].format != done) kernels->convert_input(input, matrices[m].columns, matrices[m].format);
        done = matrices[m].format;
    }
    return done;
}

int32_t prepare_input(const float *x, const Norm *norm, const Matrix *matrices, int32_t n_matrices, Input *input) {
    int32_t columns = matrices->columns, padded = (columns + 63) / 64 * 64;
    if (norm->kind == NO_NORM) memcpy(input->values, x, (size_t)columns * sizeof(float));
    else kernels->normalize(norm, norm->weight, x, columns, input->values);
    /* what a wider input left behind is no part of this one */
    memset(input->values + columns, 0, (size_t)(padded - columns) * sizeof(float));
    memset(input->bf16 + columns, 0, (size_t)(padded - columns) * sizeof(uint16_t));
    return convert_input_for(matrices, n_matrices, -1, input);
}

void store_output(const Operation *op, const float *from, int32_t count, float *to) {
    for (int32_t i = 0; i < count; i++) to[i] = (op->add ? to[i] : 0.0f) + op->scale * from[i];
    if (op->softcap > 0.0f) kernels->softcap(to, count, op->softcap);
}

static float *output_of(const Operation *op, const Run *run, int32_t token) {
    return op->output.data ? row_of(op->output, token) : run->logits + (int64_t)token * op->output.stride;
}

void gated_gemv(const Operation *op, const Matrix *gate, const Matrix *up, int32_t first, const Input *inputs,
                int32_t n, float *out) {
    float up_out[MAX_STEP_TOKENS * ROWS];
    const Block a = {gate ? gate : up, first, inputs, out}, b = {up, first, inputs, up_out};
    kernels->gemv(&a, gate ? &b : &a, n);
    for (int32_t t = 0; t < n; t++) {
        int32_t count = rows_in_block(up, first);
        kernels->activate(op->activation, out + t * ROWS, count);
        for (int32_t r = 0; gate && r < count; r++) out[t * ROWS + r] *= up_out[t * ROWS + r];
    }
}

static void linear_gated(const Operation *op, const Run *run, const Input *inputs, int thread, int n_threads) {
    int32_t first, last;
    thread_range(n_blocks(op->matrices), thread, n_threads, &first, &last);
    for (int32_t block = first; block < last; block++) {
        float out[MAX_STEP_TOKENS * ROWS];
        int32_t row = block * ROWS;
        gated_gemv(op, op->matrices, op->matrices + 1, row, inputs, run->n_tokens, out);
        for (int32_t t = 0; t < run->n_tokens; t++)
            store_output(op, out + t * ROWS, rows_in_block(op->matrices, row), row_of(op->output, t) + row);
    }
}

/* Block `number` of all the matrices of an operation, counted through; and where its rows begin in the output. */
static Block block_at(const Operation *op, int32_t number, const Input *inputs, float *out, int32_t *out_row) {
    const Matrix *matrix = op->matrices;
    for (*out_row = 0; number >= n_blocks(matrix); matrix++) {
        number -= n_blocks(matrix);
        *out_row += matrix->rows;
    }
    *out_row += number * ROWS;
    return (Block){matrix, number * ROWS, inputs, out};
}

static void finish_block(const Operation *op, const Run *run, const Block *block, int32_t out_row) {
    int32_t count = rows_in_block(block->matrix, block->first);
    for (int32_t t = 0; t < run->n_tokens; t++) {
        float *out = block->out + t * ROWS;
        if (op->activation) kernels->activate(op->activation, out, count);
        store_output(op, out, count, output_of(op, run, t) + out_row);
    }
}

/* A thread's blocks are read from two places at once: from the beginning of its range, and from the middle. */
void linear(const Operation *op, const Run *run, ThreadScratch *scratch, int thread, int n_threads) {
    for (int32_t t = 0; t < run->n_tokens; t++)
        prepare_input(row_of(op->input, t), &op->norm, op->matrices, op->n_matrices, scratch->inputs + t);
    if (op->gated) {
        linear_gated(op, run, scratch->inputs, thread, n_threads);
        return;
    }
    int32_t total = 0, first, last;
    for (int32_t m = 0; m < op->n_matrices; m++) total += n_blocks(op->matrices + m);
    thread_range(total, thread, n_threads, &first, &last);
    int32_t half = (last - first + 1) / 2;
    for (int32_t number = first; number < first + half; number++) {
        float out[2][MAX_STEP_TOKENS * ROWS];
        int32_t out_rows[2], single = number + half >= last;
        const Block a = block_at(op, number, scratch->inputs, out[0], out_rows);
        const Block b = single ? a : block_at(op, number + half, scratch->inputs, out[1], out_rows + 1);
        kernels->gemv(&a, single ? &a : &b, run->n_tokens);
        finish_block(op, run, &a, out_rows[0]);
        if (!single) finish_block(op, run, &b, out_rows[1]);
    }
}
