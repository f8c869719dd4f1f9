/* loader_main - kpropctl-loader, called by kpropd as it calls kdb5_util; see loader.h. */
#include "agent/base/settings.h"
#include "agent/load/loader.h"
#include "common/base/files.h"
#include "common/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct options {
    const char *realm;
    const char *database;
    const char *file;
    bool load;
    bool incremental;
};

static int
usage(void)
{
    fputs("Usage: kpropctl-loader [-r REALM] load [-d DATABASE] [-i] FILE\n"
          "Run by kpropd (option -p) in the place of kdb5_util.\n",
          stderr);
    return ERROR_USAGE;
}

/* As kdb5_util takes them: options stand anywhere. */
static bool
parse(int argc, char **argv, struct options *o)
{
    memset(o, 0, sizeof(*o));
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-r") == 0 && i + 1 < argc)
            o->realm = argv[++i];
        else if (strcmp(argv[i], "-d") == 0 && i + 1 < argc)
            o->database = argv[++i];
        else if (strcmp(argv[i], "-i") == 0)
            o->incremental = true;
        else if (argv[i][0] == '-')
            return false;
        else if (!o->load && strcmp(argv[i], "load") == 0)
            o->load = true;
        else if (o->load && o->file == NULL)
            o->file = argv[i];
        else
            return false;
    }
    return o->load && o->file != NULL;
}

static void
report(const struct options *o, const struct realm *realm, const struct outcome *outcome)
{
    const char *note = outcome->note[0] != '\0' ? "; " : "";

    if (!outcome->loaded) {
        log_error("realm %s: %s%s%s", realm->name, outcome->error, note, outcome->note);
        if (outcome->hint[0] != '\0')
            log_notice("realm %s: what to do: %s", realm->name, outcome->hint);
        fprintf(stderr, "kpropctl-loader: %s\n", outcome->error);
        return;
    }
    log_notice("realm %s: loaded %s, %llu principals, %llu policies, %s in %.2f s%s%s", realm->name,
               o->file, (unsigned long long)outcome->principals,
               (unsigned long long)outcome->policies,
               outcome->verified ? "verified" : "not announced",
               outcome->finished - outcome->started, note, outcome->note);
}

static bool
run(const struct options *o, const struct settings *settings, struct error *err)
{
    struct loader_request request = { .file = o->file,
                                      .incremental = o->incremental,
                                      .state = settings->state };
    struct outcome outcome;
    struct settings own;
    struct realm *realm;
    char program[256];
    bool ok = false;

    if (!realm_load(o->realm, &realm, err))
        return false;
    if (!settings_of_realm(settings, realm->name, &own, err)) {
        realm_free(realm);
        return false;
    }
    request.unannounced = own.unannounced;
    settings_free(&own);
    if (realm_find_program("kdb5_util", program, sizeof(program), err)) {
        request.realm = realm;
        request.database = o->database != NULL ? o->database : realm->database;
        request.kdb5_util = program;
        ok = loader_run(&request, &outcome);
        report(o, realm, &outcome);
    }
    realm_free(realm);
    return ok;
}

int
main(int argc, char **argv)
{
    struct settings settings;
    struct options options;
    struct error err;
    bool ok = false;

    if (!file_fill_standard())
        return 1;
    error_clear(&err);
    log_open("kpropctl-loader", false);
    umask(077);
    if (!parse(argc, argv, &options))
        return usage();
    if (settings_read(&settings, NULL, &err)) {
        ok = run(&options, &settings, &err);
        settings_free(&settings);
    }
    if (err.code != ERROR_NONE) {
        log_error("%s", err.text);
        fprintf(stderr, "kpropctl-loader: %s\n", err.text);
    }
    return ok ? 0 : 1;
}
