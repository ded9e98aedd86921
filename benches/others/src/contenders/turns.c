// How long four processes wait at worst for a lock that is strictly in order, which shows what
// scheduling alone costs: tickets, and a futex to sleep on. `plain` is a futex mutex without an
// order. The test of ours is in tests/sync_surroundings.rs: nobody_waits_….
// No contender of a row; benches/others/run builds it.
//
//     target/others/contenders/turns ticket 250000 80
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 4 };

static struct {
    _Atomic uint32_t next, served, word, ready;
    long longest[PROCESSES], held[PROCESSES];
} *all;

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, uint32_t bits) {
    return syscall(SYS_futex, word, operation, value, NULL, NULL, bits);
}

static void lock(int by_ticket) {
    if (!by_ticket) {
        uint32_t found = 0;
        if (atomic_compare_exchange_strong(&all->word, &found, 1))
            return;
        while (atomic_exchange(&all->word, 2))
            futex(&all->word, FUTEX_WAIT, 2, 0);
        return;
    }
    uint32_t own = atomic_fetch_add(&all->next, 1), served;
    while ((served = atomic_load(&all->served)) != own)
        futex(&all->served, FUTEX_WAIT_BITSET, served, 1u << own % 32);
}

static void unlock(int by_ticket) {
    if (!by_ticket) {
        if (atomic_exchange(&all->word, 0) == 2)
            futex(&all->word, FUTEX_WAKE, 1, 0);
        return;
    }
    uint32_t following = atomic_fetch_add(&all->served, 1) + 1;
    if (atomic_load(&all->next) != following)
        futex(&all->served, FUTEX_WAKE_BITSET, INT32_MAX, 1u << following % 32);
}

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000 + time.tv_nsec;
}

// Nanoseconds in which this thread could run and another one ran.
static long in_queue(void) {
    long run, waited = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "r");
    if (!file || fscanf(file, "%ld %ld", &run, &waited) != 2)
        waited = 0;
    if (file)
        fclose(file);
    return waited;
}

static void take_turns(int number, int by_ticket, long rounds, long hold) {
    atomic_fetch_add(&all->ready, 1);
    while (atomic_load(&all->ready) < PROCESSES)
        usleep(1000);
    long longest = 0, held = 0;
    for (long round = 0; round < rounds; round++) {
        long before = in_queue(), start = now();
        lock(by_ticket);
        long locked = now();
        while (now() - locked < hold)
            ;
        unlock(by_ticket);
        held += now() - locked;
        long waited = locked - start - (in_queue() - before);
        longest = waited > longest ? waited : longest;
    }
    all->longest[number] = longest, all->held[number] = held / rounds;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s ticket|plain ROUNDS HOLD-MICROSECONDS\n", argv[0]);
        return 2;
    }
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return perror("mmap"), 1;
    for (int number = 0; number < PROCESSES; number++)
        if (!fork()) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            take_turns(number, !strcmp(argv[1], "ticket"), atol(argv[2]), atol(argv[3]) * 1000);
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    long longest = 0, held = 0;
    for (int number = 0; number < PROCESSES; number++) {
        longest = all->longest[number] > longest ? all->longest[number] : longest;
        held += all->held[number] / PROCESSES;
    }
    printf("%s: held for %ld ns, waited %ld ns at worst: %ld times\n", argv[1], held, longest,
           longest / held);
}
