/* cmd_port - kpropctl port [HOST]: could kpropd bind its port, and who holds it? */
#include "common/port/ports.h"
#include "common/port/ports_json.h"
#include "kpropctl/commands/commands.h"
#include "kpropctl/krb5/names.h"
#include "kpropctl/krb5/recorded.h"
#include "kpropctl/krb5/tickets.h"
#include "kpropctl/output/port_text.h"
#include "kpropctl/remote/blame.h"
#include "kpropctl/remote/remote.h"

#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_WAY = 256, VERB_TIMEOUT = 60, NAMES_TIMEOUT = 30 };

struct request {
    const char *host; /* NULL: this one */
    const char *port; /* NULL: krb5_prop */
    const char *way;  /* NULL: auto */
    bool why;
    bool json;
};

static bool
read_options(int argc, char **argv, struct request *request, struct error *err)
{
    static const struct option options[] = {
        { "port", required_argument, NULL, 'p' },
        { "why", no_argument, NULL, 'w' },
        { "json", no_argument, NULL, 'j' },
        { "way", required_argument, NULL, OPTION_WAY },
        { NULL, 0, NULL, 0 },
    };
    enum ports_way way;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "p:wj", options, NULL)) != -1) {
        if (option == 'p')
            request->port = optarg;
        else if (option == 'w')
            request->why = true;
        else if (option == 'j')
            request->json = true;
        else if (option == OPTION_WAY && ports_way_from(optarg, &way))
            request->way = optarg;
        else if (option == OPTION_WAY)
            return error_set(err, ERROR_USAGE,
                             "cannot look by way '%.32s': it is not auto, "
                             "sock_diag, pidfd, proc or portreserve",
                             optarg);
        else
            return error_set(err, ERROR_USAGE, "cannot use option '%.64s'", argv[optind - 1]);
    }
    request->host = argv[optind];
    if (request->host != NULL && argv[optind + 1] != NULL)
        return error_set(err, ERROR_USAGE, "cannot ask about '%.64s' too: one host at a time",
                         argv[optind + 1]);
    if (request->host != NULL && !names_valid(request->host))
        return error_set(err, ERROR_USAGE, "cannot use host '%.64s': not a host name",
                         request->host);
    return true;
}

static json_t *
ask_here(const struct request *request, struct error *err)
{
    struct ports_options options = { 0 };
    struct port_report *report = NULL;
    struct port_spec spec;
    json_t *reply;

    if (request->way != NULL)
        ports_way_from(request->way, &options.way);
    if (!ports_resolve(request->port, &spec, err) || !ports_examine(&spec, &options, &report, err))
        return NULL;
    reply = ports_json(report);
    ports_report_free(report);
    if (reply == NULL)
        error_memory(err);
    return reply;
}

static void
too_late(int number)
{
    static const char text[] = "kpropctl: cannot ask the host: no answer in time\n";

    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(ERROR_UNREACHABLE);
}

/* As root with the key of this host, as setup-slave does; else with what the user has. */
static struct remote *
connect_to(struct command_context *context, const struct names *names, struct error *err)
{
    const struct configuration *conf = context->configuration;
    enum remote_fault fault = REMOTE_NO_TICKET;
    struct remote *remote = NULL;
    struct names own = { .host = "" };
    struct refusal_names who = { context->realm->name, names->host, NULL };
    struct error ignored;
    char cache[PATH_MAX];

    if (names_look_up(NULL, context->realm->name, &own, &ignored))
        who.primary = own.host;
    for (int fresh = 0; fresh < 2 && remote == NULL; fresh++) {
        if (fresh && (geteuid() != 0 || (fault != REMOTE_NO_TICKET && fault != REMOTE_KEYTAB)))
            break;
        snprintf(cache, sizeof(cache), "%s/%s.ccache", conf->runtime_dir, context->realm->name);
        if (geteuid() == 0 &&
            (!names_look_up(NULL, context->realm->name, &own, err) ||
             !tickets_obtain(own.principal,
                             conf->keytab != NULL ? conf->keytab : context->realm->keytab, cache,
                             fresh, err)))
            continue;
        remote = remote_open(&who, conf->agent_port, names->principal, conf->connect_timeout,
                             &fault, err);
    }
    if (remote == NULL)
        blame_address(conf, context->realm->name, names, fault, err);
    return remote;
}

static json_t *
ask_there(struct command_context *context, const struct request *request, struct error *err)
{
    const char *argv[5] = { "port" };
    enum remote_fault fault;
    struct remote *remote;
    struct names names;
    json_t *reply = NULL;
    size_t n = 1;

    signal(SIGALRM, too_late);
    alarm((unsigned)context->configuration->connect_timeout + VERB_TIMEOUT + NAMES_TIMEOUT);
    if (!realm_load(context->realm_name, &context->realm, err) ||
        !recorded_look_up(context->configuration->state_dir, context->realm->name, request->host,
                          &names, err))
        return NULL;
    if (names.local)
        return ask_here(request, err);
    remote = connect_to(context, &names, err);
    if (remote == NULL)
        return NULL;
    if (request->port != NULL)
        argv[n++] = request->port;
    if (request->way != NULL) {
        argv[n++] = "--way";
        argv[n++] = request->way;
    }
    error_clear(err);
    if (!remote_call(remote, argv, VERB_TIMEOUT, NULL, NULL, &reply, &fault, err)) {
        json_decref(reply);
        reply = NULL;
    }
    remote_close(remote);
    return reply;
}

static bool
print_report(const struct request *request, const json_t *report, struct error *err)
{
    struct buffer out;
    bool ok = true;

    if (request->json) {
        ok = json_dumpf(report, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    } else {
        buffer_init(&out, 256 * 1024);
        port_text(report, request->host, &out);
        if (request->why)
            port_text_why(report, &out);
        ok = fputs(buffer_string(&out), stdout) != EOF;
        buffer_free(&out);
    }
    if (!ok || fflush(stdout) != 0)
        return error_set(err, ERROR_INTERNAL, "cannot write to standard output");
    return true;
}

int
cmd_port(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct request request = { 0 };
    json_t *report;
    int status = ERROR_INTERNAL;

    if (!read_options(argc, argv, &request, err)) {
        error_hint(err, "'kpropctl port --help' says how to call it");
        return err->code;
    }
    report = request.host != NULL ? ask_there(context, &request, err) : ask_here(&request, err);
    if (report == NULL) {
        /* 1 would mean that the port is held. */
        if (err->code != ERROR_USAGE && err->code != ERROR_REFUSED &&
            err->code != ERROR_UNREACHABLE)
            err->code = ERROR_INTERNAL;
        return err->code;
    }
    if (print_report(&request, report, err) && json_is_true(json_object_get(report, "usable")))
        status = 0;
    else if (err->code == ERROR_NONE && json_is_false(json_object_get(report, "usable")))
        status = 1;
    json_decref(report);
    return status;
}
