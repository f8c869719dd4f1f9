/* cmd_enroll - kpropctl enroll HOST: all that a bare host needs, as one bundle on standard output.
 */
#include "kpropctl/commands/commands.h"
#include "kpropctl/enroll/enrollment.h"
#include "kpropctl/krb5/primary.h"
#include "kpropctl/krb5/recorded.h"
#include "kpropctl/run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPTION_STASH = 256, OPTION_REKEY };

static const struct option options[] = {
    { "with-stash", no_argument, NULL, OPTION_STASH },
    { "rekey", no_argument, NULL, OPTION_REKEY },
    { NULL, 0, NULL, 0 },
};

struct request {
    char *host;
    bool with_stash;
    bool rekey;
};

static bool
parse(int argc, char **argv, struct request *request, struct error *err)
{
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_STASH)
            request->with_stash = true;
        else if (option == OPTION_REKEY)
            request->rekey = true;
        else
            return error_set(err, ERROR_USAGE, "'kpropctl enroll --help' says how to call it");
    }
    if (argc - optind != 1) {
        error_set(err, ERROR_USAGE, "enroll: %s",
                  argc == optind ? "which host?" : "one host at a time: a bundle is for one");
        return error_hint(err, "usage: kpropctl enroll [--with-stash] [--rekey] HOST");
    }
    request->host = argv[optind];
    return run_check_hosts(&request->host, 1, err);
}

/* Keys are for a pipe; a file that they are sent to becomes root's alone. Looked at before any key
 * is changed. */
static bool
check_output(const char *host, struct error *err)
{
    struct stat st;

    if (isatty(STDOUT_FILENO)) {
        error_set(err, ERROR_REFUSED,
                  "cannot write the bundle: standard output is a terminal, and "
                  "there are keys in it");
        return error_hint(err,
                          "send it to the host: kpropctl enroll %s | ssh root@%s "
                          "kpropctl-agent enroll",
                          host, host);
    }
    /* A descriptor that was closed was filled with one that cannot be written. */
    if (fstat(STDOUT_FILENO, &st) != 0 || (fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return error_errno(err, ERROR_FAILED, EBADF, "cannot write the bundle");
    if (S_ISREG(st.st_mode) && st.st_uid != geteuid()) {
        error_set(err, ERROR_REFUSED,
                  "cannot write the bundle: the file that it goes to belongs to somebody else");
        return error_hint(err, "name a new file in a folder of root's, or send it to the host");
    }
    if (S_ISREG(st.st_mode) && (st.st_mode & 077) != 0 && fchmod(STDOUT_FILENO, 0600) != 0)
        return error_errno(err, ERROR_REFUSED, errno,
                           "cannot keep others from reading the file that the bundle goes to");
    return true;
}

/* The replica has a principal then, with new keys if that was asked for. */
static bool
prepare_principal(struct principals *principals, const char *name, bool rekey, struct error *err)
{
    int kvno;

    if (!principals_kvno(principals, name, &kvno, err))
        return false;
    if (kvno == 0) {
        if (!principals_create(principals, name, err))
            return false;
        fprintf(stderr, "kpropctl: created %s\n", name);
    } else if (rekey) {
        if (!principals_rekey(principals, name, err))
            return false;
        fprintf(stderr,
                "kpropctl: changed the keys of %s: only this bundle has them, any other keytab is "
                "stale\n",
                name);
    }
    return true;
}

static bool
write_all(const struct buffer *bytes, struct error *err)
{
    for (size_t done = 0; done < bytes->len;) {
        ssize_t n = write(STDOUT_FILENO, bytes->data + done, bytes->len - done);

        if (n < 0 && errno != EINTR) {
            error_errno(err, ERROR_FAILED, errno, "cannot write the bundle");
            if (errno == EPIPE)
                error_hint(err, "what reads it has ended: its own words above say why");
            return false;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool
write_bundle(const struct enrollment *enrollment, struct error *err)
{
    struct bundle bundle;
    struct buffer bytes;
    bool ok;

    bundle_init(&bundle);
    buffer_init(&bytes, BUNDLE_MAX);
    ok = enrollment_bundle(enrollment, &bundle, err) && bundle_write(&bundle, &bytes, err) &&
         write_all(&bytes, err);
    buffer_free_secret(&bytes);
    bundle_free(&bundle);
    return ok;
}

int
cmd_enroll(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct names primary, replica;
    struct request request = { NULL, false, false };
    struct enrollment enrollment = {
        .realm = context->realm,
        .primary = &primary,
        .replica = &replica,
    };
    bool ok;

    ok = parse(argc, argv, &request, err) && check_output(request.host, err) &&
         primary_is_here(context->realm, err) &&
         names_look_up(NULL, context->realm->name, &primary, err) &&
         recorded_look_up(context->configuration->state_dir, context->realm->name, request.host,
                          &replica, err) &&
         names_suit_replica(&replica, request.host, err);
    if (!ok)
        return err->code;
    enrollment.with_stash = request.with_stash;
    enrollment.principals = principals_open(context->realm, err);
    ok = enrollment.principals != NULL &&
         prepare_principal(enrollment.principals, replica.principal, request.rekey, err) &&
         write_bundle(&enrollment, err);
    principals_close(enrollment.principals);
    return ok ? ERROR_NONE : err->code;
}
