// A mutex of one word and the bare futex (Drepper, "Futexes are tricky", mutex 2): the least cost
// of a lock that sleeps. It knows nothing of deaths.
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "lock.h"

struct word {
    _Alignas(128) _Atomic uint32_t state; // 0 free, 1 taken, 2 taken and waited for
};

static struct word *words;

static void prepare(void) { words = shared(LOCKS * sizeof *words); }

static void lock(int number) {
    _Atomic uint32_t *state = &words[number].state;
    uint32_t found = 0;
    if (atomic_compare_exchange_strong(state, &found, 1))
        return;
    if (found != 2)
        found = atomic_exchange(state, 2);
    while (found) {
        syscall(SYS_futex, state, FUTEX_WAIT, 2, NULL, NULL, 0);
        found = atomic_exchange(state, 2);
    }
}

static void unlock(int number) {
    _Atomic uint32_t *state = &words[number].state;
    if (atomic_exchange(state, 0) != 2)
        return;
    if (syscall(SYS_futex, state, FUTEX_WAKE, 1, NULL, NULL, 0) < 0)
        fail("futex");
}

int main(int argc, char **argv) {
    struct locks futex = {prepare, lock, unlock, NULL};
    return run_locks(argc, argv, &futex);
}
