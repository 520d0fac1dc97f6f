/* Makes and frees the workspace: the threads, and the memory each of them needs to decode. Must not take memory while
 * tokens are decoded: all of it is laid out here, once. */
#include "workspace.h"

#include <stdlib.h>
#include <string.h>

#include "prefill.h"

/* Without memory, this only measures: *at ends behind all that a thread needs. */
static void layout_scratch(char *memory, size_t *at, ThreadScratch *scratch, int32_t columns, int32_t d_head) {
    ThreadScratch measured;
    if (!scratch) scratch = &measured;
    size_t padded_columns = ((size_t)columns + 63) / 64 * 64, groups = padded_columns / GROUP;
    for (int t = 0; t < MAX_STEP_TOKENS; t++) {
        Input *input = scratch->inputs + t;
        input->values = carve(memory, at, padded_columns * sizeof(float));
        input->bf16 = carve(memory, at, padded_columns * sizeof(uint16_t));
        input->quants = carve(memory, at, padded_columns);
        input->residuals = carve(memory, at, padded_columns);
        input->scales = carve(memory, at, groups * sizeof(float));
        input->sums = carve(memory, at, groups * sizeof(int32_t));
    }
    scratch->attention = carve(memory, at, (size_t)attention_scratch_size(d_head) * sizeof(float));
}

Workspace *logitscope_create_workspace(int32_t n_threads, int32_t columns, int32_t d_head) {
    Workspace *workspace = calloc(1, sizeof(Workspace) + (size_t)n_threads * sizeof(ThreadScratch));
    if (!workspace) return NULL;
    size_t per_thread = 0;
    layout_scratch(NULL, &per_thread, NULL, columns, d_head);
    workspace->memory = aligned_alloc(64, per_thread * (size_t)n_threads);
    workspace->threadpool = threadpool_new(n_threads);
    if (!workspace->memory || !workspace->threadpool) {
        logitscope_free_workspace(workspace);
        return NULL;
    }
    workspace->columns = columns;
    workspace->d_head = d_head;
    memset(workspace->memory, 0, per_thread * (size_t)n_threads);
    size_t at = 0;
    for (int thread = 0; thread < n_threads; thread++)
        layout_scratch(workspace->memory, &at, workspace->scratch + thread, columns, d_head);
    return workspace;
}

void logitscope_free_workspace(Workspace *workspace) {
    if (!workspace) return;
    threadpool_free(workspace->threadpool);
    prefill_scratch_free(workspace->prefill);
    free(workspace->memory);
    free(workspace);
}
