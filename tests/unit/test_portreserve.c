/* portreserve: its files are read as it reads them, and only its own socket is spoken to. */
#include "common/port/portreserve.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct root {
    char path[64];
};

static char *
below(const struct root *root, const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s%s", root->path, path);
    return out;
}

static void
put(const struct root *root, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/etc/portreserve/%s", root->path, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int
make_root(void **state)
{
    static const char *const folders[] = { "/etc", "/etc/portreserve", "/var", "/var/run",
                                           "/var/run/portreserve" };
    struct root *root = (struct root *)calloc(1, sizeof(*root));
    char path[256];

    strcpy(root->path, "/tmp/kpc-test-XXXXXX");
    if (mkdtemp(root->path) == NULL)
        return -1;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        mkdir(below(root, folders[i], path, sizeof(path)), 0755);
    *state = root;
    return 0;
}

static int
remove_root(void **state)
{
    struct root *root = (struct root *)*state;
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", root->path);
    if (system(command) != 0)
        return -1;
    free(root);
    return 0;
}

static size_t
parse(const char *text, struct portreserve_port *ports)
{
    return portreserve_parse(text, strlen(text), ports, PORTRESERVE_PORTS_MAX);
}

static void
assert_ports(const char *text, const char *expected)
{
    struct portreserve_port ports[PORTRESERVE_PORTS_MAX];
    size_t count = parse(text, ports), len = 0;
    char out[256] = "";

    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%u/%s", i > 0 ? " " : "",
                                ports[i].port, ports[i].udp ? "udp" : "tcp");
    assert_string_equal(out, expected);
}

static void
test_lines(void **state)
{
    (void)state;
    assert_ports("754/tcp\n", "754/tcp");
    assert_ports("754\n", "754/tcp 754/udp");
    assert_ports("754/udp", "754/udp");
    assert_ports("kerberos/tcp\n", "88/tcp");
    assert_ports("kerberos", "88/tcp 88/udp");
    assert_ports("749/tcp\n\n754/tcp\n", "749/tcp 754/tcp");
    assert_ports("no-such-service/tcp\n", "");
    assert_ports("", "");
    assert_ports("\n\n", "");
}

/* What a person would read otherwise. */
static void
test_misread(void **state)
{
    char line[300];

    (void)state;
    assert_ports("# 754/tcp\n", "");
    assert_ports("754 # kprop\n", "754/tcp 754/udp");
    assert_ports("  754/tcp\n", "754/tcp");
    assert_ports("kerberos/tcp # kdc\n", "");
    assert_ports(" kerberos/tcp\n", "");
    assert_ports("kerberos/tcp\r\n", "");
    assert_ports("754/tcp\r\n", "754/tcp");
    assert_ports("754/TCP\n", "754/tcp");
    assert_ports("754/\n", "754/tcp");
    assert_ports("754/UDP\n", "754/tcp");
    assert_ports("66290/tcp\n", "754/tcp");
    assert_ports("0/tcp\n", "");
    /* A line breaks after 99 bytes, and what follows is a line of its own. */
    memset(line, '#', 99);
    strcpy(line + 99, "754/tcp\n");
    assert_ports(line, "754/tcp");
    memset(line, '#', 98);
    strcpy(line + 98, "754/tcp\n");
    assert_ports(line, "54/tcp");
}

static void
test_nul(void **state)
{
    struct portreserve_port ports[4];

    (void)state;
    assert_int_equal(portreserve_parse("754/tcp\0junk\n749/udp\n", 21, ports, 4), 2);
    assert_int_equal(ports[0].port, 754);
    assert_int_equal(ports[1].port, 749);
    assert_true(ports[1].udp);
    assert_int_equal(portreserve_parse("1\n2\n3\n", 6, ports, 4), 4);
}

static void
test_files(void **state)
{
    const struct root *root = (const struct root *)*state;
    const struct portreserve_file *file;
    static struct portreserve reserve;
    char text[128], path[256];
    struct error err;
    size_t at = 0;

    put(root, "krb5_prop", "754/tcp\n");
    put(root, "kdc-extra", "750/udp\n754\n");
    put(root, "krb5_prop.rpmsave", "754/tcp\n");
    put(root, "krb5_prop~", "754/tcp\n");
    put(root, "empty", "");
    put(root, "other", "749/tcp\n");
    assert_int_equal(mkdir(below(root, "/etc/portreserve/folder", path, sizeof(path)), 0755), 0);
    assert_int_equal(mkfifo(below(root, "/etc/portreserve/fifo", path, sizeof(path)), 0644), 0);
    assert_true(portreserve_read(root->path, NULL, &reserve, &err));
    assert_int_equal(reserve.count, 3);
    assert_int_equal(reserve.pid, 0);
    assert_non_null(strstr(reserve.problem, "fifo"));
    for (int i = 0; i < 2; i++) {
        file = portreserve_find(&reserve, 754, &at);
        assert_non_null(file);
        assert_true(strcmp(file->name, "krb5_prop") == 0 || strcmp(file->name, "kdc-extra") == 0);
    }
    assert_null(portreserve_find(&reserve, 754, &at));
    at = 0;
    assert_null(portreserve_find(&reserve, 750, &at)); /* udp only */
    assert_int_equal(portreserve_others(&reserve, NULL, 754, text, sizeof(text)), 2);
    assert_non_null(strstr(text, "750/udp"));
    assert_non_null(strstr(text, "749/tcp"));
    assert_int_equal(portreserve_others(&reserve, "kdc-extra", 754, text, sizeof(text)), 1);
    assert_string_equal(text, "750/udp");
}

