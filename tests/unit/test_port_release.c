/* port_release: only a reservation is released, by the right name, and the port proves it. */
#include "agent/service/port_release.h"

#include "common/port/portreserve.h"
#include "tests/unit/holders.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include <cmocka.h>

/* What the double of the daemon does when a name arrives. */
enum behaviour {
    DROPS_NAME,  /* as it should: the one file named in `held_as` */
    DROPS_ALL,   /* the old one of EL6: everything, and ends */
    DEAF,        /* reads, and does nothing */
    TAKEN_SHORT, /* lets go, and another program has the port for half a second */
    TAKEN_LONG,  /* the same, for good */
    TAKEN_AGAIN, /* the first time it takes the port again itself, as if it had been restarted */
};

static char root[64];
static const char *held_as;
static enum behaviour behaviour;

static char *
below(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s%s", root, path);
    return out;
}

static void
put(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s%s/%s", root, PORTRESERVE_FOLDER, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void
act(int fd, int sock)
{
    struct timespec half = { 0, 500 * 1000 * 1000 };
    char path[256];

    switch (behaviour) {
    case DROPS_NAME:
        close(fd);
        break;
    case DROPS_ALL:
        _exit(0);
    case DEAF:
        break;
    case TAKEN_SHORT:
    case TAKEN_LONG:
        /* It is another program from here on. */
        prctl(PR_SET_NAME, "rpc.statd");
        unlink(below(PORTRESERVE_PIDFILE, path, sizeof(path)));
        close(fd);
        fd = bind_socket("0.0.0.0", PORT, 0);
        if (behaviour == TAKEN_LONG)
            pause();
        nanosleep(&half, NULL);
        close(fd);
        break;
    case TAKEN_AGAIN:
        behaviour = DROPS_NAME;
        close(fd);
        fd = bind_socket("0.0.0.0", PORT, 0);
        (void)!recv(sock, (char[8]){ 0 }, 8, 0);
        close(fd);
        break;
    }
}

static void
daemon_loop(int fd, int sock)
{
    char name[128];

    for (;;) {
        ssize_t got = recv(sock, name, sizeof(name) - 1, 0);

        name[got > 0 ? got : 0] = '\0';
        if (strcmp(name, held_as) == 0)
            act(fd, sock);
    }
}

/* In the holder's process: the pid file, the socket, then a child's loop in the same process. */
static bool
be_portreserve(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int sock = socket(AF_UNIX, SOCK_DGRAM, 0), fd = bind_socket("0.0.0.0", PORT, 0);
    int other = bind_socket("0.0.0.0", 749, 0);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char path[256];
    FILE *file = fopen(below(PORTRESERVE_PIDFILE, path, sizeof(path)), "w");

    if (file == NULL || fd < 0 || other < 0)
        return false;
    fprintf(file, "%d\n", (int)getpid());
    /* Never closed: the lock goes with the descriptor. */
    if (fflush(file) != 0 || fcntl(fileno(file), F_SETLK, &lock) != 0)
        return false;
    below(PORTRESERVE_SOCKET, address.sun_path, sizeof(address.sun_path));
    unlink(address.sun_path);
    if (bind(sock, (struct sockaddr *)&address, sizeof(address)) != 0)
        return false;
    /* Readiness is told by hand, since this does not return. */
    if (write(STDIN_FILENO, "x", 1) != 1)
        return false;
    daemon_loop(fd, sock);
    return true;
}

/* As holder_start, with readiness over standard input. */
static pid_t
start(enum behaviour how, const char *name)
{
    struct holder holder = { .name = "portreserve", .more = be_portreserve };
    int ends[2];
    char byte;
    pid_t pid;

    behaviour = how;
    held_as = name;
    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDIN_FILENO);
        close(ends[0]);
        close(ends[1]);
        holder_main(&holder, STDIN_FILENO);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return pid;
}

static int
make_root(void **state)
{
    static const char *const folders[] = { "/etc", PORTRESERVE_FOLDER, "/var", "/var/run",
                                           "/var/run/portreserve" };
    char path[256];

    (void)state;
    strcpy(root, "/tmp/kpc-test-XXXXXX");
    if (mkdtemp(root) == NULL)
        return -1;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        mkdir(below(folders[i], path, sizeof(path)), 0755);
    return 0;
}

