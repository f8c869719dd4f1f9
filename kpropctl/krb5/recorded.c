/* recorded - see recorded.h. */
#include "kpropctl/krb5/recorded.h"

#include "kpropctl/state/roster.h"
#include "kpropctl/state/state.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* The replicas in the state database, or, where that is lost, those of the run before. */
static json_t *
read_replicas(const char *state_dir, const char *realm)
{
    struct error ignored;
    struct state *state = state_open(state_dir, NULL, true, &ignored);
    json_t *replicas = state == NULL ? NULL : state_replicas(state, realm, &ignored);

    state_close(state);
    if (json_array_size(replicas) > 0)
        return replicas;
    json_decref(replicas);
    return roster_recall(state_dir, realm);
}

/* HOST is ASKED (WHOLE), or begins with it and a dot; a dot at the end of ASKED is none. */
static bool
means(const char *asked, const char *host, bool whole)
{
    size_t len = strlen(asked);

    if (len > 0 && asked[len - 1] == '.')
        len--;
    return strncasecmp(asked, host, len) == 0 && host[len] == (whole ? '\0' : '.');
}

bool
recorded_find(const char *state_dir, const char *realm, const char *asked, char *name, size_t size,
              bool *whole)
{
    json_t *replicas = read_replicas(state_dir, realm), *replica;
    unsigned exact = 0, begun = 0;
    size_t index;

    json_array_foreach(replicas, index, replica)
    {
        const char *host = json_string_value(json_object_get(replica, "host"));

        if (host != NULL && means(asked, host, true))
            exact++;
        else if (host == NULL || exact > 0 || !means(asked, host, false))
            continue;
        else
            begun++;
        snprintf(name, size, "%s", host);
    }
    json_decref(replicas);
    *whole = exact > 0;
    return exact > 0 || begun == 1;
}

bool
recorded_at(const char *state_dir, const char *realm, const char *address, const char * not,
            char *name, size_t size)
{
    json_t *replicas = read_replicas(state_dir, realm), *replica;
    bool found = false;
    size_t index;

    json_array_foreach(replicas, index, replica)
    {
        const char *host = json_string_value(json_object_get(replica, "host"));

        if (found || host == NULL || strcasecmp(host, not ) == 0 || !names_lead_to(host, address))
            continue;
        snprintf(name, size, "%s", host);
        found = true;
    }
    json_decref(replicas);
    return found;
}

/* By NAME, a recorded one; where that is refused, it is what concerns. */
static bool
look_up_by(const char *name, const char *realm, struct names *names, struct error *err)
{
    if (names_look_up_recorded(name, realm, names, err))
        return true;
    memset(names, 0, sizeof(*names));
    snprintf(names->host, sizeof(names->host), "%s", name);
    return false;
}

/* ASKED could be MEANT, a recorded one, but leads to what is in NAMES. */
static bool
tell_apart(const char *asked, const char *meant, const char *realm, struct names *names,
           struct error *err)
{
    char found[sizeof(names->host)];

    snprintf(found, sizeof(found), "%s", names->host);
    if (!look_up_by(meant, realm, names, err))
        return false;
    memset(names, 0, sizeof(*names));
    error_set(err, ERROR_REFUSED,
              "cannot tell which host %s is: %s is recorded, and the name leads to %s", asked,
              meant, found);
    return error_hint(err, "name it in full");
}

bool
recorded_look_up(const char *state_dir, const char *realm, const char *asked, struct names *names,
                 struct error *err)
{
    char meant[sizeof(names->host)], found[sizeof(names->host)];
    bool whole, known = recorded_find(state_dir, realm, asked, meant, sizeof(meant), &whole);

    if (known && (whole || names_mean(asked, meant, realm)))
        return look_up_by(meant, realm, names, err);
    if (!names_look_up(asked, realm, names, err))
        return false;
    if (known)
        return tell_apart(asked, meant, realm, names, err);
    if (recorded_find(state_dir, realm, names->host, found, sizeof(found), &whole) && whole)
        return look_up_by(found, realm, names, err);
    return true;
}
