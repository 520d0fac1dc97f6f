/* Products of matrices and a few tokens. A part of decode.c. */
#include <string.h>

#include "decode.h"

int32_t prepare_for(const Matrix *matrices, int32_t n_matrices, int32_t done, Input *input) {
    for (int32_t m = 0; m < n_matrices; m++) {
        if (matrices[m].format != done) kernels->prepare(input, matrices[m].columns, matrices[m].format);
        done = matrices[m].format;
    }
    return done;
}

int32_t prepare_one(const float *x, const Norm *norm, const Matrix *matrices, int32_t n_matrices, Input *input) {
    int32_t columns = matrices->columns, whole = (columns + 63) / 64 * 64;
    if (norm->kind == NO_NORM) memcpy(input->values, x, (size_t)columns * sizeof(float));
    else kernels->normalise(norm, norm->weight, x, columns, input->values);
    /* what a wider matrix left behind is no part of this input */
    memset(input->values + columns, 0, (size_t)(whole - columns) * sizeof(float));
    memset(input->halves + columns, 0, (size_t)(whole - columns) * sizeof(uint16_t));
    return prepare_for(matrices, n_matrices, -1, input);
}

void deliver(const Operation *op, const float *from, int32_t count, float *to) {
    for (int32_t i = 0; i < count; i++) to[i] = (op->add ? to[i] : 0.0f) + op->scale * from[i];
    if (op->softcap > 0.0f) kernels->cap(to, count, op->softcap);
}

static float *target_of(const Operation *op, const Run *run, int32_t token) {
    return op->output.at ? row_of(op->output, token) : run->logits + (int64_t)token * op->output.stride;
}

void gated_block(const Operation *op, const Matrix *gate, const Matrix *up, int32_t first, const Input *inputs, int32_t n,
                 float *out) {
    float other[MAX_STEP_TOKENS * ROWS];
    const Block a = {gate ? gate : up, first, inputs, out}, b = {up, first, inputs, other};
    kernels->blocks(&a, gate ? &b : &a, n);
    for (int32_t t = 0; t < n; t++) {
        int32_t count = rows_in_block(up, first);
        kernels->activate(op->activation, out + t * ROWS, count);
        for (int32_t r = 0; gate && r < count; r++) out[t * ROWS + r] *= other[t * ROWS + r];
    }
}

static void gated(const Operation *op, const Run *run, const Input *inputs, int thread, int threads) {
    int32_t first, last;
    share(blocks_of(op->matrices), thread, threads, &first, &last);
    for (int32_t block = first; block < last; block++) {
        float out[MAX_STEP_TOKENS * ROWS];
        int32_t row = block * ROWS;
        gated_block(op, op->matrices, op->matrices + 1, row, inputs, run->n_tokens, out);
        for (int32_t t = 0; t < run->n_tokens; t++)
            deliver(op, out + t * ROWS, rows_in_block(op->matrices, row), row_of(op->output, t) + row);
    }
}

/* A block of all the matrices of an operation, counted through; and where its rows begin in the output. */
static Block block_at(const Operation *op, int32_t number, const Input *inputs, float *out, int32_t *place) {
    const Matrix *matrix = op->matrices;
    for (*place = 0; number >= blocks_of(matrix); matrix++) {
        number -= blocks_of(matrix);
        *place += matrix->rows;
    }
    *place += number * ROWS;
    return (Block){matrix, number * ROWS, inputs, out};
}

static void finish_block(const Operation *op, const Run *run, const Block *block, int32_t place) {
    int32_t count = rows_in_block(block->matrix, block->first);
    for (int32_t t = 0; t < run->n_tokens; t++) {
        float *out = block->out + t * ROWS;
        if (op->activation) kernels->activate(op->activation, out, count);
        deliver(op, out, count, target_of(op, run, t) + place);
    }
}

/* A thread's blocks are read from two places at once: from the beginning of its share, and from the middle. */
void linear(const Operation *op, const Run *run, Scratch *scratch, int thread, int threads) {
    for (int32_t t = 0; t < run->n_tokens; t++)
        prepare_one(row_of(op->input, t), &op->norm, op->matrices, op->n_matrices, scratch->inputs + t);
    if (op->gated) {
        gated(op, run, scratch->inputs, thread, threads);
        return;
    }
    int32_t total = 0, first, last;
    for (int32_t m = 0; m < op->n_matrices; m++) total += blocks_of(op->matrices + m);
    share(total, thread, threads, &first, &last);
    int32_t half = (last - first + 1) / 2;
    for (int32_t number = first; number < first + half; number++) {
        float out[2][MAX_STEP_TOKENS * ROWS];
        int32_t places[2], alone = number + half >= last;
        const Block a = block_at(op, number, scratch->inputs, out[0], places);
        const Block b = alone ? a : block_at(op, number + half, scratch->inputs, out[1], places + 1);
        kernels->blocks(&a, alone ? &a : &b, run->n_tokens);
        finish_block(op, run, &a, places[0]);
        if (!alone) finish_block(op, run, &b, places[1]);
    }
}