static void
test_no_folder(void **state)
{
    static struct portreserve reserve;
    struct error err;

    (void)state;
    assert_true(portreserve_read("/nonexistent", NULL, &reserve, &err));
    assert_int_equal(reserve.count, 0);
    assert_int_equal(reserve.pid, 0);
}

/* The pid file's lock tells the pid; without it the process must be called portreserve. */
static void
test_pid(void **state)
{
    const struct root *root = (const struct root *)*state;
    static struct portreserve reserve;
    char path[256];
    struct error err;
    FILE *file;

    below(root, PORTRESERVE_PIDFILE, path, sizeof(path));
    file = fopen(path, "w");
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
    assert_true(portreserve_read(root->path, NULL, &reserve, &err));
    assert_int_equal(reserve.pid, 0);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_true(portreserve_read(root->path, NULL, &reserve, &err));
    assert_int_equal(reserve.pid, 0);
}

static int
make_socket(const struct root *root, int type)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type, 0);

    below(root, PORTRESERVE_SOCKET, address.sun_path, sizeof(address.sun_path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static double
seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* It must fail with CODE and a text that has WORD, within some seconds. */
static void
assert_refused(const struct root *root, const char *name, int code, const char *word)
{
    struct error err;
    double start = seconds();

    error_clear(&err);
    assert_false(portreserve_send(root->path, name, &err));
    assert_int_equal(err.code, code);
    if (strstr(err.text, word) == NULL)
        fail_msg("'%s' lacks '%s'", err.text, word);
    assert_true(err.hint[0] != '\0');
    assert_true(seconds() - start < 5);
}

static void
test_send(void **state)
{
    const struct root *root = (const struct root *)*state;
    int fd = make_socket(root, SOCK_DGRAM);
    char got[128];
    struct error err;

    assert_true(portreserve_send(root->path, "kdc-extra", &err));
    assert_int_equal(recv(fd, got, sizeof(got), 0), 9);
    assert_memory_equal(got, "kdc-extra", 9);
    close(fd);
}

static void
test_bad_names(void **state)
{
    const struct root *root = (const struct root *)*state;
    int fd = make_socket(root, SOCK_DGRAM);
    char longest[101];

    memset(longest, 'x', 100);
    longest[100] = '\0';
    assert_refused(root, "*", ERROR_REFUSED, "all of them");
    assert_refused(root, "", ERROR_REFUSED, "cannot");
    assert_refused(root, longest, ERROR_REFUSED, "99");
    close(fd);
}

static void
test_bad_sockets(void **state)
{
    const struct root *root = (const struct root *)*state;
    char path[256], target[256];
    int fd;

    below(root, PORTRESERVE_SOCKET, path, sizeof(path));
    assert_refused(root, "x", ERROR_FAILED, "No such file");
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_refused(root, "x", ERROR_REFUSED, "fifo");
    unlink(path);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    assert_refused(root, "x", ERROR_REFUSED, "no socket");
    unlink(path);
    /* left behind by a daemon that has ended */
    close(make_socket(root, SOCK_DGRAM));
    assert_refused(root, "x", ERROR_FAILED, "refused");
    unlink(path);
    /* a link to a real one */
    snprintf(target, sizeof(target), "%s-real", path);
    fd = make_socket(root, SOCK_DGRAM);
    assert_int_equal(rename(path, target), 0);
    assert_int_equal(symlink(target, path), 0);
    assert_refused(root, "x", ERROR_REFUSED, "symbolic link");
    close(fd);
    unlink(path);
    /* of another type */
    fd = make_socket(root, SOCK_STREAM);
    assert_refused(root, "x", ERROR_FAILED, "cannot ask");
    close(fd);
}

static void
test_foreign_socket(void **state)
{
    const struct root *root = (const struct root *)*state;
    char path[256];
    int fd;

    if (geteuid() != 0)
        skip();
    fd = make_socket(root, SOCK_DGRAM);
    assert_int_equal(chown(below(root, PORTRESERVE_SOCKET, path, sizeof(path)), 65534, 65534), 0);
    assert_refused(root, "x", ERROR_REFUSED, "somebody else");
    close(fd);
}

/* Nobody reads: its queue fills, and then it is said, not waited for. */
static void
test_unanswering(void **state)
{
    const struct root *root = (const struct root *)*state;
    int fd = make_socket(root, SOCK_DGRAM), sent = 0;
    struct error err;

    while (sent < 1000 && portreserve_send(root->path, "x", &err))
        sent++;
    assert_true(sent < 1000);
    assert_refused(root, "x", ERROR_FAILED, "does not read");
    close(fd);
}

static void
test_age(void **state)
{
    (void)state;
    assert_int_equal(portreserve_age_of("0.0.4-4.el6"), PORTRESERVE_OLD);
    assert_int_equal(portreserve_age_of("0.0.4-9.el6"), PORTRESERVE_FIXED);
    assert_int_equal(portreserve_age_of("0.0.4-11.el6"), PORTRESERVE_FIXED);
    assert_int_equal(portreserve_age_of("0.0.4-8.fc15"), PORTRESERVE_OLD);
    assert_int_equal(portreserve_age_of("0.0.5-11.el7"), PORTRESERVE_FIXED);
    assert_int_equal(portreserve_age_of("package portreserve is not installed"),
                     PORTRESERVE_UNKNOWN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_misread),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test_setup_teardown(test_files, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_pid, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_send, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_bad_names, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_bad_sockets, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_foreign_socket, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_unanswering, make_root, remove_root),
    };

    return cmocka_run_group_tests_name("portreserve", tests, NULL, NULL);
}
