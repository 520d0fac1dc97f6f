/* Reads memory with all threads, as decoding reads weights, so that Python can measure the bandwidth. Must do
 * nothing with what it reads that takes longer than reading. */
#include "workspace.h"

typedef struct {
    Workspace *workspace;
    const char *memory;
    int64_t n_bytes;
    volatile float sums[64]; /* or the compiler would leave the reading out */
} BandwidthJob;

static void read_range(void *argument, int thread) {
    BandwidthJob *job = argument;
    int n_threads = threadpool_size(job->workspace->threadpool);
    int64_t first = job->n_bytes / 64 * thread / n_threads * 64;
    int64_t last = job->n_bytes / 64 * (thread + 1) / n_threads * 64;
    job->sums[thread % 64] += kernels->sum_memory(job->memory + first, last - first);
}

void logitscope_bandwidth_pass(Workspace *workspace, const void *memory, int64_t n_bytes) {
    BandwidthJob job = {workspace, memory, n_bytes, {0}};
    threadpool_run(workspace->threadpool, read_range, &job);
}
