/*
 * databases - a throwaway realm's database, its dumps and their announcements, for the tests of
 * backend, database and loader. For inclusion in one test file each.
 */
#ifndef KPC_TEST_DATABASES_H
#define KPC_TEST_DATABASES_H

/* Both headers have a struct realm. */
#define realm throwaway
#include "throwaway_realm.h"
#undef realm

#include "common/kdb/backend.h"
#include "common/kdb/database.h"
#include "common/kdb/dump.h"
#include "common/krb5/realm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define DB_FN static __attribute__((unused))

/* FOLDER/NAME in one of many buffers that are used in turn. */
DB_FN __attribute__((format(printf, 2, 3))) const char *
in_folder(const struct throwaway *t, const char *fmt, ...)
{
    static char names[4096][128];
    static unsigned next;
    char *name = names[next++ % 4096];
    va_list ap;
    int n = snprintf(name, sizeof(*names), "%s/", t->folder);

    va_start(ap, fmt);
    vsnprintf(name + n, sizeof(*names) - (size_t)n, fmt, ap);
    va_end(ap);
    return name;
}

/* Run a shell command; false unless it ends with 0. */
DB_FN __attribute__((format(printf, 1, 2))) bool
shell(const char *fmt, ...)
{
    char command[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    return system(command) == 0;
}

DB_FN bool
dump_live(const struct throwaway *t, const char *file)
{
    const char *argv[] = { "/usr/sbin/kdb5_util", "-r", REALM, "dump", file, NULL };

    return realm_run(t, argv);
}

/* FILE: the live database and COUNT principals more. */
DB_FN bool
dump_large(const struct throwaway *t, const char *file, int count)
{
    const char *small = in_folder(t, "template.dump");

    return dump_live(t, small) && shell("/usr/bin/python3 %s/lib/make_dump.py %s %s -n %d -p 5",
                                        TEST_SOURCE_DIR, small, file, count);
}

/* The live database has principal NAME. */
DB_FN bool
has_principal(const struct throwaway *t, const char *name)
{
    return shell("KRB5_CONFIG=%s KRB5_KDC_PROFILE=%s kadmin.local -r " REALM
                 " -q 'getprinc %s' 2>&1 | grep -q MKey",
                 in_folder(t, "krb5.conf"), in_folder(t, "kdc.conf"), name);
}

/* What common/dump says of FILE under NONCE. */
DB_FN bool
decode(const char *file, const unsigned char *nonce, struct dump_info *info)
{
    struct dump *dump = dump_new(REALM, NULL, nonce);
    FILE *fp = fopen(file, "re");
    struct error err;
    char chunk[65536];
    bool ok = fp != NULL;
    size_t n;

    error_clear(&err);
    while (ok && (n = fread(chunk, 1, sizeof(chunk), fp)) > 0)
        ok = dump_feed(dump, chunk, n, &err);
    ok = ok && dump_finish(dump, info, &err);
    if (!ok)
        fprintf(stderr, "%s: %s\n", file, err.text);
    if (fp != NULL)
        fclose(fp);
    dump_free(dump);
    return ok;
}

DB_FN double
clock_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The KDC gives a ticket, and is still the process that it was. */
DB_FN bool
kdc_serves(struct throwaway *t)
{
    return realm_login(t, REALM_CLIENT, 3600, "probe") == 0 && kill(t->kdc.pid, 0) == 0 &&
           waitpid(t->kdc.pid, NULL, WNOHANG) == 0;
}

#endif