static int
remove_root(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return system(command);
}

static bool
release(struct port_release *result, struct port_report **report, struct error *err)
{
    struct ports_options options = { .root = root };
    struct port_spec spec = { .port = PORT, .service = "krb5_prop" };

    error_clear(err);
    return port_release(&spec, &options, result, report, err);
}

static void
assert_released(const char *name, const char *lost)
{
    struct port_report *report;
    struct port_release result;
    struct error err;

    if (!release(&result, &report, &err))
        fail_msg("%s", err.text);
    assert_true(result.released);
    assert_string_equal(result.name, name);
    assert_string_equal(result.lost, lost);
    assert_int_equal(report->usable, PORTS_USABLE);
    ports_report_free(report);
}

static void
assert_fails(int code, const char *word)
{
    struct port_report *report;
    struct port_release result;
    struct error err;

    assert_false(release(&result, &report, &err));
    assert_int_equal(err.code, code);
    if (strstr(err.text, word) == NULL)
        fail_msg("'%s' lacks '%s'", err.text, word);
    assert_true(err.hint[0] != '\0');
    ports_report_free(report);
}

static void
test_report(void **state)
{
    static const enum ports_way ways[] = { PORTS_AUTO, PORTS_DIAG, PORTS_PIDFD, PORTS_PROC,
                                           PORTS_PORTRESERVE };
    pid_t pid = start(DROPS_NAME, "kdc-extra");

    (void)state;
    put("kdc-extra", "750/udp\n754/tcp\n");
    put("other", "749/tcp\n");
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct ports_options options = { .way = ways[i], .root = root };
        struct port_spec spec = { .port = PORT };
        struct port_report *report;
        struct error err;

        assert_true(ports_examine(&spec, &options, &report, &err));
        assert_int_equal(report->count, 1);
        assert_int_equal(report->holders[0].kind, PORT_RESERVATION);
        assert_int_equal(report->holders[0].who.pid, pid);
        assert_string_equal(report->holders[0].address, "0.0.0.0");
        assert_string_equal(report->holders[0].file, PORTRESERVE_FOLDER "/kdc-extra");
        assert_string_equal(report->holders[0].release, "kdc-extra");
        assert_non_null(strstr(report->warning, "750/udp"));
        ports_report_free(report);
    }
    holder_end(pid);
}

/* In a child without /proc: its files and the lock on its pid file still tell who it is. */
static int
without_proc(pid_t holder)
{
    struct ports_options options = { .root = root };
    struct port_spec spec = { .port = PORT };
    struct port_report *report = NULL;
    struct error err;

    if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", 0, NULL) != 0)
        return 1;
    options.way = PORTS_PORTRESERVE;
    if (bind_socket("0.0.0.0", PORT, 0) < 0 || !ports_examine(&spec, &options, &report, &err))
        return 2;
    if (report->usable != PORTS_HELD || report->sure != PORTS_LIKELY || report->count != 1)
        return 3;
    if (report->holders[0].kind != PORT_RESERVATION || report->holders[0].who.pid != holder)
        return 4;
    return strcmp(report->holders[0].release, "krb5_prop") == 0 ? 0 : 5;
}

static void
test_without_proc(void **state)
{
    pid_t pid = start(DROPS_NAME, "krb5_prop"), child;
    int status;

    (void)state;
    put("krb5_prop", "754/tcp\n");
    child = fork();
    if (child == 0)
        _exit(without_proc(pid));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    holder_end(pid);
}

static void
test_release(void **state)
{
    pid_t pid = start(DROPS_NAME, "kdc-extra");

    (void)state;
    put("kdc-extra", "754/tcp\n");
    put("other", "749/tcp\n");
    assert_released("kdc-extra", "");
    holder_end(pid);
}

/* The file that holds it is not the first one that names it. */
static void
test_several_files(void **state)
{
    pid_t pid;

    (void)state;
    put("a", "754/tcp\n");
    put("b", "754 # too\n");
    put("c", "754/tcp\n");
    pid = start(DROPS_NAME, "b");
    assert_released("b", "");
    holder_end(pid);
}

static void
test_old_daemon(void **state)
{
    pid_t pid = start(DROPS_ALL, "krb5_prop");

    (void)state;
    put("krb5_prop", "754/tcp\n");
    put("kerberos-adm", "749/tcp\n");
    assert_released("krb5_prop", "749/tcp");
    holder_end(pid);
}

