// POSIX threads: a lock for one writer or many readers that processes share, taken to read or, with
// the variant `write`, to write.
#include <pthread.h>

#include "lock.h"

struct padded {
    _Alignas(128) pthread_rwlock_t lock;
};

static struct padded *all;

static void prepare(void) {
    all = shared(LOCKS * sizeof *all);
    pthread_rwlockattr_t how;
    if (pthread_rwlockattr_init(&how) ||
        pthread_rwlockattr_setpshared(&how, PTHREAD_PROCESS_SHARED))
        fail("pthread_rwlockattr");
    for (int at = 0; at < LOCKS; at++)
        if (pthread_rwlock_init(&all[at].lock, &how))
            fail("pthread_rwlock_init");
}

static void read_lock(int number) {
    if (pthread_rwlock_rdlock(&all[number].lock))
        fail("pthread_rwlock_rdlock");
}

static void write_lock(int number) {
    if (pthread_rwlock_wrlock(&all[number].lock))
        fail("pthread_rwlock_wrlock");
}

static void unlock(int number) {
    if (pthread_rwlock_unlock(&all[number].lock))
        fail("pthread_rwlock_unlock");
}

int main(int argc, char **argv) {
    int writes = argc > 1 && !strcmp(argv[1], "write");
    struct locks pthread = {prepare, writes ? write_lock : read_lock, unlock, NULL};
    return run_locks(argc, argv, &pthread);
}
