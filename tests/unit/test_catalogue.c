/* test_catalogue - what users paste is explained by the right symptom, and nothing else is. */
#include "common/base/files.h"
#include "kpropctl/checks/checks.h"
#include "kpropctl/output/explain_output.h"
#include "kpropctl/symptoms/catalogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Lines as they were seen, with what stands around them in logs, and the id that comes first. */
static const struct {
    const char *text;
    const char *id;
    enum certainty certainty;
} seen[] = {
    /* before the transfer */
    { "kprop: Connection refused while connecting to server", "kpropd-down", POSSIBLE },
    { "Nov 22 11:02:03 kdc1 CRON[1202]: /usr/sbin/kprop: Connection refused while connecting to "
      "server",
      "kpropd-down", POSSIBLE },
    { "kprop: No route to host while connecting to server", "no-route", SURE },
    { "kprop: Connection timed out while connecting to server", "no-route", SURE },
    { "kprop: Connection reset by peer while authenticating to server", "not-kpropd", LIKELY },
    { "kprop: Bad response (during sendauth exchange) while authenticating to server", "not-kpropd",
      SURE },
    { "kprop: Cannot contact any KDC for realm 'LAB.TEST' while getting initial credentials",
      "primary-kdc-down", SURE },
    { "kprop: Cannot contact any KDC for requested realm while getting initial credentials",
      "primary-kdc-down", SURE },
    { "kprop: Server host/kdc2@LAB.TEST not found in Kerberos database while getting initial "
      "credentials",
      "replica-principal-missing", LIKELY },
    { "kprop: Server not found in Kerberos database while getting initial credentials",
      "replica-principal-missing", LIKELY },
    { "kprop: Key table entry not found while getting initial credentials",
      "primary-keytab-missing", SURE },
    { "kprop: No such file or directory while getting initial credentials",
      "primary-keytab-missing", SURE },
    { "kprop: Key table file '/etc/krb5.keytab' not found while getting initial credentials",
      "primary-keytab-missing", SURE },
    { "kprop: Decrypt integrity check failed while getting initial credentials",
      "primary-keytab-stale", SURE },
    { "kprop: Client 'host/kdc1.lab.test@LAB.TEST' not found in Kerberos database while getting "
      "initial credentials",
      "primary-principal-missing", SURE },
    { "kprop: Clock skew too great while getting initial credentials", "clock", SURE },
    { "kprop: kdc2.lab.test: Servname not supported for ai_socktype", "services-missing", SURE },
    { "kprop: '/var/lib/krb5kdc/replica_datatrans' more recent than "
      "'/var/lib/krb5kdc/replica_datatrans.dump_ok'.",
      "dump-unfinished", SURE },
    { "kprop: No such file or directory while trying to stat "
      "/var/lib/krb5kdc/replica_datatrans.dump_ok",
      "dump-unfinished", SURE },
    { "kprop: database locked", "dump-locked", SURE },
    { "kprop hangs", "kpropd-stalled", SURE },
    /* refused by the replica */
    { "kprop: Server rejected authentication (during sendauth exchange) while authenticating to "
      "server\nkprop: Service key not available signalled from server",
      "replica-keytab-missing", SURE },
    { "kprop: Server rejected authentication (during sendauth exchange) while authenticating to "
      "server\nkprop: Key version is not available signalled from server\n"
      "Error text from server: Key version is not available",
      "replica-keytab-stale", SURE },
    { "kprop: Server rejected authentication (during sendauth exchange) while authenticating to "
      "server\nkprop: Decrypt integrity check failed signalled from server",
      "replica-keytab-other", SURE },
    { "kprop: Server rejected authentication (during sendauth exchange) while authenticating to "
      "server\r\nkprop: The ticket isn't for us signalled from server\r\n",
      "name-differs", SURE },
    { "kprop: The ticket isn\342\200\231t for us signalled from server", "name-differs", SURE },
    { "kprop: Server rejected authentication (during sendauth exchange) while authenticating to "
      "server\nkprop: Clock skew too great signalled from server",
      "clock", SURE },
    /* a terminal has broken the line */
    { "kprop: Server rejected authentication (during sendauth exchange) while\nauthenticating to "
      "server\nkprop: Key version is not\navailable signalled from server",
      "replica-keytab-stale", SURE },
    /* transfer and load */
    { "kprop: Broken pipe while sending database block starting at 0", "kpropd-acl", POSSIBLE },
    { "kprop: Broken pipe while sending database block starting at 0\n"
      "Nov 22 10:52:11 kdc2 kpropd[411]: Rejected connection from unauthorized principal "
      "host/kdc1.lab.test@LAB.TEST",
      "kpropd-acl", SURE },
    { "Nov 22 10:52:11 kdc2 kpropd[411]: Resource temporarily unavailable while trying to lock "
      "'/var/lib/krb5kdc/from_master.temp'\nkprop: Broken pipe while sending database block "
      "starting at 0",
      "load-running", SURE },
    { "kpropd: Bad file descriptor while trying to lock '/no/such/from_master.temp'",
      "spool-missing", SURE },
    { "kprop: Software caused connection abort while reading response from server", "unannounced",
      POSSIBLE },
    { "kpropctl-loader: realm LAB.TEST: cannot load dump /var/lib/krb5kdc/from_master: nobody "
      "announced it, and this host has verified generation 7 of host/kdc1.lab.test@LAB.TEST\n"
      "kpropd: /usr/lib/kpropctl/kpropctl-loader returned a bad exit status (1)",
      "unannounced", SURE },
    { "kprop: Software caused connection abort while reading response from server\n"
      "kpropd[9]: /usr/sbin/kdb5_util returned a bad exit status (1)\n"
      "kdb5_util: dump header bad in /var/lib/krb5kdc/from_master",
      "dump-bad", SURE },
    { "kdb5_util: can't read dump header in /tmp/x", "dump-bad", SURE },
    { "kdb5_util: error processing line 34 of /var/lib/krb5kdc/from_master", "dump-bad", SURE },
    { "kpropd: No such file or directory while trying to exec /nowhere/kdb5_util", "load-path",
      SURE },
    { "kpropd[411]: Full propagation timed out", "load-timeout", SURE },
    { "kpropd: malformed database size message from client", "too-large", SURE },
    { "kprop: malformed sent database size message", "too-large", SURE },
    { "kdb5_util: cannot parse policy (3 read)", "policy-name", SURE },
    { "krb5kdc: cannot initialize realm LAB.TEST - see log file for details", "stash-wrong",
      LIKELY },
    { "krb5kdc[7](Error): Can not fetch master key (error: Decrypt integrity check failed). - "
      "while fetching master key K/M for realm LAB.TEST",
      "stash-wrong", SURE },
    { "krb5kdc: No such file or directory - while fetching master keys list for realm LAB.TEST",
      "stash-wrong", SURE },
    { "Database load process for full propagation completed.", "completed", POSSIBLE },
    { "Database propagation to kdc2.lab.test: SUCCEEDED", "completed", POSSIBLE },
    { "kernel: krb5kdc[812]: segfault at 10 ip 00007f sp 00007f error 4 in db2.so",
      "database-damaged", SURE },
    /* incremental propagation */
    { "kpropd: Full resync needed.", "iprop-resync-loop", LIKELY },
    { "kpropd[1]: get_updates, permission denied.", "iprop-denied", SURE },
    { "kpropd: ERROR returned by primary KDC, bailing.", "iprop-denied", LIKELY },
    { "kpropd: Key table entry not found while initializing kpropd interface, retrying",
      "iprop-keytab", SURE },
    { "kpropd: Missing parameters in krb5.conf required for kadmin client while initializing "
      "kpropd "
      "interface",
      "iprop-no-admin-server", SURE },
    { "kproplog: Unable to map log file /var/lib/krb5kdc/principal.ulog", "iprop-off", SURE },
    { "kadmind: Update log is corrupt while mapping update log", "iprop-log-corrupt", SURE },
    { "kadmind: -proponly can only be used when iprop_enable is true", "iprop-off", SURE },
    /* port 754 */
    { "kpropd: Address already in use while binding listener socket", "port-reserved", LIKELY },
    { "Nov 22 11:00:00 kdc2 kpropd[77]: Address already in use while binding listener socket\n"
      "Nov 22 11:00:00 kdc2 portreserve[12]: something",
      "port-reserved", SURE },
    { "kprop: Connection refused while connecting to server\n"
      "kdc2 kpropd[77]: Address already in use while binding listener socket",
      "port-reserved", LIKELY },
    { "x krb5-kpropd.service - Kerberos 5 slave KDC update server\n"
      "     Active: failed (Result: exit-code) since Sun 2026-11-22 12:09:07 UTC; 3s ago\n"
      "Nov 22 12:09:07 kdc2.lab.test kpropd[332]: /usr/sbin/kpropd: Address already in use while "
      "binding listener socket\n"
      "Nov 22 12:09:07 kdc2.lab.test kpropd[332]: ready\n"
      "Nov 22 12:09:07 kdc2.lab.test systemd[1]: krb5-kpropd.service: Failed with result "
      "'exit-code'.",
      "port-reserved", LIKELY },
    { "Nov 22 12:08:53 kdc2.lab.test kpropd[181]: Error in krb5_recvauth: Service key not "
      "available",
      "replica-keytab-missing", SURE },
    { "Connection refused", "kpropd-down", POSSIBLE },
    { "  Broken pipe  ", "kpropd-acl", POSSIBLE },
    /* of a log's sure lines the last one */
    { "kpropd[9]: Rejected connection from unauthorized principal x@R\n"
      "kpropd[9]: Full propagation timed out\nkpropd[9]: ready",
      "load-timeout", SURE },
    /* rows of kpropctl */
    { "port 754 on kdc2.lab.test is held by /usr/bin/nc (pid 12, listening, user root)",
      "port-held", SURE },
    { "port 754 on kdc2.lab.test is reserved by portreserve (pid 12, file krb5_prop): bound, not "
      "listening, so netstat and lsof show nobody",
      "port-reserved", SURE },
    { "krb5_prop is port 754 on this host, and 755 on kdc2: kprop and kpropd miss each other",
      "services-differ", SURE },
    { "/etc/krb5kdc/kpropd.acl on kdc2 does not list host/kdc1.lab.test@LAB.TEST", "kpropd-acl",
      SURE },
    { "/etc/krb5kdc/kpropd.acl is missing on kdc2 (host/kdc1.lab.test@LAB.TEST is not listed)",
      "kpropd-acl", SURE },
    { "no room for a dump in /var/lib/kpropctl/dump: it may need 60 MB, 1 MB are free", "space",
      SURE },
    { "the clock of kdc2.lab.test is 400 s behind", "clock", SURE },
    { "keytab /etc/krb5.keytab holds kvno 2 of host/kdc1@R, the database has kvno 3",
      "primary-keytab-stale", SURE },
    { "keytab /etc/krb5.keytab on kdc2 holds kvno 2 of host/kdc2@R, the database has kvno 3",
      "replica-keytab-stale", SURE },
    { "kpropd runs on kdc2 (pid 77), but not by its unit krb5-kpropd.service: it was started by "
      "hand",
      "kpropd", SURE },
    { "krb5kdc does not run on kdc2 (inactive)", "kdc", SURE },
    { "cannot connect to the agent at kdc2.lab.test port 4373: Connection refused", "agent", SURE },
    { "the agent on kdc2 does not allow 'facts' to us: access denied", "agent-denied", SURE },
    { "kdc2 refused the database: cannot promote the new database: stash file /etc/krb5kdc/stash "
      "does not open it: Decrypt integrity check failed",
      "loader-refused", SURE },
    { "the database of kdc2 is NOT what was sent: 3 principals and 0 policies there, 4 and 0 in "
      "the "
      "dump",
      "digest", SURE },
    { "kpropd on kdc2 is held up by a connection from 10.0.0.9 that has been silent for 40 s",
      "kpropd-stalled", SURE },
};

