/* Whole matrices quantised, and unpacked again, by all threads of a pool. */
#include "workspace.h"

typedef struct {
    Pool *pool;
    const Matrix *matrix;
    int32_t first, count, format;
    char *out;
} Unpacking;

typedef struct {
    Pool *pool;
    const Matrix *matrix;
    int32_t first, count;
    const float *rows;
} Packing;

static void unpack_share(void *what, int thread) {
    const Unpacking *job = what;
    int32_t first, last, columns = job->matrix->columns;
    share((job->count + ROWS - 1) / ROWS, thread, team_size(job->pool->team), &first, &last);
    for (int32_t block = first; block < last; block++) {
        int32_t row = block * ROWS, left = job->count - row < ROWS ? job->count - row : ROWS;
        char *out = job->out + (int64_t)row * columns * (job->format == F32 ? 4 : 2);
        kernels->unpack(job->matrix, job->first + row, left, job->format, out);
    }
}

void logitscope_unpack(Pool *pool, const Matrix *matrix, int32_t first, int32_t count, int32_t format, void *out) {
    Unpacking job = {pool, matrix, first, count, format, out};
    team_do(pool->team, unpack_share, &job);
}

static void pack_share(void *what, int thread) {
    const Packing *job = what;
    int32_t first, last;
    share((job->count + ROWS - 1) / ROWS, thread, team_size(job->pool->team), &first, &last);
    for (int32_t block = first; block < last; block++) {
        int32_t row = block * ROWS, left = job->count - row < ROWS ? job->count - row : ROWS;
        kernels->pack(job->matrix, job->first + row, left, job->rows + (int64_t)row * job->matrix->columns);
    }
}

void logitscope_pack(Pool *pool, const Matrix *matrix, int32_t first, int32_t count, const float *rows) {
    Packing job = {pool, matrix, first, count, rows};
    team_do(pool->team, pack_share, &job);
}
