/* ports: every kind of holder is found and named, by every way, on this kernel. */
#include "common/port/ports.h"
#include "common/port/ports_json.h"

#include "common/port/netlink.h"
#include "tests/unit/holders.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

static const enum ports_way ways[] = { PORTS_AUTO, PORTS_DIAG, PORTS_PIDFD, PORTS_PROC };

/* glibc before 2.32 does not know it. */
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static bool networked;

static struct port_report *
examine(enum ports_way way)
{
    struct ports_options options = { .way = way, .root = "/nonexistent" };
    struct port_spec spec = { .port = PORT, .service = "krb5_prop" };
    struct port_report *report = NULL;
    struct error err;

    error_clear(&err);
    if (!ports_examine(&spec, &options, &report, &err))
        fail_msg("%s: %s", ports_way_name(way), err.text);
    return report;
}

/* The one holder that is an obstacle; everything about it is looked at by the caller. */
static const struct port_holder *
the_obstacle(const struct port_report *report, enum port_kind kind, const char *state,
             const char *address, pid_t pid)
{
    const struct port_holder *holder = ports_obstacle(report, -1);

    assert_int_equal(report->usable, PORTS_HELD);
    assert_non_null(holder);
    assert_string_equal(ports_kind_name(holder->kind), ports_kind_name(kind));
    assert_string_equal(ports_state_name(holder->tcp_state), state);
    assert_string_equal(holder->address, address);
    assert_int_equal(holder->who.pid, pid);
    assert_true(holder->advice[0] != '\0');
    return holder;
}

static void
each_way(const struct holder *how, enum port_kind kind, const char *state)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        pid_t pid = holder_start(how);
        struct port_report *report;
        const struct port_holder *holder;

        assert_true(pid > 0);
        report = examine(ways[i]);
        holder = the_obstacle(report, kind, state, how->address, pid);
        assert_int_equal(report->count, 1);
        assert_string_equal(holder->who.user, "root");
        assert_true(strstr(holder->who.command, "ports") != NULL);
        if (ways[i] != PORTS_AUTO)
            assert_int_equal(report->way, ways[i]);
        assert_int_equal(report->sure, ways[i] == PORTS_PROC && strcmp(state, "bound") == 0
                                           ? PORTS_LIKELY
                                           : PORTS_CERTAIN);
        ports_report_free(report);
        holder_end(pid);
    }
}

static void
test_nobody(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct port_report *report = examine(ways[i]);

        assert_int_equal(report->usable, PORTS_USABLE);
        assert_int_equal(report->count, 0);
        assert_true(ports_ready(report));
        ports_report_free(report);
    }
}

static void
test_bound(void **state)
{
    (void)state;
    each_way(&(struct holder){ .address = "0.0.0.0" }, PORT_OTHER, "bound");
    each_way(&(struct holder){ .address = "::" }, PORT_OTHER, "bound");
    each_way(&(struct holder){ .address = "::", .flags = V6ONLY }, PORT_OTHER, "bound");
}

static void
test_one_address(void **state)
{
    (void)state;
    each_way(&(struct holder){ .address = "127.0.0.1" }, PORT_OTHER, "bound");
    each_way(&(struct holder){ .address = "127.0.0.1", .flags = LISTEN }, PORT_OTHER, "listening");
    each_way(&(struct holder){ .address = "::1" }, PORT_OTHER, "bound");
}

static void
test_listening(void **state)
{
    (void)state;
    each_way(&(struct holder){ .address = "0.0.0.0", .flags = LISTEN }, PORT_OTHER, "listening");
    each_way(&(struct holder){ .address = "::", .flags = LISTEN | REUSEADDR }, PORT_OTHER,
             "listening");
    each_way(&(struct holder){ .address = "0.0.0.0", .flags = LISTEN | REUSEPORT }, PORT_OTHER,
             "listening");
    each_way(&(struct holder){ .address = "0.0.0.0", .flags = REUSEPORT }, PORT_OTHER, "bound");
}

