/* facts - see facts.h. What cannot be found out is null, with an "error" beside it where that says
 * more. */
#include "agent/verbs/facts.h"

#include "common/base/clock.h"

#include "agent/load/acceptance.h"
#include "agent/load/announcement.h"
#include "agent/load/leftovers.h"
#include "agent/load/loader.h"
#include "agent/load/loads.h"
#include "agent/load/outcome.h"
#include "agent/load/stash.h"
#include "agent/service/connections.h"
#include "agent/service/incremental.h"
#include "agent/service/kpropd_acl.h"
#include "agent/service/kpropd_place.h"
#include "agent/service/loader_dropin.h"
#include "agent/service/runner.h"
#include "agent/service/services.h"
#include "agent/service/supervised.h"
#include "common/contract/capabilities.h"
#include "common/host/process.h"
#include "common/host/systemd.h"
#include "common/kdb/backend.h"
#include "common/krb5/brand.h"
#include "common/krb5/realm.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <krb5.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MAX_KEYTAB_ENTRIES = 1000 };

static json_t *
text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? json_null() : json_string(text);
}

static json_t *
host_addresses(void)
{
    json_t *list = json_array();
    struct ifaddrs *all = NULL;
    char text[INET6_ADDRSTRLEN];

    if (getifaddrs(&all) != 0)
        return list;
    for (struct ifaddrs *a = all; a != NULL; a = a->ifa_next) {
        int family = a->ifa_addr == NULL ? AF_UNSPEC : a->ifa_addr->sa_family;
        const void *address = NULL;

        if (family == AF_INET)
            address = &((const struct sockaddr_in *)(const void *)a->ifa_addr)->sin_addr;
        else if (family == AF_INET6)
            address = &((const struct sockaddr_in6 *)(const void *)a->ifa_addr)->sin6_addr;
        if (address != NULL && !(a->ifa_flags & IFF_LOOPBACK) &&
            inet_ntop(family, address, text, sizeof(text)) != NULL)
            json_array_append_new(list, json_string(text));
    }
    freeifaddrs(all);
    return list;
}

/* This host's name in the principal that its services take for themselves. */
static json_t *
krb5_host_name(krb5_context context)
{
    krb5_principal principal = NULL;
    json_t *name = json_null();

    if (krb5_sname_to_principal(context, NULL, "host", KRB5_NT_SRV_HST, &principal) == 0) {
        krb5_data *part = krb5_princ_component(context, principal, 1);

        name = json_stringn(part->data, part->length);
    }
    krb5_free_principal(context, principal);
    return name;
}

static json_t *
facts_host(krb5_context context)
{
    struct addrinfo hints = { .ai_flags = AI_CANONNAME }, *found = NULL;
    char name[256] = "";
    json_t *canonical = json_null();

    gethostname(name, sizeof(name) - 1);
    if (getaddrinfo(name, NULL, &hints, &found) == 0) {
        canonical = text_or_null(found->ai_canonname);
        freeaddrinfo(found);
    }
    return json_pack("{s:s, s:o, s:o, s:o}", "name", name, "canonical", canonical, "krb5_name",
                     krb5_host_name(context), "addresses", host_addresses());
}

static json_t *
krb5_version(void)
{
    char version[32];

    brand_of_libkrb5(version, sizeof(version));
    return text_or_null(version);
}

/* The newest dump format that krb5 VERSION loads (kdb5_util's dump.c): 7 since 1.11. */
static json_t *
dump_version(const json_t *version)
{
    int major, minor;

    if (!json_is_string(version) ||
        sscanf(json_string_value(version), "%d.%d", &major, &minor) != 2)
        return json_null();
    if (major > 1 || minor >= 11)
        return json_integer(7);
    return json_integer(minor >= 8 ? 6 : 5);
}

static json_t *
program_path(const char *name)
{
    char path[PATH_MAX];
    struct error ignored;

    return realm_find_program(name, path, sizeof(path), &ignored) ? json_string(path) : json_null();
}

static json_t *
facts_krb5(void)
{
    json_t *version = krb5_version(), *dump = dump_version(version);

    return json_pack("{s:o, s:o, s:o, s:o}", "version", version, "kpropd", program_path("kpropd"),
                     "kdb5_util", program_path("kdb5_util"), "dump_version", dump);
}

static json_t *
facts_realm(const struct realm *realm)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:i}", "name", text_or_null(realm->name),
        "kdc_conf", text_or_null(realm->kdc_conf), "database", text_or_null(realm->database),
        "backend", text_or_null(realm->backend), "stash", text_or_null(realm->stash), "kpropd_acl",
        text_or_null(realm->kpropd_acl), "spool", text_or_null(realm->spool), "keytab",
        text_or_null(realm->keytab), "iprop", realm->iprop, "kdc_port", realm->kdc_port);
}

