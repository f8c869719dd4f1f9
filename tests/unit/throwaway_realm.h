/*
 * throwaway_realm - a realm of its own for unit tests: a krb5kdc on loopback over a temporary
 * folder, its principals, keytabs and tickets. For inclusion in one test file each.
 *
 * Sets KRB5_CONFIG, KRB5_KDC_PROFILE, KRB5CCNAME, KRB5_KTNAME and KRB5RCACHENAME of the test's own
 * process. Needs krb5-kdc and krb5-admin-server; a missing program fails the test.
 */
#ifndef KPC_THROWAWAY_REALM_H
#define KPC_THROWAWAY_REALM_H

#include "common/base/subprocess.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <krb5/krb5.h>

#define REALM "UNIT.TEST"
#define REALM_CLIENT "host/primary.unit.test@" REALM
#define REALM_SERVER "host/replica.unit.test@" REALM

struct realm {
    char folder[64];
    int port;
    struct subprocess kdc;
};

#define REALM_FN static __attribute__((unused))

REALM_FN const char *
realm_path(const struct realm *realm, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", realm->folder, name);
    return path;
}

REALM_FN bool
realm_write(const struct realm *realm, const char *name, const char *text)
{
    char path[128];
    FILE *fp = fopen(realm_path(realm, name, path, sizeof(path)), "w");

    return fp != NULL && fputs(text, fp) >= 0 && fclose(fp) == 0;
}

/* Run a program of the realm's to its end; what it said is printed if it fails. */
REALM_FN bool
realm_run(const struct realm *realm, const char *const *argv)
{
    char config[128], profile[128], path[128];
    const char *environment[] = { config, profile, NULL };
    struct subprocess_result result;
    struct error err;
    bool ok;

    snprintf(config, sizeof(config), "KRB5_CONFIG=%s",
             realm_path(realm, "krb5.conf", path, sizeof(path)));
    snprintf(profile, sizeof(profile), "KRB5_KDC_PROFILE=%s",
             realm_path(realm, "kdc.conf", path, sizeof(path)));
    ok = subprocess_run(argv, environment, 20000, &result, &err);
    if (!ok) {
        fprintf(stderr, "%s\n", err.text);
    } else if (!subprocess_succeeded(&result)) {
        ok = false;
        fprintf(stderr, "%s: %s%s", argv[0], buffer_string(&result.out),
                buffer_string(&result.err));
    }
    subprocess_result_free(&result);
    return ok;
}

/* One query to kadmin.local. */
REALM_FN __attribute__((format(printf, 2, 3))) bool
realm_admin(const struct realm *realm, const char *fmt, ...)
{
    char query[512];
    const char *argv[] = { "/usr/sbin/kadmin.local", "-r", REALM, "-q", query, NULL };
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(query, sizeof(query), fmt, ap);
    va_end(ap);
    return realm_run(realm, argv);
}

/* A port that is free for UDP and TCP on loopback, or -1. */
REALM_FN int
realm_free_port(void)
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(sin);
    int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), port = -1;

    if (bind(tcp, (struct sockaddr *)&sin, len) == 0 &&
        getsockname(tcp, (struct sockaddr *)&sin, &len) == 0 &&
        bind(udp, (struct sockaddr *)&sin, sizeof(sin)) == 0)
        port = ntohs(sin.sin_port);
    close(tcp);
    close(udp);
    return port;
}

/* A ticket for CLIENT from the default keytab, valid for LIFE seconds, into the cache named; the
 * cache becomes the default one. 0 or a krb5 error code. */
REALM_FN krb5_error_code
realm_login(const struct realm *realm, const char *client, int life, const char *cache)
{
    krb5_get_init_creds_opt *options = NULL;
    krb5_principal principal = NULL;
    krb5_context ctx = NULL;
    krb5_keytab keytab = NULL;
    krb5_ccache cc = NULL;
    krb5_error_code code;
    krb5_creds creds;
    char name[160];

    memset(&creds, 0, sizeof(creds));
    snprintf(name, sizeof(name), "FILE:%s/%s", realm->folder, cache);
    setenv("KRB5CCNAME", name, 1);
    code = krb5_init_context(&ctx);
    if (code != 0)
        return code;
    code = krb5_parse_name(ctx, client, &principal);
    if (code == 0)
        code = krb5_kt_default(ctx, &keytab);
    if (code == 0)
        code = krb5_get_init_creds_opt_alloc(ctx, &options);
    if (code == 0) {
        krb5_get_init_creds_opt_set_tkt_life(options, life);
        code = krb5_get_init_creds_keytab(ctx, &creds, principal, keytab, 0, NULL, options);
    }
    if (code == 0)
        code = krb5_cc_resolve(ctx, name, &cc);
    if (code == 0)
        code = krb5_cc_initialize(ctx, cc, principal);
    if (code == 0)
        code = krb5_cc_store_cred(ctx, cc, &creds);
    if (cc != NULL)
        krb5_cc_close(ctx, cc);
    if (keytab != NULL)
        krb5_kt_close(ctx, keytab);
    krb5_free_cred_contents(ctx, &creds);
    krb5_get_init_creds_opt_free(ctx, options);
    krb5_free_principal(ctx, principal);
    krb5_free_context(ctx);
    return code;
}

