/* delivery_package - delivery.h: the agent's package, brought to a host and installed there. */
#include "kpropctl/enroll/delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOOK_SECONDS = 60, /* a person may be asked for a password */
    UPLOAD_SECONDS = 300,
    INSTALL_SECONDS = 1200, /* packages that it needs may be fetched, another installation waited
                               for */
    CLEAN_SECONDS = 4,      /* less than a run that is interrupted waits for us */
};

/* A kind of package: how it begins, who installs it, and who tells what it is. */
static const struct kind {
    const char *suffix;
    const char *magic;
    /* What a replica is made of, where `there` fails: our own package brings none of it, for it
     * starts daemons; here a replica is asked for. */
    const char *const there[6];
    const char *const prepare[10];
    const char *const install[10]; /* the file's name comes behind */
    const char *const query[6];    /* likewise: prints NAME VERSION */
} kinds[] = {
    { ".deb",
      "!<arch>\n",
      /* A primary's kadmind would be stopped. */
      { "test", "-x", "/usr/sbin/kpropd", "-o", "-x", "/usr/sbin/kadmind" },
      { "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "-o",
        "DPkg::Lock::Timeout=120", "--no-upgrade", "install", "krb5-kdc", "krb5-kpropd" },
      { "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "-o",
        "DPkg::Lock::Timeout=120", "-o", "Dpkg::Options::=--force-confold", "install", NULL },
      { "/usr/bin/dpkg-deb", "--show", "--showformat=${Package} ${Version}", NULL } },
    { ".rpm",
      "\xed\xab\xee\xdb",
      { NULL },
      { NULL },
      { "dnf", "--assumeyes", "install", NULL },
      { "/usr/bin/rpm", "--query", "--package", "--queryformat=%{NAME} %{VERSION}", NULL } },
};

static const struct kind *
kind_of(const char *file)
{
    size_t len = strlen(file);

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        size_t suffix = strlen(kinds[i].suffix);

        if (len > suffix && strcmp(file + len - suffix, kinds[i].suffix) == 0)
            return &kinds[i];
    }
    return NULL;
}

/* NAME and VERSION ("" where nobody can tell) of a package. */
static void
ask_package(const struct kind *kind, const char *file, char *name, char *version, size_t size)
{
    struct subprocess_result result;
    const char *argv[8] = { NULL };
    const char *space = NULL;
    char line[256];
    struct error ignored;
    size_t n = 0;

    for (; kind->query[n] != NULL; n++)
        argv[n] = kind->query[n];
    argv[n] = file;
    name[0] = version[0] = '\0';
    if (subprocess_run(argv, NULL, LOOK_SECONDS * 1000, &result, &ignored) &&
        subprocess_succeeded(&result))
        space = strchr(subprocess_last_line(&result, line, sizeof(line)), ' ');
    if (space != NULL) {
        snprintf(name, size, "%.*s", (int)(space - line), line);
        snprintf(version, size, "%s", space + 1);
    }
    subprocess_result_free(&result);
}

bool
delivery_check_package(const char *file, struct error *err)
{
    const struct kind *kind = kind_of(file);
    char begin[8] = "", name[128], version[128];
    struct stat st;
    int fd;

    if (kind == NULL || file[0] == '-') {
        error_set(err, ERROR_USAGE, "--agent-package: %s is no .deb and no .rpm", file);
        return error_hint(err, "name the package of kpropctl-agent that suits the host");
    }
    fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, ERROR_USAGE, errno, "--agent-package: cannot read %s", file);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || read(fd, begin, sizeof(begin)) < 8 ||
        memcmp(begin, kind->magic, strlen(kind->magic)) != 0) {
        close(fd);
        return error_set(err, ERROR_USAGE,
                         "--agent-package: %s is no %s package, whatever its name", file,
                         kind->suffix);
    }
    close(fd);
    ask_package(kind, file, name, version, sizeof(name));
    if (name[0] == '\0' || strcmp(name, "kpropctl-agent") == 0)
        return true;
    return error_set(err, ERROR_USAGE,
                     "--agent-package: %s is the package of %s, not of "
                     "kpropctl-agent",
                     file, name);
}

/* What the program on the host said last, for an error about STEP. */
static bool
step_failed(const char *host, const char *step, const struct subprocess_result *result,
            struct error *err)
{
    char line[400], how[80];

    via_last_words(result, line, sizeof(line));
    return error_set(err, ERROR_FAILED, "cannot %s on %s: %s%s%s", step, host,
                     line[0] != '\0' ? line : "", line[0] != '\0' ? ": " : "",
                     subprocess_describe(result, how, sizeof(how)));
}

/* Without epoch, revision and what a distribution appends: VERSION as the program itself tells it.
 */
static void
upstream(char *version)
{
    char *colon = strchr(version, ':');

    if (colon != NULL)
        memmove(version, colon + 1, strlen(colon));
    version[strcspn(version, "-+~")] = '\0';
}