static json_t *
keytab_entry(krb5_context context, krb5_keytab_entry *entry)
{
    char enctype[64], *name = NULL;
    json_t *row;

    if (krb5_enctype_to_name(entry->key.enctype, FALSE, enctype, sizeof(enctype)) != 0)
        snprintf(enctype, sizeof(enctype), "%d", (int)entry->key.enctype);
    if (krb5_unparse_name(context, entry->principal, &name) != 0)
        name = NULL;
    row = json_pack("{s:o, s:i, s:s}", "principal", text_or_null(name), "kvno", (int)entry->vno,
                    "enctype", enctype);
    krb5_free_unparsed_name(context, name);
    return row;
}

static json_t *
facts_keytab(krb5_context context, const char *file)
{
    json_t *entries = json_array(), *error = json_null();
    krb5_keytab keytab = NULL;
    krb5_keytab_entry entry;
    krb5_kt_cursor cursor;
    krb5_error_code code = krb5_kt_resolve(context, file, &keytab);

    if (code == 0)
        code = krb5_kt_start_seq_get(context, keytab, &cursor);
    if (code == 0) {
        while (json_array_size(entries) < MAX_KEYTAB_ENTRIES &&
               (code = krb5_kt_next_entry(context, keytab, &entry, &cursor)) == 0) {
            json_array_append_new(entries, keytab_entry(context, &entry));
            krb5_free_keytab_entry_contents(context, &entry);
        }
        krb5_kt_end_seq_get(context, keytab, &cursor);
    }
    if (code != 0 && code != KRB5_KT_END) {
        const char *text = krb5_get_error_message(context, code);

        error = json_string(text);
        krb5_free_error_message(context, text);
    }
    if (keytab != NULL)
        krb5_kt_close(context, keytab);
    return json_pack("{s:s, s:o, s:o}", "file", file, "error", error, "entries", entries);
}

static json_t *
facts_acl(const char *file)
{
    json_t *entries = NULL, *why = json_null();
    bool exists = false;
    struct error err;

    error_clear(&err);
    if (!kpropd_acl_read(file, &exists, &entries, &err)) {
        why = json_string(err.text);
        entries = json_array();
    }
    return json_pack("{s:s, s:b, s:o, s:o}", "file", file, "exists", exists, "error", why,
                     "entries", entries);
}

/* Without systemd the processes are still seen. */
static json_t *
facts_service(struct systemd *sd, struct processes *all, enum service service, const char *unit,
              int port)
{
    struct service_state state;
    struct error err;
    json_t *object;

    error_clear(&err);
    if (!services_see_among(all, sd, service, unit, port, &state, &err) &&
        !services_see_among(all, NULL, service, unit, port, &state, &err))
        return json_null();
    object = services_json(service, &state);
    if (service == SERVICE_KPROPD && object != NULL) {
        bool dropin, running;

        kpropd_loader_state(&state, &dropin, &running);
        json_object_set_new(object, "dropin", json_boolean(dropin));
        json_object_set_new(object, "loader", json_boolean(running));
        json_object_set_new(object, "incremental", incremental_fact(&state));
        json_object_set_new(object, "connections", connections_of(port));
    }
    return object;
}

static json_t *
facts_stash(const char *file)
{
    bool exists = file != NULL && access(file, F_OK) == 0;

    /* Whether it opens the database is told by the verb digest, and by the last outcome. */
    return json_pack("{s:o, s:b, s:n, s:n}", "file", text_or_null(file), "exists", exists, "opens",
                     "error");
}

/* The file system that holds PATH: bytes free for us, and in all. */
static json_t *
space_of(const char *path)
{
    char folder[PATH_MAX];
    struct statvfs st;
    const char *slash = path == NULL ? NULL : strrchr(path, '/');

    if (slash == NULL || slash - path >= (long)sizeof(folder))
        return json_null();
    snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (statvfs(folder, &st) != 0)
        return json_pack("{s:s, s:n, s:n}", "path", folder, "free", "size");
    return json_pack("{s:s, s:I, s:I}", "path", folder, "free",
                     (json_int_t)st.f_bavail * (json_int_t)st.f_frsize, "size",
                     (json_int_t)st.f_blocks * (json_int_t)st.f_frsize);
}

static json_t *
facts_load(const struct realm *realm, struct processes *all)
{
    struct loader_progress progress;
    double since;
    pid_t pid;

    loader_look(realm->database, &progress);
    if (progress.running)
        return json_pack("{s:b, s:f, s:i, s:s}", "running", true, "since", progress.since, "pid",
                         progress.pid, "stage", progress.stage);
    if (loads_running(all, &pid, &since))
        return json_pack("{s:b, s:f, s:i, s:n}", "running", true, "since", since, "pid", (int)pid,
                         "stage");
    return json_pack("{s:b, s:n, s:n, s:n}", "running", false, "since", "pid", "stage");
}

