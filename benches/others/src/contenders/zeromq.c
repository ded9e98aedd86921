// ZeroMQ: a PAIR over ipc or tcp, which batches by itself, in a thread of its own.
#include <zmq.h>

#include "side.h"

static void *sock;
static char *buffer;

static void open_socket(void) {
    int linger = -1;
    buffer = malloc(size);
    sock = zmq_socket(zmq_ctx_new(), ZMQ_PAIR);
    if (!buffer || !sock || zmq_setsockopt(sock, ZMQ_LINGER, &linger, sizeof linger))
        fail("zmq_socket");
}

static const char *address(void) {
    static char tcp[64];
    if (strcmp(variant, "tcp"))
        return ipc("zeromq");
    snprintf(tcp, sizeof tcp, "tcp://127.0.0.1:%d", 20000 + getpgrp() % 10000);
    return tcp;
}

static void first(void) {
    open_socket();
    if (zmq_bind(sock, address()))
        fail("zmq_bind");
}

static void second(void) {
    open_socket();
    if (zmq_connect(sock, address()))
        fail("zmq_connect");
}

static void send_message(long number) {
    fill(buffer, number);
    if (zmq_send(sock, buffer, size, 0) < 0)
        fail("zmq_send");
}

static void receive_message(long number) {
    int length = zmq_recv(sock, buffer, size, 0);
    if (length < 0)
        fail("zmq_recv");
    check(buffer, length, number);
}

int main(int argc, char **argv) {
    struct contender zeromq = {NULL, first, second, send_message, receive_message, NULL};
    return run(argc, argv, &zeromq);
}
