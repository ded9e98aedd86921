// POSIX: a semaphore of one permit that processes share.
#include <semaphore.h>

#include "lock.h"

struct padded {
    _Alignas(128) sem_t semaphore;
};

static struct padded *all;

static void prepare(void) {
    all = shared(LOCKS * sizeof *all);
    for (int at = 0; at < LOCKS; at++)
        if (sem_init(&all[at].semaphore, 1, 1))
            fail("sem_init");
}

static void take(int number) {
    if (sem_wait(&all[number].semaphore))
        fail("sem_wait");
}

static void give(int number) {
    if (sem_post(&all[number].semaphore))
        fail("sem_post");
}

int main(int argc, char **argv) {
    struct locks posix = {prepare, take, give, NULL};
    return run_locks(argc, argv, &posix);
}
