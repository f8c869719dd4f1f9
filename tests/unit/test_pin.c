/* pin: a program that connects elsewhere comes to the address that it is held to. */
#include "kpropctl/transfer/pin.h"

#include "common/base/clock.h"
#include "common/base/subprocess.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A listener at 127.0.0.1 and a port of the kernel's choice. */
static int
listen_here(struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    socklen_t len = sizeof(*v4);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(address, 0, sizeof(*address));
    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &len), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* Run bash's SCRIPT, held to ADDRESS: its exit status, with what it says in SAID. */
static int
run_held(const struct sockaddr_storage *address, const char *script, struct buffer *said)
{
    struct subprocess_options options = {
        .pipe_out = true, .pipe_err = true, .merge = true, .confine = pin_confine
    };
    const char *argv[] = { "/bin/bash", "-c", script, NULL };
    double deadline = clock_monotonic() + 20;
    struct subprocess_result result;
    struct subprocess child;
    struct error err;
    struct pin *pin;

    error_clear(&err);
    pin = pin_new(address, &err);
    if (pin == NULL)
        skip(); /* this kernel cannot */
    options.closure = pin;
    if (!subprocess_start(argv, &options, &child, &err))
        fail_msg("%s", err.text);
    assert_true(pin_begin(pin, child.pid));
    for (ssize_t n = 1; n > 0 && clock_monotonic() < deadline;) {
        struct pollfd fds[2] = { { child.out, POLLIN, 0 }, { pin_fd(pin), POLLIN, 0 } };
        char data[256];

        poll(fds, 2, 100);
        if (fds[1].revents != 0)
            pin_serve(pin, deadline);
        if (fds[0].revents == 0)
            continue;
        n = read(child.out, data, sizeof(data));
        if (n > 0)
            buffer_add(said, data, (size_t)n);
    }
    subprocess_wait(&child, 5000, &result);
    pin_free(pin);
    return result.status;
}

static unsigned
port_of(const struct sockaddr_storage *address)
{
    return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}

static bool
was_connected(int fd)
{
    struct pollfd p = { fd, POLLIN, 0 };
    int peer = poll(&p, 1, 0) > 0 ? accept(fd, NULL, NULL) : -1;

    if (peer >= 0)
        close(peer);
    return peer >= 0;
}

/* 127.0.0.9 is where nobody listens; a child of the program is held too. */
static void
test_elsewhere(void **state)
{
    struct sockaddr_storage address;
    int fd = listen_here(&address);
    struct buffer said;
    char script[200];

    (void)state;
    buffer_init(&said, 0);
    snprintf(script, sizeof(script), "( exec 3<>/dev/tcp/127.0.0.9/%u ) && echo there",
             port_of(&address));
    assert_int_equal(run_held(&address, script, &said), 0);
    assert_string_equal(buffer_string(&said), "there\n");
    assert_true(was_connected(fd));
    buffer_free(&said);
    close(fd);
}

/* The reason of the address that counts is the reason of all. */
static void
test_refused(void **state)
{
    struct sockaddr_storage address, other;
    int fd = listen_here(&address), listener;
    struct buffer said;
    char script[200];

    (void)state;
    close(fd);
    /* Somebody listens at the port, though not at the address. */
    other = address;
    ((struct sockaddr_in *)&other)->sin_addr.s_addr = inet_addr("127.0.0.9");
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&other, sizeof(struct sockaddr_in)), 0);
    assert_int_equal(listen(listener, 8), 0);
    buffer_init(&said, 0);
    snprintf(script, sizeof(script), "exec 3<>/dev/tcp/127.0.0.9/%u", port_of(&address));
    assert_int_not_equal(run_held(&address, script, &said), 0);
    assert_non_null(strstr(buffer_string(&said), "Connection refused"));
    assert_false(was_connected(listener));
    buffer_free(&said);
    close(listener);
}

/* Other ports, and other families with them, are nobody's business; nor is UDP to this one. */
static void
test_others_go_on(void **state)
{
    struct sockaddr_storage address, other;
    int fd = listen_here(&address), further = listen_here(&other);
    struct buffer said;
    char script[300];

    (void)state;
    buffer_init(&said, 0);
    snprintf(script, sizeof(script),
             "exec 3<>/dev/tcp/127.0.0.1/%u && exec 4<>/dev/udp/127.0.0.9/%u && echo x >&4 && "
             "echo there",
             port_of(&other), port_of(&address));
    assert_int_equal(run_held(&address, script, &said), 0);
    assert_string_equal(buffer_string(&said), "there\n");
    assert_true(was_connected(further));
    assert_false(was_connected(fd));
    buffer_free(&said);
    close(fd);
    close(further);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_others_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
