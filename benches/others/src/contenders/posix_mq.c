// The kernel's message queues with the limits of an unprivileged user: ten messages each.
#include <fcntl.h>
#include <mqueue.h>

#include "side.h"

static mqd_t there, back, out, in;
static char *buffer;

static mqd_t queue(const char *name) {
    struct mq_attr shape = {.mq_maxmsg = 10, .mq_msgsize = (long)size};
    const char *path = place("/", name);
    mqd_t made = mq_open(path, O_RDWR | O_CREAT | O_EXCL, 0600, &shape);
    if (made < 0)
        fail("mq_open");
    // Both sides have it by then.
    mq_unlink(path);
    return made;
}

static void prepare(void) {
    buffer = malloc(size);
    if (!buffer)
        fail("malloc");
    there = queue("there"), back = queue("back");
}

static void first(void) {
    out = there, in = back;
}

static void second(void) {
    out = back, in = there;
}

static void send_message(long number) {
    fill(buffer, number);
    if (mq_send(out, buffer, size, 0))
        fail("mq_send");
}

static void receive_message(long number) {
    ssize_t length = mq_receive(in, buffer, size, NULL);
    if (length < 0)
        fail("mq_receive");
    check(buffer, length, number);
}

int main(int argc, char **argv) {
    struct contender mq = {prepare, first, second, send_message, receive_message, NULL};
    return run(argc, argv, &mq);
}
