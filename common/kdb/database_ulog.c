/*
 * database_ulog - what is written into the update log; see database.h.
 *
 * libkdb5 exports the functions of the update log, which kadmind and kpropd call, but installs no
 * header for them: they are declared here as in krb5's kdb_log.h and iprop.h, unchanged since 1.14.
 */
#include "common/base/forked.h"
#include "common/kdb/database.h"
#include "common/kdb/database_session.h"

#include <kadm5/admin.h>
#include <kdb.h>
#include <krb5.h>
#include <stdio.h>
#include <string.h>

struct log_time {
    uint32_t seconds;
    uint32_t useconds;
};

struct log_last {
    uint32_t last_sno;
    struct log_time last_time;
};

krb5_error_code ulog_map(krb5_context context, const char *logname, uint32_t entries);
krb5_error_code ulog_init_header(krb5_context context);
krb5_error_code ulog_set_last(krb5_context context, const struct log_last *last);
void ulog_fini(krb5_context context);

struct ulog_task {
    const char *file;
    uint32_t entries;
    const struct database_ulog_place *place;
};

static bool
ulog_work(void *arg, struct forked_outlet *outlet, struct error *err)
{
    struct ulog_task *task = arg;
    krb5_context context = NULL;
    krb5_error_code code;

    (void)outlet;
    code = kadm5_init_krb5_context(&context);
    if (code == 0)
        code = ulog_map(context, task->file, task->entries);
    if (code == 0) {
        code = ulog_init_header(context);
        if (code == 0 && task->place != NULL) {
            struct log_last last = { task->place->serial,
                                     { task->place->seconds, task->place->useconds } };

            code = ulog_set_last(context, &last);
        }
        ulog_fini(context);
    }
    if (code != 0)
        database_failed(context, code, "write update log", task->file, err);
    if (context != NULL)
        krb5_free_context(context);
    return code == 0;
}

static bool
ulog_receive(void *arg, const void *data, size_t len, struct error *err)
{
    (void)arg;
    (void)data;
    (void)len;
    return error_set(err, ERROR_INTERNAL, "cannot write update log: odd answer");
}

bool
database_ulog_set(const char *file, uint32_t entries, const struct database_ulog_place *place,
                  struct error *err)
{
    struct ulog_task task = { file, entries, place };
    char what[512];

    snprintf(what, sizeof(what), "write update log %s", file);
    return forked_run(ulog_work, ulog_receive, &task, 30 * 1000, what, err);
}
