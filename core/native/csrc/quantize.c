/* Quantizes matrices, and dequantizes them, with all threads. Must not know the formats: see
 * kernels/quantize_impl.h. */
#include "workspace.h"

typedef struct {
    Workspace *workspace;
    const Matrix *matrix;
    int32_t first, count, format;
    char *out;
} DequantizeJob;

typedef struct {
    Workspace *workspace;
    const Matrix *matrix;
    int32_t first, count;
    const float *rows;
} QuantizeJob;

static void dequantize_range(void *argument, int thread) {
    const DequantizeJob *job = argument;
    int32_t first, last, columns = job->matrix->columns;
    thread_range((job->count + ROWS - 1) / ROWS, thread, threadpool_size(job->workspace->threadpool), &first, &last);
    for (int32_t block = first; block < last; block++) {
        int32_t row = block * ROWS, left = job->count - row < ROWS ? job->count - row : ROWS;
        char *out = job->out + (int64_t)row * columns * (job->format == F32 ? 4 : 2);
        kernels->dequantize(job->matrix, job->first + row, left, job->format, out);
    }
}

void logitscope_dequantize(Workspace *workspace, const Matrix *matrix, int32_t first, int32_t count, int32_t format,
                           void *out) {
    DequantizeJob job = {workspace, matrix, first, count, format, out};
    threadpool_run(workspace->threadpool, dequantize_range, &job);
}

static void quantize_range(void *argument, int thread) {
    const QuantizeJob *job = argument;
    int32_t first, last;
    thread_range((job->count + ROWS - 1) / ROWS, thread, threadpool_size(job->workspace->threadpool), &first, &last);
    for (int32_t block = first; block < last; block++) {
        int32_t row = block * ROWS, left = job->count - row < ROWS ? job->count - row : ROWS;
        kernels->quantize(job->matrix, job->first + row, left, job->rows + (int64_t)row * job->matrix->columns);
    }
}

void logitscope_quantize(Workspace *workspace, const Matrix *matrix, int32_t first, int32_t count, const float *rows) {
    QuantizeJob job = {workspace, matrix, first, count, rows};
    threadpool_run(workspace->threadpool, quantize_range, &job);
}
