// What contenders in C and C++ share: two processes on a core each, checked messages, and a clock.
// Called as PROGRAM VARIANT PATTERN SIZE WARM COUNT, they print nanoseconds per message or round
// trip.
#ifndef SIDE_H
#define SIDE_H

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 64, SENDERS = 4 };

static const long ANY = -1;

static const char *variant, *pattern;
static size_t size;
static long warm, count;

// A contender. Each process calls one of `first` and `second` before it sends and receives;
// `prepare` comes before both, in the only process at that time.
struct contender {
    void (*prepare)(void);
    void (*first)(void);
    void (*second)(void);
    void (*send)(long number);
    void (*receive)(long number);
    void (*finish)(void);
};

__attribute__((noreturn)) static inline void fail(const char *what) {
    perror(what);
    _exit(1);
}

// Messages are those of measure/src/payload.rs, without flags: every byte is written, and a word of
// each line is checked.
static const uint64_t STEP = 0x9e3779b97f4a7c15u;

static inline uint64_t mix(uint64_t stamp) {
    uint64_t x = (stamp + STEP) * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 31;
}

static inline uint64_t check_word(uint64_t number) {
    return mix(number ^ (size - sizeof number));
}

static inline void fill(void *message, long number) {
    uint64_t word = mix((uint64_t)number);
    uint64_t *to = (uint64_t *)message;
    to[0] = (uint64_t)number, to[1] = check_word((uint64_t)number);
    for (int at = 2; at < 8; at++)
        to[at] = word;
    for (size_t line = 1; line < size / LINE; line++) {
        word += STEP, to += 8;
        for (int at = 0; at < 8; at++)
            to[at] = word;
    }
}

static inline void check(const void *message, size_t length, long number) {
    const uint64_t *from = (const uint64_t *)message;
    uint64_t stamp = number == ANY ? from[0] : (uint64_t)number, word = mix(stamp);
    uint64_t wrong = length != size;
    wrong |= (from[0] ^ stamp) | (from[1] ^ check_word(stamp)) | (from[2] ^ word);
    for (size_t line = 1; line < size / LINE; line++) {
        word += STEP, from += 8;
        wrong |= *from ^ word;
    }
    if (wrong) {
        fprintf(stderr, "message %ld of %zu bytes arrived wrong, with %zu\n", number, size, length);
        _exit(1);
    }
}

static inline double nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

static inline void pin(int side) {
    const char *cores = getenv("OTHERS_CORES");
    int core[2];
    if (!cores || sscanf(cores, "%d,%d", &core[0], &core[1]) != 2) {
        fputs("OTHERS_CORES holds no two cores\n", stderr);
        _exit(1);
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core[side], &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fail("sched_setaffinity");
}

// A name that no other measurement has, with something before it.
static inline const char *place(const char *before, const char *name) {
    static char places[4][256];
    static int next;
    char *to = places[next++ % 4];
    snprintf(to, sizeof places[0], "%sanyipc-others.%d.%s", before, (int)getpgrp(), name);
    return to;
}

// An address in the directory for temporary files, which goes as a whole.
static inline const char *ipc(const char *name) {
    const char *directory = getenv("TMPDIR");
    char before[200];
    snprintf(before, sizeof before, "ipc://%s/", directory ? directory : "/tmp");
    return place(before, name);
}

static inline void arguments(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: %s VARIANT PATTERN SIZE WARM COUNT\n", argv[0]);
        _exit(2);
    }
    variant = argv[1], pattern = argv[2];
    size = strtoul(argv[3], NULL, 10), warm = atol(argv[4]), count = atol(argv[5]);
}

static inline void serve(const struct contender *c) {
    long total = warm + count;
    if (!strcmp(pattern, "round-trip")) {
        for (long n = 0; n < total; n++)
            c->receive(n), c->send(n);
    } else {
        for (long n = 0; n < (strcmp(pattern, "senders") ? total : total / SENDERS); n++)
            c->send(n);
    }
}

static inline void steps(const struct contender *c, long from, long to) {
    int trips = !strcmp(pattern, "round-trip"), any = !strcmp(pattern, "senders");
    for (long n = from; n < to; n++) {
        if (trips)
            c->send(n);
        c->receive(any ? ANY : n);
    }
}

static inline int run(int argc, char **argv, const struct contender *c) {
    arguments(argc, argv);
    if (c->prepare)
        c->prepare();
    // The first side writes a byte for each of the others when it is ready, and closes at the end.
    int say[2], others = strcmp(pattern, "senders") ? 1 : SENDERS;
    if (pipe(say))
        fail("pipe");
    for (int other = 0; other < others; other++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (pid)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(say[1]);
        pin(1);
        char byte;
        if (read(say[0], &byte, 1) != 1)
            _exit(1);
        if (c->second)
            c->second();
        serve(c);
        if (read(say[0], &byte, 1) < 0)
            fail("read");
        _exit(0);
    }
    close(say[0]);
    pin(0);
    if (c->first)
        c->first();
    if (write(say[1], "....", others) != others)
        fail("write");
    steps(c, 0, warm);
    double start = nanoseconds();
    steps(c, warm, warm + count);
    printf("%f\n", (nanoseconds() - start) / count);
    close(say[1]);
    while (wait(NULL) > 0)
        ;
    if (c->finish)
        c->finish();
    return 0;
}

#endif