static void
test_deaf(void **state)
{
    pid_t pid = start(DEAF, "krb5_prop");

    (void)state;
    put("krb5_prop", "754/tcp\n");
    assert_fails(ERROR_FAILED, "still holds it");
    holder_end(pid);
}

static void
test_file_gone(void **state)
{
    pid_t pid = start(DROPS_NAME, "krb5_prop");

    (void)state;
    put("other", "749/tcp\n");
    assert_fails(ERROR_FAILED, "names it");
    holder_end(pid);
}

static void
test_taken_in_between(void **state)
{
    pid_t pid = start(TAKEN_SHORT, "krb5_prop");

    (void)state;
    put("krb5_prop", "754/tcp\n");
    assert_released("krb5_prop", "");
    holder_end(pid);
    pid = start(TAKEN_AGAIN, "krb5_prop");
    assert_released("krb5_prop", "");
    holder_end(pid);
    pid = start(TAKEN_LONG, "krb5_prop");
    assert_fails(ERROR_FAILED, "taken by");
    holder_end(pid);
}

/* Whatever is no reservation is named and left alone, also beside one. */
static void
test_not_ours(void **state)
{
    pid_t pid = holder_start(&(struct holder){ .address = "0.0.0.0" }), second;
    char word[32];

    (void)state;
    put("krb5_prop", "754/tcp\n");
    snprintf(word, sizeof(word), "pid %d", (int)pid);
    assert_fails(ERROR_REFUSED, word);
    assert_int_equal(kill(pid, 0), 0);
    holder_end(pid);
    pid = start(DROPS_NAME, "krb5_prop");
    second = holder_start(&(struct holder){ .address = "::1" });
    snprintf(word, sizeof(word), "pid %d", (int)second);
    assert_fails(ERROR_REFUSED, word);
    holder_end(second);
    holder_end(pid);
    pid = holder_start(&(struct holder){ .name = "kpropd", .address = "::", .flags = LISTEN });
    snprintf(word, sizeof(word), "pid %d", (int)pid);
    assert_fails(ERROR_REFUSED, word);
    holder_end(pid);
}

static void
test_at_start(void **state)
{
    struct ports_options options = { .root = root };
    struct port_spec spec = { .port = PORT };
    pid_t pid = start(DROPS_NAME, "b");
    struct error err;
    int code;

    (void)state;
    put("a", "754/tcp\n");
    put("b", "754/tcp\n");
    assert_true(port_release_at_start(&spec, &options, &err));
    assert_true(ports_probe(&spec, &code, &err) && code == 0);
    holder_end(pid);
    assert_true(port_release_at_start(&spec, &options, &err));
    pid = holder_start(&(struct holder){ .address = "0.0.0.0" });
    assert_false(port_release_at_start(&spec, &options, &err));
    holder_end(pid);
}

static void
test_drop_in(void **state)
{
    struct port_spec spec = { .port = PORT };
    char path[256], text[2048];

    (void)state;
    port_release_drop_in("krb5-kpropd.service", &spec, "a \"b\"%n", path, sizeof(path), text,
                         sizeof(text));
    assert_string_equal(path, "/etc/systemd/system/krb5-kpropd.service.d/kpropctl-port.conf");
    assert_non_null(strstr(text, "\n[Service]\n"));
    assert_non_null(strstr(text, "ExecStartPre=-" KPC_AGENT " release-at-start 754\n"));
    port_release_drop_in("krb5-kpropd.service", &spec, "a\nExecStart=/bin/sh", path, sizeof(path),
                         text, sizeof(text));
    assert_null(strstr(text, "\nExecStart=/bin/sh"));
}

int
main(void)
{
    const struct CMUnitTest always[] = { cmocka_unit_test(test_drop_in) };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drop_in),
        cmocka_unit_test_setup_teardown(test_report, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_without_proc, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_release, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_several_files, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_old_daemon, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_deaf, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_file_gone, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_taken_in_between, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_not_ours, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_at_start, make_root, remove_root),
    };

    if (geteuid() != 0 || !own_network())
        return cmocka_run_group_tests_name("port_release", always, NULL, NULL);
    return cmocka_run_group_tests_name("port_release", tests, NULL, NULL);
}
