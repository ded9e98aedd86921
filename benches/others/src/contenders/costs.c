// The system calls, and no others, that anyipc makes for what is done once. The variant `block`
// creates, opens and closes a block of memory with a name and an owner; `connect` exchanges
// greetings over a Unix socket and hands memory over.
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "side.h"

enum { HEADER = 304, HELLO = 35, ANSWER = 47, RECORD = 45, RINGS = 36864, MAPPED = 589824 };

static char directory[64], words[HEADER];
static int listener;

static int must(int result, const char *what) {
    if (result < 0)
        fail(what);
    return result;
}

static void share(int file) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
    must(fcntl(file, F_OFD_SETLK, &lock), "F_OFD_SETLK");
}

static void *map(int file, size_t length) {
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    must(madvise(memory, length, MADV_DONTFORK), "madvise");
    return memory;
}

static int open_directory(void) {
    struct stat found;
    int dir = must(open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "directory");
    must(fstat(dir, &found), "fstat");
    return dir;
}

static void is_still(int dir, const char *name) {
    struct stat found;
    must(fstatat(dir, name, &found, AT_SYMLINK_NOFOLLOW), name);
}

static struct sockaddr_un address(int dir) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/socket", dir);
    return at;
}

static int listening(int dir, int flags) {
    struct sockaddr_un at = address(dir);
    int sock = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), "socket");
    must(bind(sock, (struct sockaddr *)&at, sizeof at), "bind");
    must(listen(sock, 1024), "listen");
    return sock;
}

static void block(void) {
    size_t length = 4096 + size;
    int flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
    struct stat found;
    // The memory.
    int dir = open_directory();
    openat(dir, "lock", flags), openat(dir, "block", flags);
    int file = must(openat(dir, ".", O_RDWR | O_CLOEXEC | O_TMPFILE, 0600), "O_TMPFILE");
    must(fchmod(file, 0600), "fchmod");
    must(flock(file, LOCK_SH | LOCK_NB), "flock");
    share(file);
    must(fallocate(file, 0, 0, (off_t)length), "fallocate");
    must((int)pwrite(file, words, HEADER, 0), "pwrite");
    must(fstat(file, &found), "fstat");
    void *memory = map(file, length);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    must(linkat(AT_FDCWD, path, dir, "block", AT_SYMLINK_FOLLOW), "linkat");
    // The owner of the name.
    openat(dir, "lock", flags);
    int create = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int lock = must(openat(dir, "lock", create, 0600), "lock");
    must(fchmod(lock, 0600), "fchmod");
    must(fstat(lock, &found), "fstat");
    must(flock(lock, LOCK_EX | LOCK_NB), "flock");
    share(lock);
    is_still(dir, "lock");
    must(ftruncate(lock, 0), "ftruncate");
    must((int)pwrite(lock, words, RECORD, 0), "pwrite");
    unlinkat(dir, "socket", 0);
    int sock = listening(dir, SOCK_NONBLOCK);
    int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    struct epoll_event event = {.events = EPOLLIN};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, sock, &event), "epoll_ctl");
    // The opener.
    int there = open_directory();
    int opened = must(openat(there, "block", flags), "block");
    must(fstat(opened, &found), "fstat");
    flock(opened, LOCK_EX | LOCK_NB);
    must(flock(opened, LOCK_SH | LOCK_NB), "flock");
    share(opened);
    is_still(there, "block");
    must((int)pread(opened, words, HEADER, 0), "pread");
    must(fstat(opened, &found), "fstat");
    munmap(map(opened, length), length);
    is_still(there, "block");
    flock(opened, LOCK_EX | LOCK_NB);
    close(opened), close(there);
    // The end.
    is_still(dir, "lock");
    must(unlinkat(dir, "socket", 0), "unlinkat");
    is_still(dir, "lock");
    must(unlinkat(dir, "lock", 0), "unlinkat");
    close(lock), close(sock), close(epoll);
    munmap(memory, length);
    is_still(dir, "block");
    must(flock(file, LOCK_EX | LOCK_NB), "flock");
    share(file);
    is_still(dir, "block");
    must(unlinkat(dir, "block", 0), "unlinkat");
    close(file), close(dir);
}

static void is_same_user(int sock) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    must(getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &length), "SO_PEERCRED");
    if (peer.uid != geteuid())
        fail("uid");
}

// With a file: sends it along. Without: the file that came along, or -1.
static int exchange(int sock, ssize_t (*call)(int, struct msghdr *, int), size_t length, int file) {
    char answer[64];
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec bytes = {answer, length};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (file != -1)
        message.msg_control = &control, message.msg_controllen = sizeof control;
    if (file >= 0) {
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof file);
        memcpy(CMSG_DATA(head), &file, sizeof file);
    }
    if (call(sock, &message, MSG_NOSIGNAL) != (ssize_t)length)
        fail("a greeting");
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (file == -2 && head)
        memcpy(&file, CMSG_DATA(head), sizeof file);
    return file;
}

static ssize_t send_greeting(int sock, struct msghdr *message, int flags) {
    return sendmsg(sock, message, flags);
}

static ssize_t receive_greeting(int sock, struct msghdr *message, int flags) {
    return recvmsg(sock, message, flags | MSG_CMSG_CLOEXEC);
}

static void accept_one(void) {
    int sock = must(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept4");
    is_same_user(sock);
    exchange(sock, receive_greeting, HELLO, -1);
    int file = must(memfd_create("others", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create");
    must(fallocate(file, 0, 0, RINGS), "fallocate");
    must(ftruncate(file, MAPPED), "ftruncate");
    must(fcntl(file, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW), "F_ADD_SEALS");
    void *memory = map(file, MAPPED);
    exchange(sock, send_greeting, ANSWER, file);
    close(file), close(sock);
    munmap(memory, MAPPED);
}

static void connect_one(void) {
    struct stat found;
    int dir = open_directory();
    struct sockaddr_un at = address(dir);
    int sock = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    must(connect(sock, (struct sockaddr *)&at, sizeof at), "connect");
    close(dir);
    is_same_user(sock);
    exchange(sock, send_greeting, HELLO, -1);
    int file = must(exchange(sock, receive_greeting, ANSWER, -2), "no file");
    must(fcntl(file, F_GET_SEALS), "F_GET_SEALS");
    must(fstat(file, &found), "fstat");
    void *memory = map(file, MAPPED);
    close(file), close(sock);
    munmap(memory, MAPPED);
}

static void prepare(void) {
    strcpy(directory, "/dev/shm/anyipc-others.XXXXXX");
    if (!mkdtemp(directory))
        fail("mkdtemp");
    if (!strcmp(variant, "connect")) {
        int dir = open_directory();
        listener = listening(dir, 0);
        close(dir);
    }
}

static void first_does(long number) {
    (void)number;
    strcmp(variant, "connect") ? block() : accept_one();
}

static void second_does(long number) {
    (void)number;
    if (!strcmp(variant, "connect"))
        connect_one();
}

static void finish(void) {
    int dir = open_directory();
    unlinkat(dir, "socket", 0);
    close(dir);
    rmdir(directory);
}

int main(int argc, char **argv) {
    struct contender costs = {prepare, NULL, NULL, second_does, first_does, finish};
    return run(argc, argv, &costs);
}
