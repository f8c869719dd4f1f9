/* setup_jobs - see setup_jobs.h. */
#include "kpropctl/schedule/setup_jobs.h"

#include "common/contract/refusals.h"
#include "common/host/systemd.h"
#include "kpropctl/krb5/names.h"
#include "kpropctl/schedule/schedule.h"
#include "kpropctl/state/state.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Its timers and the like first: they would start it again. */
static void
unit_command(const char *unit, char *text, size_t size)
{
    struct systemd *sd = NULL;
    struct error ignored;
    char **triggers = NULL;
    size_t used;

    snprintf(text, size, "systemctl disable --now");
    if (systemd_open(&sd, &ignored) && systemd_triggers(sd, unit, &triggers, &ignored)) {
        for (char **one = triggers; one != NULL && *one != NULL; one++) {
            used = strlen(text);
            snprintf(text + used, size - used, " %s", *one);
        }
    }
    systemd_free_list(triggers);
    systemd_close(sd);
    used = strlen(text);
    snprintf(text + used, size - used, " %s", unit);
}

char *
setup_jobs_command(const struct competitor *job, char *text, size_t size)
{
    static const char *const parts[] = { "/etc/cron.hourly/", "/etc/cron.daily/",
                                         "/etc/cron.weekly/", "/etc/cron.monthly/" };

    if (job->unit[0] != '\0') {
        unit_command(job->unit, text, size);
        return text;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (strncmp(job->file, parts[i], strlen(parts[i])) == 0) {
            snprintf(text, size, "chmod -x '%s'", job->file);
            return text;
        }
    }
    snprintf(text, size, "sed -i '%us/^/# /' '%s'", job->line, job->file);
    return text;
}

/* Was every one of HOSTS verified before? Then what is to fail fails already. */
static bool
all_managed(const struct command_context *context, char *const *hosts, size_t count)
{
    struct state_memory memory;
    struct names replica;
    struct error ignored;
    bool all = true;
    struct state *state = state_open(context->configuration->state_dir, NULL, true, &ignored);

    for (size_t i = 0; i < count && all; i++)
        all = state != NULL && names_look_up(hosts[i], context->realm->name, &replica, &ignored) &&
              state_memory(state, context->realm->name, replica.host, &memory, &ignored) &&
              memory.known && memory.content.generation != 0;
    state_close(state);
    return all;
}

/* Those that send; returns how many. */
static size_t
tell_jobs(const struct schedule *schedule)
{
    size_t count = 0;

    for (size_t i = 0; i < schedule->competitors.count; i++) {
        const struct competitor *job = &schedule->competitors.items[i];
        char command[1024];

        if (job->kind != JOB_KPROP)
            continue;
        if (count++ == 0)
            fputs("A replica that kpropctl manages refuses what nobody has announced to its agent. "
                  "Then these fail:\n",
                  stderr);
        fprintf(stderr, "  %s line %u: %s\n    turn it off: %s\n", job->file, job->line,
                job->command, setup_jobs_command(job, command, sizeof(command)));
    }
    return count;
}

static bool
ask(const struct refusal_names *names, size_t count, struct error *err)
{
    char answer[16] = "";

    if (!isatty(STDIN_FILENO))
        return refusal_set(err, REFUSAL_JOBS, names,
                           "cannot ask whether to go on, without a terminal: %zu job%s of this "
                           "host will fail from then on",
                           count, count == 1 ? "" : "s");
    fputs("Go on? [y/N] ", stderr);
    if (fgets(answer, sizeof(answer), stdin) != NULL &&
        (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0))
        return true;
    return error_set(err, ERROR_REFUSED, "nothing was done");
}

bool
setup_jobs_agree(const struct command_context *context, char *const *hosts, size_t count,
                 enum setup_answer answer, struct error *err)
{
    const struct refusal_names names = { context->realm->name, hosts[0], NULL };
    struct schedule schedule;
    struct error ignored;
    size_t jobs = 0;

    error_clear(&ignored);
    if (all_managed(context, hosts, count))
        return true;
    if (schedule_read(context->realm, &schedule, &ignored))
        jobs = tell_jobs(&schedule);
    schedule_free(&schedule);
    return jobs == 0 || answer != ANSWER_ASK || ask(&names, jobs, err);
}