bool
delivery_is_newer(const struct delivery *d, const char *version)
{
    char name[128], wanted[128];

    ask_package(kind_of(d->package), d->package, name, wanted, sizeof(wanted));
    upstream(wanted);
    return wanted[0] != '\0' && strverscmp(version, wanted) < 0;
}

/* Is the agent there, in the package's version or a newer one? False with ERR only if HOST cannot
 * be reached. */
static bool
look(const struct delivery *d, const char *host, const struct kind *kind, bool *there,
     struct error *err)
{
    static const char *const command[] = { "kpropctl-agent", "--version", NULL };
    struct via_job job = { .command = command, .timeout = LOOK_SECONDS };
    struct subprocess_result result;
    char name[128], wanted[128], has[128];
    bool ok = via_run(d->via, host, &job, &result, err);

    *there = false;
    if (ok && result.status == 0 &&
        sscanf(buffer_string(&result.out), "kpropctl-agent %127s", has) == 1) {
        ask_package(kind, d->package, name, wanted, sizeof(wanted));
        upstream(wanted);
        *there = wanted[0] != '\0' && strverscmp(has, wanted) >= 0;
    }
    subprocess_result_free(&result);
    return ok;
}

/* The same file has the same name there, so that what a power cut has left is overwritten by the
 * next try, and removed after it. */
static bool
remote_name(int fd, const struct kind *kind, char *name, size_t size, struct error *err)
{
    unsigned char chunk[65536], digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned int len = 0;
    char hex[17];
    ssize_t n = 0;
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

    while (ok && (n = read(fd, chunk, sizeof(chunk))) > 0)
        ok = EVP_DigestUpdate(ctx, chunk, (size_t)n) == 1;
    ok = ok && n == 0 && lseek(fd, 0, SEEK_SET) == 0 && EVP_DigestFinal_ex(ctx, digest, &len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return error_set(err, ERROR_FAILED, "cannot read the agent's package");
    hex_encode(digest, 8, hex);
    snprintf(name, size, "/root/.kpropctl-agent-%s%s", hex, kind->suffix);
    return true;
}

/* Run COMMAND with one word more, and with FD (0: nothing) as its input. */
static bool
run_step(const struct delivery *d, const char *host, const char *const *command, const char *word,
         int fd, int timeout, const char *step, struct error *err)
{
    const char *words[16] = { NULL };
    struct via_job job = { .command = words, .in = fd, .timeout = timeout };
    struct subprocess_result result;
    size_t n = 0;
    bool ok;

    for (; command[n] != NULL; n++)
        words[n] = command[n];
    words[n] = word; /* or none */
    ok = via_run(d->via, host, &job, &result, err);
    if (ok && result.status != 0)
        ok = step_failed(host, step, &result, err);
    subprocess_result_free(&result);
    return ok;
}

static void
remove_file(const struct delivery *d, const char *host, const char *name)
{
    const char *command[] = { "rm", "-f", name, NULL };
    struct via_job job = { .command = command, .timeout = CLEAN_SECONDS, .last = true };
    struct subprocess_result result;
    struct error ignored;

    via_run(d->via, host, &job, &result, &ignored);
    subprocess_result_free(&result);
}

/* What a replica is made of, where the host is none and no primary. */
static bool
prepare(const struct delivery *d, const char *host, const struct kind *kind, struct error *err)
{
    struct via_job job = { .command = kind->there, .timeout = LOOK_SECONDS };
    struct subprocess_result result;
    bool ok, lacking;

    if (kind->there[0] == NULL)
        return true;
    ok = via_run(d->via, host, &job, &result, err);
    lacking = ok && result.status == 1;
    subprocess_result_free(&result);
    return ok && (!lacking || run_step(d, host, kind->prepare, NULL, 0, INSTALL_SECONDS,
                                       "install krb5-kdc and krb5-kpropd", err));
}

static bool
bring_and_install(const struct delivery *d, const char *host, const struct kind *kind, int fd,
                  struct error *err)
{
    static const char *const write_file[] = { "dd", "status=none", NULL };
    char name[64], of[80];
    bool ok;

    if (!remote_name(fd, kind, name, sizeof(name), err))
        return false;
    snprintf(of, sizeof(of), "of=%s", name);
    ok = prepare(d, host, kind, err) &&
         run_step(d, host, write_file, of, fd, UPLOAD_SECONDS, "write the agent's package", err) &&
         run_step(d, host, kind->install, name, 0, INSTALL_SECONDS, "install the agent's package",
                  err);
    remove_file(d, host, name);
    return ok;
}

bool
delivery_install(const struct delivery *d, const char *host, bool *installed, struct error *err)
{
    const struct kind *kind = kind_of(d->package);
    bool there, ok;
    int fd;

    *installed = false;
    if (!look(d, host, kind, &there, err))
        return false;
    if (there)
        return true;
    fd = open(d->package, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ERROR_USAGE, errno, "cannot read %s", d->package);
    ok = bring_and_install(d, host, kind, fd, err);
    close(fd);
    *installed = ok;
    return ok;
}