/*
 * The counts are those of the last load, for as long as the files are those that it promoted, and
 * have not been written since: the live database itself is not opened. Times alone prove nothing:
 * an older file put back keeps its own, and clocks are set back.
 */
static json_t *
facts_database(const struct realm *realm, const json_t *last)
{
    const struct backend *backend = backend_find(realm->backend);
    json_t *principals = NULL, *policies = NULL;
    struct backend_identity identity;
    const char *promoted = json_string_value(json_object_get(last, "identity"));
    struct error err;
    bool exists = false, identified = false, replaced = true;
    uint64_t bytes = 0;

    error_clear(&err);
    if (backend != NULL && backend_has_files(backend)) {
        exists = backend_promotion(backend) == BACKEND_FIRST
                     ? backend_holds(backend, realm->database)
                     : backend_exists(backend, realm->database);
        bytes = backend_size(backend, realm->database);
    }
    if (exists)
        identified = backend_identify(backend, realm->database, &identity, &err);
    if (identified && promoted != NULL && json_is_true(json_object_get(last, "loaded")))
        replaced = !backend_same_files(promoted, identity.text);
    if (!replaced && strcmp(promoted, identity.text) == 0) {
        principals = json_object_get(last, "principals");
        policies = json_object_get(last, "policies");
    }
    return json_pack("{s:b, s:I, s:n, s:n, s:O?, s:O?, s:b, s:s?}", "exists", exists, "bytes",
                     (json_int_t)bytes, "opens", "error", "principals", principals, "policies",
                     policies, "replaced", replaced, "identity", identified ? identity.text : NULL);
}

/* What a running load works with is no leftover: where there is some, the load is looked for once
 * more, since it may have begun behind the look at the processes. */
static void
add_load(json_t *facts, const struct realm *realm, struct processes *all)
{
    json_t *load = facts_load(realm, all), *leftovers = json_null();

    if (!json_is_true(json_object_get(load, "running")))
        leftovers = leftovers_find(realm);
    if (json_array_size(leftovers) > 0) {
        processes_free(all);
        processes_init(all);
        json_decref(load);
        load = facts_load(realm, all);
    }
    if (json_is_true(json_object_get(load, "running"))) {
        json_decref(leftovers);
        leftovers = json_null();
    }
    json_object_set_new(facts, "load", load);
    json_object_set_new(facts, "leftovers", leftovers);
}

/* What the primary announced and has not sent yet, or null. */
static json_t *
facts_announced(const struct settings *settings, const struct realm *realm)
{
    struct announcement pending;
    char name[PATH_MAX];
    struct error err;
    json_t *object = NULL;
    bool found;

    error_clear(&err);
    if (announcement_read(settings->state, realm->name, &pending, &found, &err) && found &&
        !pending.live &&
        outcome_file_name(settings->state, realm->name, "announced", name, sizeof(name), &err))
        object = outcome_read_json(name, &err);
    return object == NULL ? json_null() : object;
}

/* What becomes of a dump that nobody announces, and what root has said of the next one. */
static json_t *
facts_unannounced(const struct settings *settings, const struct realm *realm)
{
    const char *rule = NULL;
    struct settings own;
    struct error ignored;

    if (settings_of_realm(settings, realm->name, &own, &ignored)) {
        rule = own.unannounced == UNANNOUNCED_ACCEPT ? "accept" : "refuse";
        settings_free(&own);
    }
    return json_pack("{s:s?, s:o, s:b}", "rule", rule, "next",
                     acceptance_json(settings->state, realm->name), "released",
                     supervised_realm(settings, realm->name, NULL) && supervised_stock(settings));
}

/* What may stand between kpropd and its peers or files; null where it is not there. */
static json_t *
facts_security(struct systemd *sd)
{
    json_t *selinux = json_null(), *firewalld = json_null();
    struct unit_state state;
    struct error ignored;
    char enforce[8];

    if (proc_read("/sys/fs/selinux/enforce", enforce, sizeof(enforce)) > 0)
        selinux = json_string(enforce[0] == '1' ? "enforcing" : "permissive");
    if (sd != NULL && systemd_state(sd, "firewalld.service", &state, &ignored) && state.exists)
        firewalld = json_boolean(strcmp(state.active, "active") == 0);
    return json_pack("{s:o, s:o}", "selinux", selinux, "firewalld", firewalld);
}

/* What of us the primary wants to know: can we do what it asks (TABLE), and is there room for it?
 * Who is not the daemon cannot tell that. */
