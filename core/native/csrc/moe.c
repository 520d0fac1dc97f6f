/* A mixture of experts for a few tokens: each goes through the few experts that its router chooses. Must not let
 * numbers depend on the number of threads, nor on which other tokens are in the call. */
#include <math.h>
#include <string.h>

#include "decode.h"

/* The experts with the highest scores, the lower number first where they are equal, and their weights (a softmax over
 * all experts). */
void route(const Operation *op, const Run *run) {
    const Experts *experts = &op->experts;
    for (int32_t t = 0; t < run->n_tokens; t++) {
        float *scores = row_of(op->input, t);
        float *topk_ids = row_of(experts->routing, t), *topk_weights = topk_ids + experts->n_used;
        float max = scores[0], total = 0.0f, sum_used = 0.0f;
        for (int32_t e = 1; e < experts->n_experts; e++) max = scores[e] > max ? scores[e] : max;
        for (int32_t e = 0; e < experts->n_experts; e++) total += scores[e] = expf(scores[e] - max);
        for (int32_t n = 0; n < experts->n_used; n++) {
            int32_t best = 0;
            for (int32_t e = 1; e < experts->n_experts; e++)
                if (scores[e] > scores[best]) best = e;
            topk_ids[n] = (float)best;
            topk_weights[n] = scores[best] / total;
            sum_used += topk_weights[n];
            scores[best] = -1.0f;
        }
        for (int32_t n = 0; experts->renormalize && n < experts->n_used; n++) topk_weights[n] /= sum_used;
    }
}

/* The three matrices of the expert that a token chose as its n-th. */
static const Matrix *chosen_expert(const Experts *experts, int32_t token, int32_t n) {
    return experts->matrices + 3 * (int32_t)row_of(experts->routing, token)[n];
}

void experts_up(const Operation *op, const Run *run, ThreadScratch *scratch, int thread, int n_threads) {
    const Experts *experts = &op->experts;
    for (int32_t t = 0; t < run->n_tokens; t++) {
        int32_t blocks = n_blocks(experts->matrices + 1), first, last;
        int32_t done = prepare_input(row_of(op->input, t), &op->norm, experts->matrices + 1, 1, scratch->inputs);
        for (int32_t n = 0; n < experts->n_used; n++) /* each matrix may be in a format of its own */
            done = convert_input_for(chosen_expert(experts, t, n) + !op->gated, 1 + op->gated, done, scratch->inputs);
        thread_range(experts->n_used * blocks, thread, n_threads, &first, &last);
        for (int32_t i = first; i < last; i++) {
            const Matrix *expert = chosen_expert(experts, t, i / blocks);
            int32_t row = i % blocks * ROWS, count = rows_in_block(expert + 1, row);
            float out[ROWS];
            gated_gemv(op, op->gated ? expert : NULL, expert + 1, row, scratch->inputs, 1, out);
            memcpy(row_of(op->output, t) + i / blocks * expert[1].rows + row, out, (size_t)count * sizeof(float));
        }
    }
}

void experts_down(const Operation *op, const Run *run, ThreadScratch *scratch, int thread, int n_threads) {
    const Experts *experts = &op->experts;
    for (int32_t t = 0; t < run->n_tokens; t++) {
        const Norm none = {.kind = NO_NORM};
        const float *topk_weights = row_of(experts->routing, t) + experts->n_used;
        int32_t first, last;
        for (int32_t n = 0; n < experts->n_used; n++) {
            const Matrix *down = chosen_expert(experts, t, n) + 2;
            prepare_input(row_of(op->input, t) + n * down->columns, &none, down, 1, scratch->inputs + n);
        }
        thread_range(n_blocks(experts->matrices + 2), thread, n_threads, &first, &last);
        for (int32_t block = first; block < last; block++) {
            float sum[ROWS] = {0}, out[2][ROWS];
            int32_t row = block * ROWS, count = rows_in_block(experts->matrices + 2, row);
            for (int32_t n = 0; n < experts->n_used; n += 2) {
                int32_t pair = n + 1 < experts->n_used ? 2 : 1;
                const Block a = {chosen_expert(experts, t, n) + 2, row, scratch->inputs + n, out[0]};
                const Block b =
                    pair == 1 ? a : (Block){chosen_expert(experts, t, n + 1) + 2, row, a.inputs + 1, out[1]};
                kernels->gemv(&a, pair == 1 ? &a : &b, 1);
                for (int32_t i = 0; i < pair; i++)
                    for (int32_t r = 0; r < count; r++) sum[r] += topk_weights[n + i] * out[i][r];
            }
            store_output(op, sum, count, row_of(op->output, t) + row);
        }
    }
}
