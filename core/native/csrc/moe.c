/* A mixture of experts: each token goes through the few that it chooses. A part of decode.c. */
#include <math.h>
#include <string.h>

#include "decode.h"

/* The experts with the highest scores, the lower number first where they are equal, and their shares (a softmax over
 * all of them). */
void route(const Operation *op, const Run *run) {
    const Experts *experts = &op->experts;
    for (int32_t t = 0; t < run->n_tokens; t++) {
        float *scores = row_of(op->input, t), *chosen = row_of(experts->choice, t), *shares = chosen + experts->n_used;
        float most = scores[0], total = 0.0f, used = 0.0f;
        for (int32_t e = 1; e < experts->n_experts; e++) most = scores[e] > most ? scores[e] : most;
        for (int32_t e = 0; e < experts->n_experts; e++) total += scores[e] = expf(scores[e] - most);
        for (int32_t n = 0; n < experts->n_used; n++) {
            int32_t best = 0;
            for (int32_t e = 1; e < experts->n_experts; e++)
                if (scores[e] > scores[best]) best = e;
            chosen[n] = (float)best;
            shares[n] = scores[best] / total;
            used += shares[n];
            scores[best] = -1.0f;
        }
        for (int32_t n = 0; experts->renormalised && n < experts->n_used; n++) shares[n] /= used;
    }
}

/* The three matrices of the expert that a token chose as its n-th. */
static const Matrix *chosen_expert(const Experts *experts, int32_t token, int32_t n) {
    return experts->matrices + 3 * (int32_t)row_of(experts->choice, token)[n];
}

void experts_in(const Operation *op, const Run *run, Scratch *scratch, int thread, int threads) {
    const Experts *experts = &op->experts;
    for (int32_t t = 0; t < run->n_tokens; t++) {
        int32_t blocks = blocks_of(experts->matrices + 1), first, last;
        int32_t done = prepare_one(row_of(op->input, t), &op->norm, experts->matrices + 1, 1, scratch->inputs);
        for (int32_t n = 0; n < experts->n_used; n++) /* each matrix may be in a format of its own */
            done = prepare_for(chosen_expert(experts, t, n) + !op->gated, 1 + op->gated, done, scratch->inputs);
        share(experts->n_used * blocks, thread, threads, &first, &last);
        for (int32_t i = first; i < last; i++) {
            const Matrix *expert = chosen_expert(experts, t, i / blocks);
            int32_t row = i % blocks * ROWS, count = rows_in_block(expert + 1, row);
            float out[ROWS];
            gated_block(op, op->gated ? expert : NULL, expert + 1, row, scratch->inputs, 1, out);
            memcpy(row_of(op->output, t) + i / blocks * expert[1].rows + row, out, (size_t)count * sizeof(float));
        }
    }
}

void experts_out(const Operation *op, const Run *run, Scratch *scratch, int thread, int threads) {
    const Experts *experts = &op->experts;
    for (int32_t t = 0; t < run->n_tokens; t++) {
        const Norm none = {.kind = NO_NORM};
        const float *shares = row_of(experts->choice, t) + experts->n_used;
        int32_t first, last;
        for (int32_t n = 0; n < experts->n_used; n++) {
            const Matrix *down = chosen_expert(experts, t, n) + 2;
            prepare_one(row_of(op->input, t) + n * down->columns, &none, down, 1, scratch->inputs + n);
        }
        share(blocks_of(experts->matrices + 2), thread, threads, &first, &last);
        for (int32_t block = first; block < last; block++) {
            float sum[ROWS] = {0}, out[2][ROWS];
            int32_t row = block * ROWS, count = rows_in_block(experts->matrices + 2, row);
            for (int32_t n = 0; n < experts->n_used; n += 2) {
                int32_t pair = n + 1 < experts->n_used ? 2 : 1;
                const Block a = {chosen_expert(experts, t, n) + 2, row, scratch->inputs + n, out[0]};
                const Block b = pair == 1 ? a : (Block){chosen_expert(experts, t, n + 1) + 2, row, a.inputs + 1, out[1]};
                kernels->blocks(&a, pair == 1 ? &a : &b, 1);
                for (int32_t i = 0; i < pair; i++)
                    for (int32_t r = 0; r < count; r++) sum[r] += shares[n + i] * out[i][r];
            }
            deliver(op, sum, count, row_of(op->output, t) + row);
        }
    }
}
