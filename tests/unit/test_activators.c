/* activators: inetd, xinetd and systemd hold the port for kpropd only if their configuration says
 * so. */
#include "common/port/activators.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct activation
inetd(const char *text)
{
    struct activation result = { 0 };

    activators_parse_inetd(text, strlen(text), 754, "/etc/inetd.conf", &result);
    return result;
}

static struct activation
xinetd(const char *text)
{
    struct activation result = { 0 };

    activators_parse_xinetd(text, strlen(text), 754, "/etc/xinetd.d/kprop", &result);
    return result;
}

static void
test_inetd(void **state)
{
    struct activation a = inetd("# comment\n\n"
                                "discard stream tcp nowait root internal\n"
                                "754 stream tcp nowait root /usr/sbin/kpropd kpropd -d\n");

    (void)state;
    assert_true(a.found && a.kpropd);
    assert_string_equal(a.server, "/usr/sbin/kpropd kpropd -d");
    assert_string_equal(a.file, "/etc/inetd.conf");
    assert_true(inetd("127.0.0.1:754 stream tcp nowait root /usr/sbin/kpropd kpropd").kpropd);
    assert_true(inetd("754 stream tcp6 nowait.400 root /usr/sbin/tcpd /usr/sbin/kpropd").kpropd);
    assert_false(inetd("#754 stream tcp nowait root /usr/sbin/kpropd kpropd").found);
    assert_false(inetd("754 dgram udp wait root /usr/sbin/kpropd kpropd").found);
    assert_false(inetd("7540 stream tcp nowait root /usr/sbin/kpropd kpropd").found);
    assert_false(inetd("754 stream tcp nowait root").found);
    a = inetd("754 stream tcp nowait root /usr/sbin/in.fingerd in.fingerd");
    assert_true(a.found && !a.kpropd);
}

static void
test_xinetd(void **state)
{
    struct activation a = xinetd("defaults\n{\n\tlog_type = SYSLOG daemon info\n}\n"
                                 "service krb5_prop_x\n{\n"
                                 "\ttype = UNLISTED\n\tport = 754\n\tsocket_type = stream\n"
                                 "\tprotocol\t= tcp\n\twait = no\n\tuser=root\n"
                                 "\tserver      = /usr/sbin/kpropd\n\tserver_args = -a /etc/a\n"
                                 "\tdisable = no\n}\n");

    (void)state;
    assert_true(a.found && a.kpropd);
    assert_string_equal(a.server, "/usr/sbin/kpropd -a /etc/a");
    assert_false(xinetd("service 754\n{\n server = /usr/sbin/kpropd\n disable = yes\n}\n").found);
    assert_false(xinetd("service 754\n{\n server = /usr/sbin/kpropd\n protocol = udp\n}\n").found);
    assert_false(xinetd("service 754\n{\n server = /usr/sbin/kpropd\n").found);
    assert_true(xinetd("service 754\n{\n server = /usr/sbin/kpropd\n}\n").kpropd);
    assert_true(xinetd("service 754 {\n server = /usr/sbin/kpropd\n}\n").kpropd);
    a = xinetd("service 754\n{\n server = /bin/cat\n}\n");
    assert_true(a.found && !a.kpropd);
}

static void
test_sockets(void **state)
{
    static const char text[] = "Id=dbus.socket\nListen=/run/dbus/system_bus_socket (Stream)\n"
                               "Accept=no\nTriggers=dbus.service\n\n"
                               "Id=other.socket\nListen=[::]:17540 (Stream)\nAccept=no\n"
                               "Triggers=other.service\n\n"
                               "Id=kprop.socket\nListen=/run/x (Stream)\nListen=[::]:754 (Stream)\n"
                               "Accept=yes\nTriggers=\n";
    char unit[64], service[64];

    (void)state;
    activators_parse_sockets(text, 754, unit, sizeof(unit), service, sizeof(service));
    assert_string_equal(unit, "kprop.socket");
    assert_string_equal(service, "kprop@0.service");
    activators_parse_sockets(text, 17540, unit, sizeof(unit), service, sizeof(service));
    assert_string_equal(service, "other.service");
    activators_parse_sockets(text, 54, unit, sizeof(unit), service, sizeof(service));
    assert_string_equal(unit, "");
    activators_parse_sockets("Id=a.socket\nListen=754 (Stream)\nTriggers=b.service", 754, unit,
                             sizeof(unit), service, sizeof(service));
    assert_string_equal(service, "b.service");
}

static void
put(const char *root, const char *path, const char *text)
{
    char full[256];
    FILE *file;

    snprintf(full, sizeof(full), "%s%s", root, path);
    file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Who is asked depends on the program, and which file on its command line. */
static void
test_ask(void **state)
{
    char root[] = "/tmp/kpc-test-XXXXXX", path[256], command[64];
    struct process_info info = { .pid = 7, .name = "inetd", .program = "/usr/sbin/inetd" };
    struct activation a;

    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/etc", root);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/etc/xinetd.d", root);
    mkdir(path, 0755);
    put(root, "/etc/inetd.conf", "754 stream tcp nowait root /usr/sbin/kpropd kpropd\n");
    put(root, "/etc/other.conf", "754 stream tcp nowait root /bin/cat cat\n");
    put(root, "/etc/xinetd.conf", "includedir /etc/xinetd.d\n");
    put(root, "/etc/xinetd.d/kprop.rpmsave", "service 754\n{\n server = /bin/cat\n}\n");
    assert_true(activators_ask(&info, 754, root, &a));
    assert_true(a.kpropd);
    strcpy(info.command, "/usr/sbin/inetd -i /etc/other.conf");
    assert_true(activators_ask(&info, 754, root, &a));
    assert_true(a.found && !a.kpropd);
    strcpy(info.program, "/usr/sbin/xinetd");
    strcpy(info.name, "xinetd");
    strcpy(info.command, "/usr/sbin/xinetd -pidfile /run/xinetd.pid -stayalive");
    assert_true(activators_ask(&info, 754, root, &a));
    assert_false(a.found);
    put(root, "/etc/xinetd.d/kprop", "service 754\n{\n server = /usr/sbin/kpropd\n}\n");
    assert_true(activators_ask(&info, 754, root, &a));
    assert_true(a.kpropd);
    assert_string_equal(a.file, "/etc/xinetd.d/kprop");
    strcpy(info.program, "/usr/bin/python3");
    strcpy(info.name, "python3");
    assert_false(activators_ask(&info, 754, root, &a));
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inetd),
        cmocka_unit_test(test_xinetd),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_ask),
    };

    return cmocka_run_group_tests_name("activators", tests, NULL, NULL);
}
