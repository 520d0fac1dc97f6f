/* Threads that work on one thing together, again and again, with as little waiting as can be. Knows no arithmetic. */
#ifndef LOGITSCOPE_THREADS_H
#define LOGITSCOPE_THREADS_H

typedef struct Team Team;
typedef void (*Work)(void *what, int thread);

/* A team of n threads, the caller included; NULL if they cannot be had. */
Team *team_new(int n_threads);
void team_free(Team *team);
int team_size(const Team *team);

/* Every thread of the team does work(what, its number); returns when all are done. Another caller waits until then. */
void team_do(Team *team, Work work, void *what);

/* Within the work: go on once all threads are here. What each wrote before, all see afterwards. */
void team_meet(Team *team);

#endif
