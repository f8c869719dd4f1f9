/*
 * loader_admit - may a dump be loaded that nobody announced?
 *
 * Whoever is in kpropd.acl can send one, so where a verified load is known the live database is
 * not given away for it: only for kadmind's own full resync on a host that runs incrementally, by
 * root's word at the console, or where the configuration says so.
 */
#include "agent/load/acceptance.h"
#include "agent/load/loader_job.h"

#include "common/contract/refusals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The header of `kdb5_util dump -i1`, as kadmind makes it. */
static bool
is_resync_dump(const struct loader_job *job)
{
    char header[LOADER_HEADER_MAX];
    struct error ignored;

    return loader_header(job, header, sizeof(header), &ignored) &&
           strncmp(header, "ipropx ", 7) == 0;
}

/* A plain dump makes the update log of such a host begin anew, and kadmind send all again. */
static bool
is_plain_on_incremental(const struct loader_job *job)
{
    return (job->request->incremental || job->request->realm->iprop) && !is_resync_dump(job);
}

bool
loader_is_resync(const struct loader_job *job)
{
    return job->request->incremental && job->request->realm->iprop && is_resync_dump(job);
}

/* A file that is there but cannot be read is of a load that was verified. */
static bool
knows_verified(const struct loader_job *job, struct announcement *last)
{
    const struct loader_request *request = job->request;
    char name[PATH_MAX];
    struct error ignored;
    json_t *object = announcement_last_good(request->state, request->realm->name, false);

    memset(last, 0, sizeof(*last));
    if (object != NULL)
        announcement_of_last_good(object, last, &ignored);
    json_decref(object);
    return outcome_file_name(request->state, request->realm->name, "last_good", name, sizeof(name),
                             &ignored) &&
           (access(name, F_OK) == 0 || errno != ENOENT);
}

/* Root has said so, for this dump. */
static bool
is_accepted(struct loader_job *job)
{
    const struct loader_request *request = job->request;
    struct acceptance a;
    struct error ignored;

    acceptance_read(request->state, request->realm->name, &a);
    if (!a.given || is_plain_on_incremental(job))
        return false;
    return !a.named || ((job->outcome->has_sha256 || loader_hash(job, &ignored)) &&
                        memcmp(a.sha256, job->outcome->sha256, sizeof(a.sha256)) == 0);
}

bool
loader_admits_other(struct loader_job *job)
{
    return loader_is_resync(job) || is_accepted(job);
}

static bool
refuse_unannounced(struct loader_job *job, const struct announcement *last, struct error *err)
{
    const struct loader_request *request = job->request;
    enum refusal_id id =
        is_plain_on_incremental(job) ? REFUSAL_UNANNOUNCED_PLAIN : REFUSAL_UNANNOUNCED;
    char host[256] = "";
    struct refusal_names names = { .realm = request->realm->name };

    if (gethostname(host, sizeof(host) - 1) == 0 && host[0] != '\0')
        names.replica = host;
    snprintf(job->outcome->refusal, sizeof(job->outcome->refusal), "%s", refusal_row(id)->id);
    if (id == REFUSAL_UNANNOUNCED_PLAIN)
        return refusal_set(err, id, &names,
                           "cannot load dump %s: nobody announced it, and it is a plain one, while "
                           "this host is kept up to date incrementally",
                           request->file);
    return refusal_set(err, id, &names,
                       "cannot load dump %s: nobody announced it, and this host has verified "
                       "generation %llu of %s",
                       request->file, (unsigned long long)last->generation,
                       last->from[0] != '\0' ? last->from : "an unknown primary");
}

bool
loader_admit(struct loader_job *job, enum loader_admission *how, struct error *err)
{
    struct announcement last;

    *how = ADMITTED_RESYNC;
    if (loader_is_resync(job))
        return true;
    *how = ADMITTED_BY_ROOT;
    if (is_accepted(job))
        return true;
    *how = ADMITTED_NOTHING_KNOWN;
    if (!knows_verified(job, &last))
        return true;
    *how = ADMITTED_BY_SETTING;
    if (job->request->unannounced == UNANNOUNCED_ACCEPT && !is_plain_on_incremental(job))
        return true;
    return refuse_unannounced(job, &last, err);
}

bool
loader_use_admission(struct loader_job *job, enum loader_admission how, struct error *err)
{
    switch (how) {
    case ADMITTED_RESYNC:
        loader_note(job, "a full resync by kadmind, which nobody announces");
        break;
    case ADMITTED_BY_ROOT:
        loader_note(job, "nobody announced it; taken because of accept-next");
        return acceptance_take(job->request->state, job->request->realm->name, err);
    case ADMITTED_BY_SETTING:
        loader_note(job, "nobody announced it; taken because of unannounced = accept");
        break;
    case ADMITTED_NOTHING_KNOWN:
        break;
    }
    return true;
}