/* What is bound with SO_REUSEADDR and does not listen lets kpropd through. */
static void
test_reuseaddr(void **state)
{
    pid_t pid = holder_start(&(struct holder){ .address = "0.0.0.0", .flags = REUSEADDR });

    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct port_report *report = examine(ways[i]);

        assert_int_equal(report->usable, PORTS_USABLE);
        assert_null(ports_obstacle(report, -1));
        if (ways[i] != PORTS_PROC) {
            assert_int_equal(report->count, 1);
            assert_int_equal(report->holders[0].who.pid, pid);
        }
        ports_report_free(report);
    }
    holder_end(pid);
}

static void
test_kpropd(void **state)
{
    struct holder how = { .name = "kpropd", .address = "::", .flags = LISTEN | REUSEADDR };

    (void)state;
    each_way(&how, PORT_KPROPD, "listening");
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        pid_t pid = holder_start(&how);
        struct port_report *report = examine(ways[i]);

        assert_true(ports_ready(report));
        assert_string_equal(ports_advice(report), "Nothing to do");
        ports_report_free(report);
        holder_end(pid);
    }
}

static void
test_two_at_once(void **state)
{
    pid_t first = holder_start(&(struct holder){ .address = "127.0.0.1" });
    pid_t second = holder_start(&(struct holder){ .address = "::1", .flags = LISTEN });

    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct port_report *report = examine(ways[i]);
        unsigned int seen = 0;

        assert_int_equal(report->count, 2);
        for (size_t j = 0; j < report->count; j++) {
            assert_true(report->holders[j].obstacle);
            if (report->holders[j].who.pid == first) {
                assert_string_equal(report->holders[j].address, "127.0.0.1");
                seen |= 1;
            } else if (report->holders[j].who.pid == second) {
                assert_string_equal(report->holders[j].address, "::1");
                seen |= 2;
            }
        }
        assert_int_equal(seen, 3);
        ports_report_free(report);
    }
    holder_end(first);
    holder_end(second);
}

static bool
open_connection(void)
{
    int fds[2];

    return connect_from_port(0, fds);
}

static void
test_connection(void **state)
{
    pid_t pid = holder_start(&(struct holder){ .name = "rpc.statd", .more = open_connection });

    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct port_report *report = examine(ways[i]);
        const struct port_holder *holder =
            the_obstacle(report, PORT_CONNECTION, "ESTABLISHED", "127.0.0.1", pid);

        assert_string_equal(holder->peer, "127.0.0.1:7540");
        assert_int_equal(report->count, 1);
        ports_report_free(report);
    }
    holder_end(pid);
}

static void
leave_time_wait(int flags)
{
    int fds[2] = { -1, -1 };

    assert_true(connect_from_port(flags, fds));
    close(fds[0]);
    close(fds[1]);
}

/* Each in a network of its own: TIME_WAIT stays for a minute. */
static void
test_time_wait(void **state)
{
    (void)state;
    for (int flags = 0; flags <= REUSEADDR; flags += REUSEADDR) {
        assert_true(own_network());
        leave_time_wait(flags);
        for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
            struct port_report *report = examine(ways[i]);

            assert_int_equal(report->count, 1);
            assert_string_equal(ports_state_name(report->holders[0].tcp_state), "TIME_WAIT");
            assert_int_equal(report->holders[0].kind, PORT_CONNECTION);
            assert_int_equal(report->usable, flags == 0 ? PORTS_HELD : PORTS_USABLE);
            assert_int_equal(report->holders[0].obstacle, flags == 0);
            if (flags != 0)
                assert_non_null(strstr(report->holders[0].note, "no obstacle"));
            ports_report_free(report);
        }
    }
    assert_true(own_network());
}

static bool
hold_elsewhere(void)
{
    return unshare(CLONE_NEWNET) == 0 && bind_socket("0.0.0.0", PORT, 0) >= 0;
}

