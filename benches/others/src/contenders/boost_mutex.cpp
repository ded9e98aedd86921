// Boost.Interprocess: its named_mutex.
#include <boost/interprocess/sync/named_mutex.hpp>

#include "lock.h"

namespace bi = boost::interprocess;

static const char *const NAMES[LOCKS] = {"mutex0", "mutex1", "mutex2"};
static bi::named_mutex *all[LOCKS];

static void prepare() {
    for (int at = 0; at < LOCKS; at++)
        all[at] = new bi::named_mutex(bi::create_only, place("", NAMES[at]));
}

static void lock(int number) { all[number]->lock(); }
static void unlock(int number) { all[number]->unlock(); }

static void finish() {
    for (const char *name : NAMES)
        bi::named_mutex::remove(place("", name));
}

int main(int argc, char **argv) {
    locks named = {prepare, lock, unlock, finish};
    return run_locks(argc, argv, &named);
}
