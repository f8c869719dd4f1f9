/* surplus - see surplus.h. */
#include "kpropctl/checks/surplus.h"

#include "common/kdb/database.h"
#include "common/kdb/snapshot.h"
#include "kpropctl/checks/walk.h"

#include <stdio.h>
#include <string.h>

enum {
    INVENTORY_TIMEOUT = 1200, /* as the verb's own deadline: silence, for a large part */
    WALK_TIMEOUT_MS = 600 * 1000,
    PART_SHIFT = 25, /* a part for each 32 MiB of database: some 100,000 names */
    PARTS_MAX = 64
};

/* One part of the replica's names; those that the primary has are taken out while it is walked. */
struct part {
    json_t *principals; /* name -> time of its last change */
    json_t *policies;
    struct surplus *surplus;
};

static void
add_name(struct surplus_kind *kind, const char *name)
{
    size_t len = strlen(kind->names);

    if (kind->count < SURPLUS_TOLD && len + strlen(name) + 3 < sizeof(kind->names))
        snprintf(kind->names + len, sizeof(kind->names) - len, "%s%s", len > 0 ? ", " : "", name);
    kind->count++;
}

/* An entry of the primary: what is left at the end is the replica's alone. */
static bool
compare_entry(void *arg, enum database_kind kind, const char *name, time_t modified)
{
    struct part *part = arg;

    if (kind == DATABASE_POLICY) {
        json_object_del(part->policies, name);
        return true;
    }
    if (json_integer_value(json_object_get(part->principals, name)) > (json_int_t)modified)
        add_name(&part->surplus->later, name);
    json_object_del(part->principals, name);
    return true;
}

static bool
fetch_part(struct walk *walk, struct part *part, unsigned which, unsigned parts, struct error *err)
{
    char words[32];
    const char *argv[] = { "inventory", walk->realm->name, parts > 1 ? words : NULL, NULL };
    json_t *reply = NULL;
    bool ok;

    snprintf(words, sizeof(words), "%u/%u", which, parts);
    ok = walk_call(walk, argv, INVENTORY_TIMEOUT, &reply, err);
    if (ok) {
        part->principals = json_incref(json_object_get(reply, "principals"));
        part->policies = json_incref(json_object_get(reply, "policies"));
        ok = json_is_object(part->principals) && json_is_object(part->policies);
        if (!ok)
            error_set(err, ERROR_UNREACHABLE, "cannot read the inventory of %s",
                      walk->replica.host);
    }
    json_decref(reply);
    return ok;
}

static void
add_rest(const json_t *object, struct surplus_kind *kind)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, name, value) add_name(kind, name);
}

static bool
compare_part(struct walk *walk, const struct database *db, unsigned which, unsigned parts,
             struct surplus *surplus, struct error *err)
{
    struct part part = { NULL, NULL, surplus };
    bool ok = fetch_part(walk, &part, which, parts, err);

    if (ok && !database_inventory(db, WALK_TIMEOUT_MS, compare_entry, &part, err)) {
        /* It is this host's database that cannot be read: nothing is known of the replica's. */
        err->code = ERROR_INTERNAL;
        ok = false;
    }
    if (ok) {
        add_rest(part.principals, &surplus->principals);
        add_rest(part.policies, &surplus->policies);
    }
    json_decref(part.principals);
    json_decref(part.policies);
    return ok;
}

/* By the size that the replica tells, which may be anything. */
static unsigned
count_parts(const struct walk *walk)
{
    json_int_t bytes = fact_integer(walk->facts, "database", "bytes");
    uint64_t parts = bytes > 0 ? 1 + ((uint64_t)bytes >> PART_SHIFT) : 1;

    return parts > PARTS_MAX ? PARTS_MAX : (unsigned)parts;
}

bool
surplus_find(struct walk *walk, struct surplus *surplus, struct error *err)
{
    const struct realm *realm = walk->realm;
    const struct backend *backend = backend_find(realm->backend);
    struct database db = { backend, realm->name, NULL, realm->stash, realm->master_key };
    unsigned parts = count_parts(walk);
    struct snapshot *snapshot = NULL;
    bool ok = true;

    memset(surplus, 0, sizeof(*surplus));
    if (!snapshot_new(backend, realm->database, NULL, &snapshot, NULL, err)) {
        err->code = ERROR_INTERNAL;
        return false;
    }
    db.path = snapshot_path(snapshot);
    for (unsigned i = 0; ok && i < parts; i++)
        ok = compare_part(walk, &db, i, parts, surplus, err);
    snapshot_free(snapshot);
    return ok;
}

bool
surplus_any(const struct surplus *surplus)
{
    return surplus->principals.count + surplus->policies.count + surplus->later.count > 0;
}

/* The first MOST of NAMES, and whether there are more. */
static unsigned
tell_names(const struct surplus_kind *kind, unsigned most, char *text, size_t size)
{
    const char *p = kind->names;
    unsigned told = 0;
    size_t used = strlen(text);

    while (told < most && *p != '\0') {
        const char *end = strstr(p, ", ");
        size_t len = end != NULL ? (size_t)(end - p) : strlen(p);

        if (used + len + 8 >= size)
            break;
        used +=
            (size_t)snprintf(text + used, size - used, "%s%.*s", told > 0 ? ", " : "", (int)len, p);
        p += end != NULL ? len + 2 : len;
        told++;
    }
    if (told < kind->count)
        snprintf(text + used, size - used, "%s...", told > 0 ? ", " : "");
    return told;
}

char *
surplus_text(const struct surplus *surplus, char *text, size_t size)
{
    const struct {
        const struct surplus_kind *kind;
        const char *one, *more, *what;
    } rows[] = {
        { &surplus->principals, "principal", "principals", "that the primary does not have" },
        { &surplus->policies, "policy", "policies", "that the primary does not have" },
        { &surplus->later, "principal", "principals", "changed later than the primary's" },
    };
    unsigned kinds = 0, left = SURPLUS_TOLD;

    for (size_t i = 0; i < 3; i++)
        kinds += rows[i].kind->count > 0;
    text[0] = '\0';
    for (size_t i = 0; i < 3; i++) {
        const struct surplus_kind *kind = rows[i].kind;
        size_t used = strlen(text);

        if (kind->count == 0)
            continue;
        snprintf(text + used, size - used, "%s%u %s %s: ", used > 0 ? "; " : "", kind->count,
                 kind->count == 1 ? rows[i].one : rows[i].more, rows[i].what);
        /* The later kinds have their share. */
        left -= tell_names(kind, left - (kinds - 1), text, size);
        kinds--;
    }
    return text;
}