static size_t
match(const char *text, struct match matches[MATCHES_MAX])
{
    return catalogue_match(text, strlen(text), matches);
}

static void
test_seen(void **state)
{
    struct match matches[MATCHES_MAX];
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(seen) / sizeof(*seen); i++) {
        size_t count = match(seen[i].text, matches);
        const char *id = count == 0 ? "nothing" : matches[0].symptom->id;

        if (strcmp(id, seen[i].id) != 0 || matches[0].sign->certainty != seen[i].certainty) {
            print_message("%s\n  is %s (%s), not %s (%s)\n", seen[i].text, id,
                          count == 0 ? "" : certainty_name(matches[0].sign->certainty), seen[i].id,
                          certainty_name(seen[i].certainty));
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* A text with several causes names them all; what the other host says leaves one. */
static void
test_narrowed(void **state)
{
    struct match matches[MATCHES_MAX];

    (void)state;
    assert_int_equal(
        match("kprop: Broken pipe while sending database block starting at 0", matches), 4);
    for (size_t i = 0; i < 4; i++)
        assert_non_null(matches[i].symptom->apart);
    assert_int_equal(match("kprop: Broken pipe while sending database block starting at 0\n"
                           "kpropd: Rejected connection from unauthorized principal x",
                           matches),
                     1);
    assert_true(match("kprop: Connection refused while connecting to server", matches) >= 3);
    assert_true(match("kprop: Software caused connection abort while reading response from server",
                      matches) >= 5);
    /* The first line alone: the second would tell. */
    assert_true(match("kprop: Server rejected authentication (during sendauth exchange) while "
                      "authenticating to server",
                      matches) >= 4);
    assert_int_equal(matches[0].sign->certainty, POSSIBLE);
}

static void
test_unrelated(void **state)
{
    static const char *const texts[] = {
        "",
        " \n\n \t ",
        "hello world",
        "ssh: connect to host kdc2 port 22: Connection refused",
        "curl: (7) Failed to connect to localhost port 80: Connection refused",
        "bash: foo: No such file or directory",
        "systemd[1]: Started Daily apt download activities.",
        "sshd[99]: Accepted publickey for root from 10.0.0.1 port 5000 ssh2",
        "cat: write error: Broken pipe",
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)",
        "postfix/smtp[3]: connect to mx.example.org[10.0.0.9]:25: Connection timed out",
        "krb5kdc[7](info): AS_REQ (8 etypes {aes256}) 10.0.0.2: ISSUE: authtime 1, etypes {rep=18}",
    };
    struct match matches[MATCHES_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        size_t count = match(texts[i], matches);

        if (count > 0)
            print_message("'%s' is taken for %s\n", texts[i], matches[0].symptom->id);
        assert_int_equal(count, 0);
    }
}

static void
test_checks_explained(void **state)
{
    (void)state;
    for (const struct check *check = checks; check->id != NULL; check++) {
        if (catalogue_find(check->id) == NULL)
            fail_msg("check %s has no entry in the catalogue", check->id);
    }
    assert_null(catalogue_find("no-such-id"));
    assert_null(catalogue_find(""));
}

static void
test_table(void **state)
{
    const struct symptom *s, *other;

    (void)state;
    for (size_t i = 0; (s = catalogue_at(i)) != NULL; i++) {
        bool sure = true;

        assert_true(s->title != NULL && s->cause != NULL && s->look != NULL && s->remedy != NULL);
        assert_true(s->program != NULL && s->where != 0);
        assert_null(s->signs[SIGNS_MAX].text);
        for (const struct sign *sign = s->signs; sign->text != NULL; sign++) {
            assert_true(strlen(sign->text) < 200 && sign->certainty >= POSSIBLE);
            assert_null(strchr("*$", sign->text[sign->text[0] == '^']));
            sure &= sign->certainty == SURE;
        }
        /* What may be a guess says what tells it apart, if others guess at the same. */
        for (size_t j = 0; (other = catalogue_at(j)) != NULL; j++) {
            if (j != i && strcmp(s->id, other->id) == 0)
                fail_msg("%s is there twice", s->id);
        }
        for (const struct sign *sign = s->signs; sign->text != NULL; sign++) {
            if (sign->certainty == POSSIBLE && s->apart == NULL && sign->with == NULL && !sure &&
                strchr("A^CB:", sign->text[0]) != NULL)
                fail_msg("%s does not say what tells it apart", s->id);
        }
        assert_null(strstr(s->remedy, "\n\n"));
    }
}

static void
test_hint(void **state)
{
    struct catalogue_names names = { "kdc2.lab.test", "kdc1.lab.test", "LAB.TEST" };
    char hint[1024], small[20];

    (void)state;
    catalogue_hint("kprop: Broken pipe while sending database block starting at 0\n"
                   "kdc2: kpropd: Rejected connection from unauthorized principal x",
                   &names, hint, sizeof(hint));
    assert_string_equal(hint,
                        "kpropd.acl of kdc2.lab.test lacks host/kdc1.lab.test@LAB.TEST: add "
                        "host/kdc1.lab.test@LAB.TEST to kpropd.acl of kdc2.lab.test (kpropctl "
                        "setup-slave kdc2.lab.test does)");
    catalogue_hint("kprop: Broken pipe while sending database block starting at 0", &names, hint,
                   sizeof(hint));
    assert_memory_equal(hint, "it may be that kpropd.acl of kdc2", 33);
    assert_non_null(strstr(hint, ", or that a load still runs on kdc2.lab.test"));
    catalogue_hint("kprop: something new", &names, hint, sizeof(hint));
    assert_string_equal(hint, "");
    catalogue_hint("database locked", NULL, small, sizeof(small));
    assert_int_equal(strlen(small), sizeof(small) - 1);
}

/* Whatever is pasted: bounded, quick, and what is shown of it is clean UTF-8. */
static void
check_hostile(const char *data, size_t len)
{
    struct match matches[MATCHES_MAX];
    size_t count = catalogue_match(data, len, matches);
    json_t *object = explain_json(matches, count);
    struct buffer out;

    assert_true(count <= MATCHES_MAX);
    assert_non_null(object);
    json_decref(object);
    buffer_init(&out, 1 << 20);
    explain_print(matches, count, 1, &out);
    assert_false(out.failed);
    for (size_t i = 0; i < count; i++) {
        for (const char *p = matches[i].text; *p != '\0'; p++)
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    }
    buffer_free(&out);
}

static void
fill(char *data, size_t len, const char *with, size_t with_len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = with[i % with_len];
}

static void
test_hostile(void **state)
{
    static const char *const patterns[] = {
        "x",
        "\n",
        " ",
        "broken pipe ",
        "Connection refused\n",
        "kprop: ",
        "\xff\xfe",
        "kprop: Broken pipe \xc3\n",
        "\033[31mdatabase locked\033[0m \xe2\x82",
        "port on port on port on ",
        "Address already in use",
    };
    size_t len = 1 << 20;
    char *data = malloc(len);

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
        fill(data, len, patterns[i], strlen(patterns[i]));
        check_hostile(data, i < 2 ? len : len / 16);
    }
    fill(data, len, "database locked\0", 16);
    check_hostile(data, len);
    fill(data, len, "\0", 1);
    check_hostile(data, len / 16);
    check_hostile(data, 0);
    free(data);
}

static void
test_document(void **state)
{
    struct buffer file, now;
    struct error err;

    (void)state;
    buffer_init(&file, 1 << 20);
    buffer_init(&now, 1 << 20);
    assert_true(file_read(TEST_SOURCE_DIR "/../docs/symptoms.md", &file, &err));
    explain_markdown(&now);
    if (file.len != now.len || memcmp(file.data, now.data, now.len) != 0)
        fail_msg("docs/symptoms.md is not what the catalogue says: write it anew with kpropctl "
                 "explain --markdown >docs/symptoms.md");
    buffer_free(&file);
    buffer_free(&now);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seen),      cmocka_unit_test(test_narrowed),
        cmocka_unit_test(test_unrelated), cmocka_unit_test(test_checks_explained),
        cmocka_unit_test(test_table),     cmocka_unit_test(test_hint),
        cmocka_unit_test(test_hostile),   cmocka_unit_test(test_document),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
