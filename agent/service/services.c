/* services - see services.h. */
#include "agent/service/services.h"

#include "common/host/process.h"

#include <stdio.h>
#include <string.h>

struct row {
    const char *name;
    const char *units[3];    /* Debian's, RHEL's, NULL */
    const char *scripts[3];  /* likewise, without systemd */
    const char *programs[3]; /* names of its process */
    bool udp;                /* a UDP socket counts as listening */
};

static const struct row rows[] = {
    [SERVICE_KPROPD] = { "kpropd",
                         { "krb5-kpropd.service", "kprop.service", NULL },
                         { "krb5-kpropd", "kprop", NULL },
                         { "kpropd", "_kpropd", NULL },
                         false },
    [SERVICE_KDC] = { "krb5kdc",
                      { "krb5-kdc.service", "krb5kdc.service", NULL },
                      { "krb5-kdc", "krb5kdc", NULL },
                      { "krb5kdc", NULL },
                      true },
    [SERVICE_KADMIND] = { "kadmind",
                          { "krb5-admin-server.service", "kadmin.service", NULL },
                          { "krb5-admin-server", "kadmin", NULL },
                          { "kadmind", "_kadmind", NULL },
                          false },
};

const char *
services_name(enum service service)
{
    return rows[service].name;
}

/* The unit called NAME, or where that is NULL the first of the usual ones that exists. */
static bool
see_unit(struct systemd *sd, const struct row *row, const char *name, struct service_state *s,
         struct error *err)
{
    if (name != NULL) {
        if (!systemd_state(sd, name, &s->state, err))
            return false;
        s->unit = s->state.exists ? name : NULL;
        return true;
    }
    for (const char *const *unit = row->units; *unit != NULL; unit++) {
        if (!systemd_state(sd, *unit, &s->state, err))
            return false;
        if (s->state.exists) {
            s->unit = *unit;
            return true;
        }
    }
    return true;
}

/* Look what PID, which may be the one, listens on. */
static void
see_sockets(const struct row *row, int port, pid_t pid, struct service_state *s)
{
    struct processes_serving serving = { false, false };

    if (port != 0)
        serving = processes_serve(pid, port, row->udp);
    s->tcp = serving.tcp;
    s->udp = serving.udp;
    s->listening = serving.tcp || serving.udp;
    if (s->listening || s->pid == 0)
        s->pid = pid;
}

/*
 * Of the processes called as the service is, the unit's, else one that listens, else any; but where
 * the service is one of SEVERAL, those that do not listen on its port are another's.
 */
static void
see_processes(const struct row *row, int port, bool several, struct processes *all,
              struct service_state *s)
{
    struct process_info info;
    pid_t pids[64];
    size_t count = 0;

    if (s->state.pid != 0)
        see_sockets(row, port, s->state.pid, s);
    if (!s->listening && (s->pid == 0 || port != 0))
        count = processes_find(all, row->programs, pids, sizeof(pids) / sizeof(pids[0]));
    for (size_t i = 0; i < count && !s->listening; i++)
        see_sockets(row, port, pids[i], s);
    if (several && !s->listening && s->state.pid == 0)
        s->pid = 0;
    s->by_hand = s->pid != 0 && s->state.pid == 0;
    if (s->pid != 0 && process_describe(s->pid, &info))
        memcpy(s->command, info.command, sizeof(s->command));
}

bool
services_see_among(struct processes *all, struct systemd *sd, enum service service,
                   const char *unit, int port, struct service_state *s, struct error *err)
{
    memset(s, 0, sizeof(*s));
    if (sd != NULL && !see_unit(sd, &rows[service], unit, s, err))
        return false;
    if (sd == NULL && init_script_find("", rows[service].scripts, &s->script))
        snprintf(s->state.enabled, sizeof(s->state.enabled), "%s",
                 s->script.enabled ? "enabled" : "disabled");
    see_processes(&rows[service], port, unit != NULL, all, s);
    return true;
}

bool
services_see(struct systemd *sd, enum service service, const char *unit, int port,
             struct service_state *s, struct error *err)
{
    struct processes all;
    bool ok;

    processes_init(&all);
    ok = services_see_among(&all, sd, service, unit, port, s, err);
    processes_free(&all);
    return ok;
}

_Static_assert(sizeof(((struct service_state *)0)->command) ==
                   sizeof(((struct process_info *)0)->command),
               "one is copied into the other");

static json_t *
text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? json_null() : json_string(text);
}

json_t *
services_json(enum service service, const struct service_state *s)
{
    bool both = rows[service].udp;
    json_t *object = json_pack(
        "{s:o, s:o, s:b, s:o, s:o, s:b, s:o, s:o}", "unit", text_or_null(s->unit), "active",
        text_or_null(s->state.active), "enabled", services_enabled(s), "boot",
        text_or_null(s->state.enabled), "pid", s->pid == 0 ? json_null() : json_integer(s->pid),
        "listening", both ? s->tcp && s->udp : s->listening, "command", text_or_null(s->command),
        "init_script", s->script.path[0] == '\0' ? json_null() : init_script_json(&s->script));

    if (object != NULL && both) {
        json_object_set_new(object, "udp", json_boolean(s->udp));
        json_object_set_new(object, "tcp", json_boolean(s->tcp));
    }
    return object;
}

bool
services_enabled(const struct service_state *s)
{
    return strcmp(s->state.enabled, "enabled") == 0 ||
           strcmp(s->state.enabled, "enabled-runtime") == 0;
}

void
services_hint_from_log(const json_t *lines, struct error *err)
{
    const char *last = NULL, *before = NULL;

    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);
        const char *program = json_string_value(json_object_get(line, "program"));
        const char *text = json_string_value(json_object_get(line, "text"));

        if (text == NULL || (program != NULL && strcmp(program, "systemd") == 0))
            continue;
        before = last;
        last = text;
    }
    if (last != NULL)
        error_hint(err, "Its log says: %s%s%s", before == NULL ? "" : before,
                   before == NULL ? "" : "; ", last);
}
