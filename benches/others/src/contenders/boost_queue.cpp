// Boost.Interprocess: its message_queue. The variant is its capacity in messages.
#include <boost/interprocess/ipc/message_queue.hpp>
#include <vector>

#include "side.h"

namespace bi = boost::interprocess;

static bi::message_queue *there, *back, *out, *in;
static std::vector<char> *buffer;

static bi::message_queue *make(const char *name) {
    size_t capacity = strtoul(variant, nullptr, 10);
    return new bi::message_queue(bi::create_only, place("", name), capacity, size);
}

static void prepare() {
    buffer = new std::vector<char>(size);
    there = make("there"), back = make("back");
}

static void first() { out = there, in = back; }
static void second() { out = back, in = there; }

static void send_message(long number) {
    fill(buffer->data(), number);
    out->send(buffer->data(), size, 0);
}

static void receive_message(long number) {
    bi::message_queue::size_type length;
    unsigned priority;
    in->receive(buffer->data(), size, length, priority);
    check(buffer->data(), length, number);
}

static void finish() {
    bi::message_queue::remove(place("", "there"));
    bi::message_queue::remove(place("", "back"));
}

int main(int argc, char **argv) {
    contender queue = {prepare, first, second, send_message, receive_message, finish};
    return run(argc, argv, &queue);
}
