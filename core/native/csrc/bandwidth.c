/* How fast memory comes in: read by all threads of a pool, and nothing done with it. */
#include "workspace.h"

typedef struct {
    Pool *pool;
    const char *memory;
    int64_t n_bytes;
    volatile float sums[64]; /* so that the compiler does not leave the reading out */
} Reading;

static void add_up_share(void *what, int thread) {
    Reading *job = what;
    int threads = team_size(job->pool->team);
    int64_t first = job->n_bytes / 64 * thread / threads * 64, last = job->n_bytes / 64 * (thread + 1) / threads * 64;
    job->sums[thread % 64] += kernels->add_up(job->memory + first, last - first);
}

void logitscope_add_up(Pool *pool, const void *memory, int64_t n_bytes) {
    Reading job = {pool, memory, n_bytes, {0}};
    team_do(pool->team, add_up_share, &job);
}