REALM_FN bool
realm_write_configs(const struct realm *realm)
{
    char text[2048];

    snprintf(
        text, sizeof(text),
        "[libdefaults]\n default_realm = %s\n dns_lookup_kdc = false\n dns_lookup_realm = false\n"
        " rdns = false\n dns_canonicalize_hostname = false\n clockskew = 2\n"
        " kdc_timesync = 0\n"
        "[realms]\n %s = {\n  kdc = 127.0.0.1:%d\n  admin_server = primary.unit.test\n }\n"
        "[domain_realm]\n .unit.test = %s\n",
        REALM, REALM, realm->port, REALM);
    if (!realm_write(realm, "krb5.conf", text))
        return false;
    snprintf(text, sizeof(text),
             "[realms]\n %s = {\n  database_name = %s/principal\n  key_stash_file = %s/stash\n"
             "  kdc_listen = 127.0.0.1:%d\n  kdc_tcp_listen = 127.0.0.1:%d\n"
             "  acl_file = %s/kadm5.acl\n }\n[logging]\n kdc = FILE:%s/kdc.log\n",
             REALM, realm->folder, realm->folder, realm->port, realm->port, realm->folder,
             realm->folder);
    return realm_write(realm, "kdc.conf", text);
}

REALM_FN void
realm_export(const struct realm *realm)
{
    char path[160];

    setenv("KRB5_CONFIG", realm_path(realm, "krb5.conf", path, sizeof(path)), 1);
    setenv("KRB5_KDC_PROFILE", realm_path(realm, "kdc.conf", path, sizeof(path)), 1);
    snprintf(path, sizeof(path), "FILE:%s/keytab", realm->folder);
    setenv("KRB5_KTNAME", path, 1);
    snprintf(path, sizeof(path), "file2:%s/rcache", realm->folder);
    setenv("KRB5RCACHENAME", path, 1);
}

/* Start the KDC and wait until it gives out a ticket. */
REALM_FN bool
realm_start_kdc(struct realm *realm)
{
    static const char *const argv[] = { "/usr/sbin/krb5kdc", "-n", "-r", REALM, NULL };
    char config[160], profile[160], path[128];
    const char *environment[] = { config, profile, NULL };
    struct subprocess_options options = { .environment = environment };
    struct error err;
    krb5_error_code code = 0;

    snprintf(config, sizeof(config), "KRB5_CONFIG=%s",
             realm_path(realm, "krb5.conf", path, sizeof(path)));
    snprintf(profile, sizeof(profile), "KRB5_KDC_PROFILE=%s",
             realm_path(realm, "kdc.conf", path, sizeof(path)));
    if (!subprocess_start(argv, &options, &realm->kdc, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    for (int i = 0; i < 100; i++) {
        code = realm_login(realm, REALM_CLIENT, 3600, "cache");
        if (code == 0)
            return true;
        usleep(50000);
    }
    fprintf(stderr, "krb5kdc gives no ticket: error %d\n", (int)code);
    return false;
}

/* Make the realm; REALM_CLIENT and REALM_SERVER have keys in the default keytab, and REALM_CLIENT
 * has a ticket in the default cache. */
REALM_FN bool
realm_up(struct realm *realm)
{
    static const char *const create[] = {
        "/usr/sbin/kdb5_util", "-r", REALM, "-P", "master", "create", "-s", NULL
    };

    memset(realm, 0, sizeof(*realm));
    strcpy(realm->folder, "/tmp/kpropctl-realm-XXXXXX");
    if (mkdtemp(realm->folder) == NULL)
        return false;
    realm->port = realm_free_port();
    if (realm->port < 0 || !realm_write_configs(realm) || !realm_run(realm, create))
        return false;
    realm_export(realm);
    return realm_admin(realm, "addprinc -randkey " REALM_CLIENT) &&
           realm_admin(realm, "addprinc -randkey " REALM_SERVER) &&
           realm_admin(realm, "ktadd -k %s/keytab " REALM_CLIENT " " REALM_SERVER, realm->folder) &&
           realm_start_kdc(realm);
}

REALM_FN void
realm_down(struct realm *realm)
{
    const char *argv[] = { "/bin/rm", "-rf", realm->folder, NULL };
    struct subprocess_result result;

    if (realm->kdc.pid > 0) {
        subprocess_result_init(&result);
        kill(realm->kdc.pid, SIGTERM);
        subprocess_wait(&realm->kdc, 5000, &result);
        subprocess_result_free(&result);
    }
    if (strncmp(realm->folder, "/tmp/kpropctl-realm-", 20) == 0)
        realm_run(realm, argv);
}

/* The setup and teardown of a group of tests whose state is a realm alone. */
REALM_FN int
realm_group_setup(void **state)
{
    static struct realm realm;

    *state = &realm;
    return realm_up(&realm) ? 0 : -1;
}

REALM_FN int
realm_group_teardown(void **state)
{
    realm_down(*state);
    return 0;
}

#endif
