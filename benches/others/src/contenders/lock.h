// What contenders with locks in C and C++ share. The pattern `lock`: one process takes and releases
// a lock. `handover`: two processes leapfrog over three locks, so that each takes a lock as soon as
// the other one releases it; printed is the time of a step of both.
#ifndef LOCK_H
#define LOCK_H

#include <sys/mman.h>

#include "side.h"

enum { LOCKS = 3 };

// Memory that both processes share.
static inline void *shared(size_t length) {
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    return memory;
}

struct locks {
    void (*prepare)(void);
    void (*lock)(int number);
    void (*unlock)(int number);
    void (*finish)(void);
};

static inline void lock_steps(const struct locks *l, int leaps, int *held, long steps) {
    for (long n = 0; n < steps; n++) {
        if (!leaps) {
            l->lock(0);
            l->unlock(0);
            continue;
        }
        int next = (*held + 1) % LOCKS;
        l->lock(next);
        l->unlock(*held);
        *held = next;
    }
}

static inline int run_locks(int argc, char **argv, const struct locks *l) {
    arguments(argc, argv);
    l->prepare();
    int leaps = !strcmp(pattern, "handover"), held = 0, say[2];
    if (pipe(say))
        fail("pipe");
    pid_t pid = leaps ? fork() : 1;
    if (pid < 0)
        fail("fork");
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin(1);
        l->lock(held = 1);
        if (write(say[1], ".", 1) != 1)
            fail("write");
        lock_steps(l, 1, &held, warm + count);
        l->unlock(held);
        _exit(0);
    }
    pin(0);
    char byte;
    if (leaps) {
        l->lock(0);
        if (read(say[0], &byte, 1) != 1)
            fail("read");
    }
    lock_steps(l, leaps, &held, warm);
    double start = nanoseconds();
    lock_steps(l, leaps, &held, count);
    printf("%f\n", (nanoseconds() - start) / count);
    if (leaps)
        l->unlock(held);
    while (wait(NULL) > 0)
        ;
    if (l->finish)
        l->finish();
    return 0;
}

#endif