static json_t *
facts_agent(const struct daemon_load *load, const struct verb *table)
{
    json_t *verbs = json_array(), *capabilities = json_array(), *limits = json_null();
    struct rlimit files;

    for (const struct verb *verb = table; verb != NULL && verb->name != NULL; verb++) {
        if (!verb->console_only)
            json_array_append_new(verbs, json_string(verb->name));
    }
    for (const struct capability *one = capabilities_table(); one->name != NULL; one++)
        json_array_append_new(capabilities, json_string(one->name));
    if (load != NULL && getrlimit(RLIMIT_NOFILE, &files) == 0)
        limits = json_pack(
            "{s:I, s:i, s:I, s:o}", "descriptors",
            files.rlim_cur > INT32_MAX ? (json_int_t)INT32_MAX : (json_int_t)files.rlim_cur,
            "descriptors_needed", (int)load->descriptors_needed, "turned_away",
            (json_int_t)load->turned_away, "turned_away_at",
            load->turned_away_at > 0 ? json_real(load->turned_away_at) : json_null());
    return json_pack("{s:s, s:o, s:o, s:o}", "version", KPC_VERSION, "verbs", verbs, "capabilities",
                     capabilities, "limits", limits);
}

static json_t *
facts_services(const struct kpropd_place *place)
{
    return json_pack("{s:s, s:o}", "name", "krb5_prop", "port",
                     place->port == 0 ? json_null() : json_integer(place->port));
}

static json_t *
collect(const struct verb_call *call, krb5_context context, const struct realm *realm,
        struct systemd *sd)
{
    const char *state = call->settings->state;
    json_t *facts = json_object(), *last, *good;
    struct kpropd_place place;
    struct processes all;
    struct error ignored;

    processes_init(&all);

    if (!kpropd_place(call->settings, realm->name, &place, &ignored))
        memset(&place, 0, sizeof(place));
    last = outcome_read(state, realm->name, &ignored);
    good = announcement_last_good(state, realm->name, false);
    json_object_set_new(facts, "agent", facts_agent(call->settings->load, call->table));
    json_object_set_new(facts, "host", facts_host(context));
    json_object_set_new(facts, "realm", facts_realm(realm));
    json_object_set_new(facts, "krb5", facts_krb5());
    json_object_set_new(facts, "services", facts_services(&place));
    json_object_set_new(facts, "keytab", facts_keytab(context, realm->keytab));
    json_object_set_new(facts, "acl", facts_acl(realm->kpropd_acl));
    json_object_set_new(facts, "kadmind", facts_service(sd, &all, SERVICE_KADMIND, NULL, 0));
    json_object_set_new(facts, "kpropd",
                        facts_service(sd, &all, SERVICE_KPROPD, kpropd_unit(&place), place.port));
    json_object_set_new(json_object_get(facts, "kpropd"), "supervised",
                        kpropd_watched_facts(call->settings, realm->name));
    json_object_set_new(facts, "kdc", facts_service(sd, &all, SERVICE_KDC, NULL, realm->kdc_port));
    json_object_set_new(facts, "stash", facts_stash(realm->stash));
    json_object_set_new(facts, "space",
                        json_pack("{s:o, s:o}", "database", space_of(realm->database), "spool",
                                  space_of(realm->spool)));
    json_object_set_new(facts, "security", facts_security(sd));
    add_load(facts, realm, &all);
    json_object_set_new(facts, "database", facts_database(realm, last));
    json_object_set_new(facts, "last", last == NULL ? json_null() : last);
    json_object_set_new(facts, "last_good", good == NULL ? json_null() : good);
    json_object_set_new(facts, "unannounced", facts_unannounced(call->settings, realm));
    json_object_set_new(facts, "announced", facts_announced(call->settings, realm));
    json_object_set_new(facts, "generation",
                        json_integer((json_int_t)announcement_greatest(state, realm->name)));
    /* Last, so that it is the nearest to the moment of the answer: clocks are compared by it. */
    json_object_set_new(facts, "time", json_real(clock_wall()));
    processes_free(&all);
    return facts;
}

bool
facts_verb(const struct verb_call *call, json_t **reply, struct error *err)
{
    krb5_context context = NULL;
    struct systemd *sd = NULL;
    struct realm *realm = NULL;
    enum stash_settled settled;
    struct error ignored;
    bool ok = false;

    if (!realm_load(call->argc > 0 ? call->argv[0] : NULL, &realm, err))
        return false;
    if (krb5_init_context(&context) != 0) {
        error_set(err, ERROR_INTERNAL, "cannot read the Kerberos configuration");
        goto cleanup;
    }
    if (!systemd_open(&sd, &ignored))
        sd = NULL;
    stash_settle(call->settings->state, realm, &settled, &ignored);
    *reply = collect(call, context, realm, sd);
    ok = true;

cleanup:
    systemd_close(sd);
    krb5_free_context(context);
    realm_free(realm);
    return ok;
}
