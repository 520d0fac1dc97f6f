/* Threads that work on one thing together, again and again, with as little waiting as can be. Must not know what the
 * work is. */
#ifndef LOGITSCOPE_THREADPOOL_H
#define LOGITSCOPE_THREADPOOL_H

typedef struct Threadpool Threadpool;
typedef void (*Work)(void *argument, int thread);

/* A pool of n threads, the caller included; NULL if they cannot be had. */
Threadpool *threadpool_new(int n_threads);
void threadpool_free(Threadpool *pool);
int threadpool_size(const Threadpool *pool);

/* Every thread of the pool does work(argument, its number); returns when all are done. Another caller waits until
 * then. */
void threadpool_run(Threadpool *pool, Work work, void *argument);

/* Within the work: go on once all threads are here. What each wrote before, all see afterwards. */
void threadpool_barrier(Threadpool *pool);

#endif
