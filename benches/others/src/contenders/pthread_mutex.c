// POSIX threads: a mutex that processes share, robust or, with the variant `plain`, not.
#include <errno.h>
#include <pthread.h>

#include "lock.h"

struct padded {
    _Alignas(128) pthread_mutex_t mutex;
};

static struct padded *all;

static void prepare(void) {
    all = shared(LOCKS * sizeof *all);
    pthread_mutexattr_t how;
    if (pthread_mutexattr_init(&how) || pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED))
        fail("pthread_mutexattr");
    if (strcmp(variant, "plain") && pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST))
        fail("pthread_mutexattr_setrobust");
    for (int at = 0; at < LOCKS; at++)
        if (pthread_mutex_init(&all[at].mutex, &how))
            fail("pthread_mutex_init");
}

static void lock(int number) {
    if (pthread_mutex_lock(&all[number].mutex))
        fail("pthread_mutex_lock");
}

static void unlock(int number) {
    if (pthread_mutex_unlock(&all[number].mutex))
        fail("pthread_mutex_unlock");
}

int main(int argc, char **argv) {
    struct locks pthread = {prepare, lock, unlock, NULL};
    return run_locks(argc, argv, &pthread);
}
