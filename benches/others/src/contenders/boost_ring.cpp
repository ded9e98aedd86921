// Boost.Interprocess: a ring of slots in shared memory, a mutex and two conditions. The variant is
// its size in KiB.
#include <algorithm>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/anonymous_shared_memory.hpp>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <new>

#include "side.h"

namespace bi = boost::interprocess;
using lock = bi::scoped_lock<bi::interprocess_mutex>;

struct ring {
    bi::interprocess_mutex mutex;
    bi::interprocess_condition filled, emptied;
    unsigned long head = 0, tail = 0, slots;
    alignas(128) char messages[1];

    char *slot(unsigned long at) { return messages + (at % slots) * size; }
};

static ring *there, *back, *out, *in;

static ring *make() {
    unsigned long slots = std::max(2ul, strtoul(variant, nullptr, 10) * 1024 / size);
    bi::mapped_region memory = bi::anonymous_shared_memory(sizeof(ring) + slots * size);
    ring *made = new (memory.get_address()) ring;
    made->slots = slots;
    // Mapped until the end.
    static bi::mapped_region kept[2];
    static int next;
    kept[next++].swap(memory);
    return made;
}

static void prepare() { there = make(), back = make(); }
static void first() { out = there, in = back; }
static void second() { out = back, in = there; }

// Messages are written and read in their slots, outside of the lock.
static void send_message(long number) {
    {
        lock held(out->mutex);
        while (out->head - out->tail == out->slots)
            out->emptied.wait(held);
    }
    fill(out->slot(out->head), number);
    lock held(out->mutex);
    if (out->head++ == out->tail)
        out->filled.notify_one();
}

static void receive_message(long number) {
    {
        lock held(in->mutex);
        while (in->head == in->tail)
            in->filled.wait(held);
    }
    check(in->slot(in->tail), size, number);
    lock held(in->mutex);
    if (in->head - in->tail++ == in->slots)
        in->emptied.notify_one();
}

int main(int argc, char **argv) {
    contender boost = {prepare, first, second, send_message, receive_message, nullptr};
    return run(argc, argv, &boost);
}