static void
test_other_namespace(void **state)
{
    pid_t pid = holder_start(&(struct holder){ .more = hold_elsewhere });
    pid_t second;

    (void)state;
    assert_true(pid > 0);
    test_nobody(NULL);
    /* Nor does it distract from one that is here. */
    second = holder_start(&(struct holder){ .address = "0.0.0.0" });
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct port_report *report = examine(ways[i]);

        the_obstacle(report, PORT_OTHER, "bound", "0.0.0.0", second);
        assert_int_equal(report->count, 1);
        ports_report_free(report);
    }
    holder_end(second);
    holder_end(pid);
}

/* A socket of ours, taken along into another network namespace. */
static bool
leave_with_socket(void)
{
    return bind_socket("0.0.0.0", PORT, 0) >= 0 && unshare(CLONE_NEWNET) == 0;
}

static void
test_taken_along(void **state)
{
    static const enum ports_way able[] = { PORTS_AUTO, PORTS_DIAG, PORTS_PIDFD };
    pid_t pid = holder_start(&(struct holder){ .more = leave_with_socket });

    (void)state;
    for (size_t i = 0; i < sizeof(able) / sizeof(able[0]); i++) {
        struct port_report *report = examine(able[i]);

        the_obstacle(report, PORT_OTHER, "bound", "0.0.0.0", pid);
        ports_report_free(report);
    }
    holder_end(pid);
}

/* The socket's only reference is in a message that nobody has received. */
static bool
send_into_flight(void)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec data = { .iov_base = control, .iov_len = 1 };
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int pair[2], fd = bind_socket("0.0.0.0", PORT, 0);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    return fd >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 &&
           sendmsg(pair[0], &message, 0) == 1 && close(fd) == 0;
}

static void
test_in_flight(void **state)
{
    pid_t pid = holder_start(&(struct holder){ .more = send_into_flight });

    (void)state;
    assert_true(pid > 0);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct port_report *report = examine(ways[i]);
        const struct port_holder *holder = the_obstacle(report, PORT_OTHER, "bound", "0.0.0.0", 0);

        if (report->way == PORTS_DIAG) {
            assert_true(holder->inode != 0);
            assert_int_equal(holder->who.uid, 0);
            assert_string_equal(holder->who.user, "root");
        }
        ports_report_free(report);
    }
    holder_end(pid);
}

/* Run as nobody, in a child: 0 if the report is as it should be. */
static int
as_nobody(enum ports_way way)
{
    struct ports_options options = { .way = way, .root = "/nonexistent" };
    struct port_spec spec = { .port = PORT };
    struct port_report *report = NULL;
    struct error err;

    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 1;
    if (!ports_examine(&spec, &options, &report, &err))
        return 2;
    if (report->usable != PORTS_HELD || report->privileged || report->count != 1)
        return 3;
    if (report->holders[0].inode == 0 || report->holders[0].who.uid != 0)
        return 4;
    return strstr(ports_advice(report), "root") != NULL ? 0 : 5;
}

static void
test_unprivileged(void **state)
{
    pid_t pid = holder_start(&(struct holder){ .address = "0.0.0.0" }), child = fork();
    int status;

    (void)state;
    if (child == 0)
        _exit(as_nobody(PORTS_AUTO));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    holder_end(pid);
}

/* Make system call NUMBER fail with CODE in this process; with FIRST not 0 only where that is its
 * first argument. */
static bool
forbid(int number, unsigned int first, int code)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 0, first != 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* In a child, as on older and older kernels: 0 if WAY is the one that finds HOLDER. */
static int
as_on_old_kernel(enum ports_way way, pid_t holder)
{
    struct ports_options options = { .root = "/nonexistent" };
    struct port_spec spec = { .port = PORT };
    struct port_report *report = NULL;
    struct error err;

    if (!forbid(SYS_socket, AF_NETLINK, EAFNOSUPPORT) ||
        (way == PORTS_PROC && !forbid(SYS_pidfd_getfd, 0, ENOSYS)))
        return 1;
    if (!ports_examine(&spec, &options, &report, &err))
        return 2;
    if (report->usable != PORTS_HELD || report->count != 1)
        return 3;
    if (report->way != way)
        return 4;
    return report->holders[0].who.pid == holder ? 0 : 5;
}

