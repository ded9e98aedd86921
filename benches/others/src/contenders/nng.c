// nng: a pair over ipc.
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "side.h"

static nng_socket sock;
static char *buffer;

static void must(int error, const char *what) {
    if (error) {
        fprintf(stderr, "%s: %s\n", what, nng_strerror(error));
        _exit(1);
    }
}

static void open_socket(void) {
    buffer = malloc(size);
    if (!buffer)
        fail("malloc");
    must(nng_pair0_open(&sock), "nng_pair0_open");
    must(nng_socket_set_size(sock, NNG_OPT_RECVMAXSZ, 0), "NNG_OPT_RECVMAXSZ");
}

static void first(void) {
    open_socket();
    must(nng_listen(sock, ipc("nng"), NULL, 0), "nng_listen");
}

static void second(void) {
    open_socket();
    must(nng_dial(sock, ipc("nng"), NULL, 0), "nng_dial");
}

static void send_message(long number) {
    fill(buffer, number);
    must(nng_send(sock, buffer, size, 0), "nng_send");
}

static void receive_message(long number) {
    size_t length = size;
    must(nng_recv(sock, buffer, &length, 0), "nng_recv");
    check(buffer, length, number);
}

int main(int argc, char **argv) {
    struct contender nng = {NULL, first, second, send_message, receive_message, NULL};
    return run(argc, argv, &nng);
}
