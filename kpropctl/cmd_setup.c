/* cmd_setup - kpropctl setup-slave HOST…: the walk over the table for each host, side by side. */
#include "common/files.h"
#include "kpropctl/commands.h"
#include "kpropctl/fleet.h"
#include "kpropctl/state.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_JSON = 256, OPTION_OVERWRITE };

static const struct option options[] = {
    { "dry-run", no_argument, NULL, 'n' },
    { "json", no_argument, NULL, OPTION_JSON },
    { "overwrite", no_argument, NULL, OPTION_OVERWRITE },
    { NULL, 0, NULL, 0 },
};

/* What every host's process needs, made before they start. */
struct setup {
    const struct command_context *context;
    struct spool *spool; /* NULL in a dry run */
    bool dry_run;
    bool overwrite;
};

/* Keep the first failure's text for the state database while telling all. */
struct tee {
    const struct walk_listener *next;
    char failure[512];
};

static void
tee_step(void *closure, const struct step *step)
{
    struct tee *tee = closure;

    if (step->level == LEVEL_FAILED || step->level == LEVEL_REFUSED)
        snprintf(tee->failure, sizeof(tee->failure), "%s: %s", step->id, step->summary);
    tee->next->step(tee->next->closure, step);
}

static void
tee_progress(void *closure, const char *id, uint64_t done, uint64_t total, double seconds)
{
    struct tee *tee = closure;

    tee->next->progress(tee->next->closure, id, done, total, seconds);
}

/* A run's outcome here. That it cannot be written never makes a good replica bad. */
static void
record_outcome(const struct walk *walk, bool verified, const char *failure)
{
    struct error err;
    struct state *state;
    struct state_outcome outcome = {
        .run = walk->dump.run,
        .generation = walk->generation,
        .realm = walk->realm->name,
        .host = walk->replica.host,
        .result = !verified    ? "failed"
                  : walk->sent ? "verified"
                               : "unchanged",
        .error = failure[0] != '\0' ? failure : NULL,
        .transfer_seconds = walk->transfer_seconds,
        .load_seconds = walk->load_seconds,
        .verify_seconds = walk->verify_seconds,
    };

    if (walk->dump.run == 0)
        return;
    state = state_open(walk->configuration->state_dir, false, &err);
    if (state != NULL)
        state_outcome_record(state, &outcome, &err);
    state_close(state);
}

static void
serve(void *closure, const char *host, const struct walk_listener *listener,
      struct host_result *result)
{
    const struct setup *setup = closure;
    struct tee tee = { .next = listener };
    struct walk_listener own = { tee_step, tee_progress, &tee };
    struct walk walk = {
        .configuration = setup->context->configuration,
        .realm = setup->context->realm,
        .host = host,
        .dry_run = setup->dry_run,
        .overwrite = setup->overwrite,
        .spool = setup->spool,
        .reason = "setup",
        .listener = &own,
    };

    result->status = checks_walk(&walk);
    result->dry_run = setup->dry_run;
    result->sent = walk.sent;
    result->verified = result->status == 0 && walk.content_verified && walk.ticket_verified;
    result->principals = walk.dump.principals;
    result->policies = walk.dump.policies;
    result->generation = walk.generation;
    if (!setup->dry_run)
        record_outcome(&walk, result->verified, tee.failure);
    walk_finish(&walk);
}

static bool
check_hosts(char **hosts, int count, struct error *err)
{
    if (count == 0) {
        error_set(err, ERROR_USAGE, "setup-slave: which host?");
        return error_hint(err, "usage: kpropctl setup-slave [--dry-run] HOST…");
    }
    for (int i = 0; i < count; i++) {
        if (!names_valid(hosts[i]))
            return error_set(err, ERROR_USAGE, "'%s' is no valid host name", hosts[i]);
        for (int j = 0; j < i; j++) {
            if (strcasecmp(hosts[i], hosts[j]) == 0)
                return error_set(err, ERROR_USAGE, "%s is named twice", hosts[i]);
        }
    }
    return true;
}

/* One run for a realm at a time: a second would dump and send the same again. */
static int
lock_realm(const struct command_context *context, struct error *err)
{
    const char *folder = context->configuration->runtime_dir;
    char path[PATH_MAX];
    int fd;

    if (!file_make_folder(folder, 0700, err))
        return -1;
    snprintf(path, sizeof(path), "%s/%s.lock", folder, context->realm->name);
    fd = file_lock(path, 600 * 1000, err);
    if (fd < 0 && err->code == ERROR_UNREACHABLE)
        error_hint(err,
                   "another kpropctl has been at work on %s for ten minutes: see 'pgrep -a "
                   "kpropctl'",
                   context->realm->name);
    return fd;
}

static int
run(struct setup *setup, const struct output_backend *backend, char **hosts, int count,
    struct error *err)
{
    struct output *output =
        output_new(backend, stdout, setup->context->realm->name, hosts, (size_t)count);
    int status;

    if (output == NULL) {
        error_memory(err);
        return ERROR_INTERNAL;
    }
    status = fleet_run(output, serve, setup, err);
    output_finish(output);
    return status;
}

int
cmd_setup(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct setup setup = { .context = context };
    const struct output_backend *backend = &output_text;
    unsigned debris = 0;
    int option, lock = -1, status = ERROR_INTERNAL;

    while ((option = getopt_long(argc, argv, "n", options, NULL)) != -1) {
        switch (option) {
        case 'n':
            setup.dry_run = true;
            break;
        case OPTION_JSON:
            backend = &output_json;
            break;
        case OPTION_OVERWRITE:
            setup.overwrite = true;
            break;
        default:
            return ERROR_USAGE;
        }
    }
    if (!check_hosts(argv + optind, argc - optind, err))
        return ERROR_USAGE;
    if (!setup.dry_run) {
        lock = lock_realm(context, err);
        if (lock >= 0)
            setup.spool = spool_open(context->configuration, context->realm, &debris, err);
        if (setup.spool == NULL)
            goto cleanup;
        if (debris > 0)
            fprintf(stderr, "kpropctl: removed what %u killed run%s had left\n", debris,
                    debris == 1 ? "" : "s");
    }
    status = run(&setup, backend, argv + optind, argc - optind, err);

cleanup:
    spool_close(setup.spool);
    if (lock >= 0)
        close(lock);
    return status;
}