static void
test_old_kernels(void **state)
{
    static const enum ports_way old[] = { PORTS_PIDFD, PORTS_PROC };
    pid_t pid = holder_start(&(struct holder){ .address = "0.0.0.0" });

    (void)state;
    for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
        pid_t child = fork();
        int status;

        if (child == 0)
            _exit(as_on_old_kernel(old[i], pid));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    holder_end(pid);
}

static void
test_json(void **state)
{
    pid_t pid = holder_start(&(struct holder){ .name = "k\xff\x1b[31m", .address = "0.0.0.0" });
    struct port_report *report = examine(PORTS_AUTO);
    json_t *json = ports_json(report), *holder;

    (void)state;
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "port")), PORT);
    assert_string_equal(json_string_value(json_object_get(json, "service")), "krb5_prop");
    assert_true(json_is_false(json_object_get(json, "usable")));
    assert_string_equal(json_string_value(json_object_get(json, "way")), "sock_diag");
    holder = json_array_get(json_object_get(json, "holders"), 0);
    assert_string_equal(json_string_value(json_object_get(holder, "kind")), "other");
    assert_string_equal(json_string_value(json_object_get(holder, "state")), "bound");
    assert_true(json_is_null(json_object_get(holder, "unit")) ||
                json_is_string(json_object_get(holder, "unit")));
    assert_true(json_is_null(json_object_get(holder, "file")));
    assert_true(json_is_null(json_object_get(holder, "release")));
    json_decref(json);
    ports_report_free(report);
    holder_end(pid);
}

static void
test_resolve(void **state)
{
    static const char *const bad[] = {
        "0", "65536", "99999999999999999999", "", "no-such-service", "-1", "754 ", "0x2f2"
    };
    struct port_spec spec;
    struct error err;

    (void)state;
    assert_true(ports_resolve("754", &spec, &err));
    assert_int_equal(spec.port, 754);
    assert_true(ports_resolve("kerberos", &spec, &err));
    assert_int_equal(spec.port, 88);
    assert_string_equal(spec.service, "kerberos");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        error_clear(&err);
        assert_false(ports_resolve(bad[i], &spec, &err));
        assert_int_equal(err.code, ERROR_USAGE);
        assert_true(err.hint[0] != '\0');
    }
}

/* A probe leaves nothing, and one that is bound does not stop a kpropd that starts meanwhile. */
static void
test_probe_disturbs_nobody(void **state)
{
    struct port_spec spec = { .port = PORT };
    struct error err;
    int code;

    (void)state;
    for (int i = 0; i < 200; i++) {
        int fd;

        assert_true(ports_probe(&spec, &code, &err));
        assert_int_equal(code, 0);
        fd = bind_socket("::", PORT, REUSEADDR | LISTEN);
        assert_true(fd >= 0);
        close(fd);
    }
}

static int
enter_network(void **state)
{
    (void)state;
    networked = networked || (geteuid() == 0 && own_network());
    return 0;
}

static void
skip_all(void **state)
{
    (void)state;
    skip();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_probe_disturbs_nobody),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_one_address),
        cmocka_unit_test(test_listening),
        cmocka_unit_test(test_reuseaddr),
        cmocka_unit_test(test_kpropd),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_connection),
        cmocka_unit_test(test_time_wait),
        cmocka_unit_test(test_other_namespace),
        cmocka_unit_test(test_taken_along),
        cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_unprivileged),
        cmocka_unit_test(test_old_kernels),
        cmocka_unit_test(test_json),
    };
    const struct CMUnitTest none[] = { cmocka_unit_test(test_resolve), cmocka_unit_test(skip_all) };

    enter_network(NULL);
    if (!networked)
        return cmocka_run_group_tests_name("ports", none, NULL, NULL);
    return cmocka_run_group_tests_name("ports", tests, NULL, NULL);
}
