/* Threads that work on one thing together. Between two pieces of work, a token apart, they spin for about two
 * milliseconds, longer than it takes to sample a token, and then sleep, so that a chat that waits for its person
 * does not burn the machine. Both must stay: waking sleeping threads at every operation would cost more than the
 * operation. */
#include "threadpool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define PAUSE() _mm_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ __volatile__("yield")
#else
#define PAUSE() ((void)0)
#endif

enum { SPINS_BEFORE_SLEEP = 40000, SPINS_BEFORE_YIELD = 64, CACHE_LINE = 64 };

/* Wait a moment, and now and then let others run, should there be more threads than processors. */
static void spin_pause(int spin) {
    PAUSE();
    if (spin % SPINS_BEFORE_YIELD == SPINS_BEFORE_YIELD - 1) sched_yield();
}

typedef struct {
    Threadpool *pool;
    int index;
} Worker;

struct Threadpool {
    int n_threads;
    pthread_mutex_t busy; /* held from the beginning of a piece of work to its end */
    Work work;
    void *argument;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int sleeping; /* guarded by lock */
    atomic_int stop;
    _Alignas(CACHE_LINE) atomic_uint round;            /* of work; a new number starts a new piece */
    _Alignas(CACHE_LINE) atomic_uint n_barriers_passed;
    _Alignas(CACHE_LINE) atomic_int n_at_barrier;      /* threads that have come to the present one */
    pthread_t handles[];
};

void threadpool_barrier(Threadpool *pool) {
    if (pool->n_threads == 1) return;
    unsigned passed = atomic_load_explicit(&pool->n_barriers_passed, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->n_at_barrier, 1, memory_order_acq_rel) == pool->n_threads - 1) {
        atomic_store_explicit(&pool->n_at_barrier, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->n_barriers_passed, passed + 1, memory_order_release);
        return;
    }
    int spin = 0;
    for (; atomic_load_explicit(&pool->n_barriers_passed, memory_order_acquire) == passed; spin = (spin + 1) % 65536)
        spin_pause(spin);
}

/* Wait for a round other than `seen`; 0 when the pool is being freed. */
static int wait_for_round(Threadpool *pool, unsigned seen) {
    for (int spin = 0; spin < SPINS_BEFORE_SLEEP; spin++) {
        if (atomic_load_explicit(&pool->round, memory_order_acquire) != seen) return !atomic_load(&pool->stop);
        spin_pause(spin);
    }
    pthread_mutex_lock(&pool->lock);
    pool->sleeping++;
    while (atomic_load_explicit(&pool->round, memory_order_acquire) == seen)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pool->sleeping--;
    pthread_mutex_unlock(&pool->lock);
    return !atomic_load(&pool->stop);
}

static void *worker(void *argument) {
    Worker self = *(Worker *)argument;
    free(argument);
    for (unsigned seen = 0; wait_for_round(self.pool, seen);) {
        seen = atomic_load_explicit(&self.pool->round, memory_order_acquire);
        self.pool->work(self.pool->argument, self.index);
        threadpool_barrier(self.pool);
    }
    return NULL;
}

void threadpool_run(Threadpool *pool, Work work, void *argument) {
    pthread_mutex_lock(&pool->busy);
    pool->work = work;
    pool->argument = argument;
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add_explicit(&pool->round, 1, memory_order_release);
    if (pool->sleeping) pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    work(argument, 0);
    threadpool_barrier(pool);
    pthread_mutex_unlock(&pool->busy);
}

Threadpool *threadpool_new(int n_threads) {
    size_t size = sizeof(Threadpool) + sizeof(pthread_t) * (size_t)n_threads;
    Threadpool *pool = aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!pool) return NULL;
    pool->n_threads = 1;
    pool->sleeping = 0;
    atomic_init(&pool->stop, 0);
    atomic_init(&pool->round, 0);
    atomic_init(&pool->n_barriers_passed, 0);
    atomic_init(&pool->n_at_barrier, 0);
    pthread_mutex_init(&pool->busy, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (int index = 1; index < n_threads; index++) {
        Worker *worker_argument = malloc(sizeof *worker_argument);
        if (worker_argument) *worker_argument = (Worker){pool, index};
        if (!worker_argument || pthread_create(&pool->handles[index], NULL, worker, worker_argument)) {
            free(worker_argument);
            threadpool_free(pool);
            return NULL;
        }
        pool->n_threads = index + 1;
    }
    return pool;
}

void threadpool_free(Threadpool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, 1);
    atomic_fetch_add_explicit(&pool->round, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int index = 1; index < pool->n_threads; index++) pthread_join(pool->handles[index], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->busy);
    free(pool);
}

int threadpool_size(const Threadpool *pool) { return pool->n_threads; }
