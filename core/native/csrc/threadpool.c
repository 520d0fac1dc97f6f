/* Threads that work on one thing together. Between two pieces of work, a step apart, they look for the next one for
 * about two milliseconds, longer than it takes to choose a token, and then sleep, so that a chat that waits for its person
 * does not burn the machine. */
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

enum { LOOKS_BEFORE_SLEEP = 40000, LOOKS_BEFORE_YIELD = 64, LINE = 64 };

/* Wait a moment, and now and then let others run, should there be more threads than processors. */
static void pause_at(int look) {
    PAUSE();
    if (look % LOOKS_BEFORE_YIELD == LOOKS_BEFORE_YIELD - 1) sched_yield();
}

typedef struct {
    Team *team;
    int number;
} Member;

struct Team {
    int n_threads;
    pthread_mutex_t busy; /* held from the beginning of a piece of work to its end */
    Work work;
    void *what;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int sleeping; /* guarded by lock */
    atomic_int leaving;
    _Alignas(LINE) atomic_uint round;   /* of work; starts a new piece */
    _Alignas(LINE) atomic_uint meeting; /* how many meetings there were */
    _Alignas(LINE) atomic_int here;     /* threads that have come to this one */
    pthread_t threads[];
};

void team_meet(Team *team) {
    if (team->n_threads == 1) return;
    unsigned now = atomic_load_explicit(&team->meeting, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->here, 1, memory_order_acq_rel) == team->n_threads - 1) {
        atomic_store_explicit(&team->here, 0, memory_order_relaxed);
        atomic_store_explicit(&team->meeting, now + 1, memory_order_release);
        return;
    }
    for (int look = 0; atomic_load_explicit(&team->meeting, memory_order_acquire) == now; look = (look + 1) % 65536)
        pause_at(look);
}

/* Wait for a round other than `seen`; 0 when the team is dissolved. */
static int next_round(Team *team, unsigned seen) {
    for (int look = 0; look < LOOKS_BEFORE_SLEEP; look++) {
        if (atomic_load_explicit(&team->round, memory_order_acquire) != seen) return !atomic_load(&team->leaving);
        pause_at(look);
    }
    pthread_mutex_lock(&team->lock);
    team->sleeping++;
    while (atomic_load_explicit(&team->round, memory_order_acquire) == seen)
        pthread_cond_wait(&team->wake, &team->lock);
    team->sleeping--;
    pthread_mutex_unlock(&team->lock);
    return !atomic_load(&team->leaving);
}

static void *member(void *argument) {
    Member me = *(Member *)argument;
    free(argument);
    for (unsigned seen = 0; next_round(me.team, seen);) {
        seen = atomic_load_explicit(&me.team->round, memory_order_acquire);
        me.team->work(me.team->what, me.number);
        team_meet(me.team);
    }
    return NULL;
}

void team_do(Team *team, Work work, void *what) {
    pthread_mutex_lock(&team->busy);
    team->work = work;
    team->what = what;
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add_explicit(&team->round, 1, memory_order_release);
    if (team->sleeping) pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
    work(what, 0);
    team_meet(team);
    pthread_mutex_unlock(&team->busy);
}

Team *team_new(int n_threads) {
    size_t size = sizeof(Team) + sizeof(pthread_t) * (size_t)n_threads;
    Team *team = aligned_alloc(LINE, (size + LINE - 1) / LINE * LINE);
    if (!team) return NULL;
    team->n_threads = 1;
    team->sleeping = 0;
    atomic_init(&team->leaving, 0);
    atomic_init(&team->round, 0);
    atomic_init(&team->meeting, 0);
    atomic_init(&team->here, 0);
    pthread_mutex_init(&team->busy, NULL);
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->wake, NULL);
    for (int number = 1; number < n_threads; number++) {
        Member *one = malloc(sizeof *one);
        if (one) *one = (Member){team, number};
        if (!one || pthread_create(&team->threads[number], NULL, member, one)) {
            free(one);
            team_free(team);
            return NULL;
        }
        team->n_threads = number + 1;
    }
    return team;
}

void team_free(Team *team) {
    if (!team) return;
    pthread_mutex_lock(&team->lock);
    atomic_store(&team->leaving, 1);
    atomic_fetch_add_explicit(&team->round, 1, memory_order_release);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
    for (int number = 1; number < team->n_threads; number++) pthread_join(team->threads[number], NULL);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->lock);
    pthread_mutex_destroy(&team->busy);
    free(team);
}

int team_size(const Team *team) { return team->n_threads; }
