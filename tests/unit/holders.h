/*
 * holders - for the tests of ports: a network of our own, and processes that hold a port in it in
 * every way there is.
 */
#ifndef KPC_TESTS_HOLDERS_H
#define KPC_TESTS_HOLDERS_H

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PORT = 754, SERVER_PORT = 7540 };

/* A network namespace with loopback up. False where we may not. */
static inline bool
own_network(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
    bool ok;
    int fd;

    if (unshare(CLONE_NEWNET) != 0)
        return false;
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    ok = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

enum { REUSEADDR = 1, REUSEPORT = 2, LISTEN = 4, V6ONLY = 8 };

/* A socket bound to ADDRESS ("127.0.0.1", "::") and PORT, with the options of FLAGS. */
static inline int
bind_socket(const char *address, int port, int flags)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    bool six = strchr(address, ':') != NULL;
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0), on = 1, off = 0;

    if (flags & REUSEADDR)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (flags & REUSEPORT)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (six)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, flags & V6ONLY ? &on : &off, sizeof(on));
    if (inet_pton(six ? AF_INET6 : AF_INET, address,
                  six ? (void *)&in6.sin6_addr : (void *)&in.sin_addr) != 1)
        return -1;
    if (bind(fd, six ? (struct sockaddr *)&in6 : (struct sockaddr *)&in,
             six ? sizeof(in6) : sizeof(in)) != 0 ||
        ((flags & LISTEN) && listen(fd, 5) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

struct holder {
    const char *name;    /* of the process, or NULL */
    const char *address; /* NULL: nothing is bound */
    int flags;
    const char *second; /* bound too */
    int second_flags;
    bool (*more)(void); /* done after that, in the process */
};

static inline void
holder_main(const struct holder *holder, int ready)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (holder->name != NULL)
        prctl(PR_SET_NAME, holder->name);
    if ((holder->address != NULL && bind_socket(holder->address, PORT, holder->flags) < 0) ||
        (holder->second != NULL && bind_socket(holder->second, PORT, holder->second_flags) < 0) ||
        (holder->more != NULL && !holder->more()) || write(ready, "x", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

/* A process that holds what HOLDER says; returns when it does. -1 on failure. */
static inline pid_t
holder_start(const struct holder *holder)
{
    char byte;
    int ends[2];
    pid_t pid;

    if (pipe(ends) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        close(ends[0]);
        holder_main(holder, ends[1]);
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1)
        pid = -1;
    close(ends[0]);
    return pid;
}

static inline void
holder_end(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* A connection from PORT of 127.0.0.1 to a server in the same process; ends in FDS. */
static inline bool
connect_from_port(int flags, int *fds)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(SERVER_PORT) };
    int server = bind_socket("127.0.0.1", SERVER_PORT, REUSEADDR | LISTEN);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fds[0] = bind_socket("127.0.0.1", PORT, flags);
    if (server < 0 || fds[0] < 0 || connect(fds[0], (struct sockaddr *)&to, sizeof(to)) != 0)
        return false;
    fds[1] = accept(server, NULL, NULL);
    close(server);
    return fds[1] >= 0;
}

#endif
