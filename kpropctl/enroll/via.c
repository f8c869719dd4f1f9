/* via - see via.h. */
#include "kpropctl/enroll/via.h"

#include "common/base/clock.h"
#include "common/host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENVIRONMENT_MAX = 16, COMMAND_MAX = 24, NAP_MS = 20, TEXT_MAX = 4096, NO_CONNECTION = 255 };

/* A report on every setting of a long krb5.conf. */
enum { OUTPUT_MAX = 1 << 20 };

struct via {
    char *words[VIA_WORDS_MAX + 1]; /* ended by NULL; %h not yet replaced */
    char *environment[ENVIRONMENT_MAX + 1];
};

/* What ssh and its like ask for: keys that an agent holds, a person who may be asked. */
static void
remember_environment(struct via *via)
{
    static const char *const names[] = { "HOME",       "USER",        "LOGNAME",
                                         "TERM",       "DISPLAY",     "SSH_AUTH_SOCK",
                                         "KRB5CCNAME", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE" };
    size_t n = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *value = getenv(names[i]);

        if (value != NULL && asprintf(&via->environment[n], "%s=%s", names[i], value) >= 0)
            n++;
    }
    via->environment[n] = NULL;
}

/* One word from *P on into WORD, *P behind it. False if a quote or a backslash is without its end.
 */
static bool
take_word(const char **p, struct buffer *word)
{
    char quote = '\0';

    for (; **p != '\0' && (quote != '\0' || strchr(" \t\n", **p) == NULL); (*p)++) {
        if (**p == '\\' && quote != '\'') {
            if (*++*p == '\0')
                return false;
            buffer_add_u8(word, (uint8_t) * *p);
        } else if (**p == quote) {
            quote = '\0';
        } else if (quote == '\0' && (**p == '\'' || **p == '"')) {
            quote = **p;
        } else {
            buffer_add_u8(word, (uint8_t) * *p);
        }
    }
    return quote == '\0';
}

static bool
check_percents(const char *word, struct error *err)
{
    for (const char *p = strchr(word, '%'); p != NULL; p = strchr(p + 2, '%')) {
        if (p[1] != 'h' && p[1] != '%') {
            error_set(err, ERROR_USAGE, "--via: '%%%.1s' in '%s' means nothing", p + 1, word);
            return error_hint(err, "%%h stands for the host, %%%% for a percent sign");
        }
    }
    return true;
}

static bool
split(const char *text, struct via *via, struct error *err)
{
    size_t count = 0;
    bool ok = true;

    for (const char *p = text; ok && *(p += strspn(p, " \t\n")) != '\0';) {
        struct buffer word;

        buffer_init(&word, TEXT_MAX);
        if (!take_word(&p, &word))
            ok = error_set(err, ERROR_USAGE,
                           "--via: a quote or a backslash without its end in '%s'", text);
        else if (word.failed || count == VIA_WORDS_MAX)
            ok = error_set(err, ERROR_USAGE, "--via: longer than it may be");
        else if ((via->words[count++] = strdup(buffer_string(&word))) == NULL)
            ok = error_memory(err);
        else
            ok = check_percents(via->words[count - 1], err);
        buffer_free(&word);
    }
    if (!ok || count > 0)
        return ok;
    error_set(err, ERROR_USAGE, "--via: which program?");
    return error_hint(err, "for example --via 'ssh root@%%h'");
}

static bool
is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The program's path, from the caller's own PATH where it is only a name. */
static bool
find_program(struct via *via, struct error *err)
{
    const char *name = via->words[0], *folders = getenv("PATH");
    char path[PATH_MAX];
    size_t len;

    if (strchr(name, '/') != NULL && is_program(name))
        return true;
    if (folders == NULL)
        folders = "/usr/sbin:/usr/bin:/sbin:/bin";
    for (; strchr(name, '/') == NULL; folders += len + 1) {
        len = strcspn(folders, ":");
        snprintf(path, sizeof(path), "%.*s/%s", (int)len, folders, name);
        if (path[0] == '/' && is_program(path)) {
            free(via->words[0]);
            via->words[0] = strdup(path);
            return via->words[0] != NULL || error_memory(err);
        }
        if (folders[len] == '\0')
            break;
    }
    error_set(err, ERROR_USAGE, "--via: there is no program '%s'", name);
    return error_hint(err, "name one that runs a command on the host, as ssh does; its options "
                           "follow in the same argument: --via 'ssh root@%%h'");
}

bool
via_new(const char *text, struct via **out, struct error *err)
{
    struct via *via = calloc(1, sizeof(*via));

    *out = NULL;
    if (via == NULL)
        return error_memory(err);
    if (!split(text, via, err) || !find_program(via, err)) {
        via_free(via);
        return false;
    }
    remember_environment(via);
    *out = via;
    return true;
}

void
via_free(struct via *via)
{
    if (via == NULL)
        return;
    for (size_t i = 0; i < VIA_WORDS_MAX; i++)
        free(via->words[i]);
    for (size_t i = 0; i < ENVIRONMENT_MAX; i++)
        free(via->environment[i]);
    free(via);
}

/* WORD with the HOST in it; freed by the caller. */
static char *
expand(const char *word, const char *host)
{
    struct buffer out;
    char *result;

    buffer_init(&out, 2 * TEXT_MAX);
    for (const char *p = word; *p != '\0'; p++) {
        if (*p != '%')
            buffer_add_u8(&out, (uint8_t)*p);
        else if (*++p == 'h')
            buffer_add_string(&out, host);
        else
            buffer_add_u8(&out, '%');
    }
    result = out.failed ? NULL : strdup(buffer_string(&out));
    buffer_free(&out);
    return result;
}

bool
via_names_host(const struct via *via)
{
    for (size_t i = 0; via->words[i] != NULL; i++) {
        for (const char *p = strchr(via->words[i], '%'); p != NULL; p = strchr(p + 2, '%')) {
            if (p[1] == 'h')
                return true;
        }
    }
    return false;
}

const char *
via_describe(const struct via *via, const char *host, char *text, size_t size)
{
    const char *slash = strrchr(via->words[0], '/');
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; via->words[i] != NULL && used < size; i++) {
        char *word = expand(i == 0 && slash != NULL ? slash + 1 : via->words[i], host);

        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? " " : "",
                                 word == NULL ? "" : word);
        free(word);
    }
    return text;
}

static void
stopping_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

void
via_hold_signals(sigset_t *before)
{
    sigset_t set;

    stopping_signals(&set);
    sigprocmask(SIG_BLOCK, &set, before);
}

void
via_release_signals(const sigset_t *before)
{
    sigprocmask(SIG_SETMASK, before, NULL);
}

/* One job at work. */
struct work {
    struct subprocess child;
    struct subprocess_result *result;
    const unsigned char *data; /* still to be written */
    size_t left;
    int feed;    /* where to; -1 when all is written */
    int signals; /* readable when one has come; -1 */
    double deadline;
    bool interrupted;
};

static bool
has_ended(pid_t pid)
{
    siginfo_t info = { 0 };

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid;
}

/* A program that reads no more will say why by itself. */
static void
feed_more(struct work *w)
{
    ssize_t n = w->left == 0 ? 0 : write(w->feed, w->data, w->left);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        w->data += n;
        w->left -= (size_t)n;
    }
    if (n < 0 || w->left == 0) {
        close(w->feed);
        w->feed = -1;
    }
}

/* Read what is there; what exceeds the bound is dropped. False at the end. */
static bool
take_output(int fd, struct buffer *b)
{
    char chunk[8192];
    ssize_t n = read(fd, chunk, sizeof(chunk));

    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if ((size_t)n > b->max - b->len)
        buffer_add(b, chunk, b->max - b->len);
    else
        buffer_add(b, chunk, (size_t)n);
    return n > 0;
}

/*
 * Until the program has ended and what it had said is read, the time is over, or a signal comes.
 * Others may hold its output open for longer: ssh's shared connections do.
 */
static void
converse(struct work *w)
{
    struct pollfd fds[4] = { { w->child.out, POLLIN, 0 },
                             { w->child.err, POLLIN, 0 },
                             { w->signals, POLLIN, 0 },
                             { -1, POLLOUT, 0 } };
    bool ended = false;
    int ready;

    for (;;) {
        fds[3].fd = w->feed;
        ready = poll(fds, 4, ended ? 0 : NAP_MS);
        if (fds[0].fd >= 0 && fds[0].revents != 0 && !take_output(fds[0].fd, &w->result->out))
            fds[0].fd = -1;
        if (fds[1].fd >= 0 && fds[1].revents != 0 && !take_output(fds[1].fd, &w->result->err))
            fds[1].fd = -1;
        if (w->feed >= 0 && fds[3].revents != 0)
            feed_more(w);
        w->interrupted = fds[2].fd >= 0 && fds[2].revents != 0;
        if (w->interrupted || clock_monotonic() >= w->deadline || (ended && ready <= 0))
            return;
        for (int i = 0; i < 4; i++)
            fds[i].revents = 0;
        ended = has_ended(w->child.pid);
    }
}

static bool
build(const struct via *via, const char *host, const struct via_job *job, char **words)
{
    size_t n = 0;

    for (; via->words[n] != NULL; n++) {
        words[n] = expand(via->words[n], host);
        if (words[n] == NULL)
            return false;
    }
    for (size_t i = 0; job->command[i] != NULL && i < COMMAND_MAX; i++) {
        words[n] = strdup(job->command[i]);
        if (words[n++] == NULL)
            return false;
    }
    return true;
}

const char *
via_last_words(const struct subprocess_result *result, char *text, size_t size)
{
    char line[400];

    subprocess_last_line(result, line, sizeof(line));
    text_clean(line, strlen(line), text, size);
    return text;
}

/* The end of the job as an error, if it is one to VIA itself. */
static bool
judge(const struct via *via, const char *host, const struct work *w, struct error *err)
{
    const struct subprocess_result *result = w->result;
    char name[256], line[400];

    via_describe(via, host, name, sizeof(name));
    via_last_words(result, line, sizeof(line));
    if (w->interrupted)
        return error_set(err, ERROR_FAILED, "interrupted while '%s' was at work", name);
    if (result->timed_out) {
        error_set(err, ERROR_UNREACHABLE, "cannot reach %s by '%s': not done after %.0f s%s%s",
                  host, name, result->seconds, line[0] != '\0' ? ": " : "", line);
        return error_hint(err, "see whether the host is up, and what '%s true' does", name);
    }
    if (result->status == NO_CONNECTION) {
        error_set(err, ERROR_UNREACHABLE, "cannot reach %s by '%s': %s", host, name,
                  line[0] != '\0' ? line : "exit status 255");
        return error_hint(err,
                          "see that '%s true' works from this host, without being asked "
                          "anything",
                          name);
    }
    if (result->signal != 0)
        return error_set(err, ERROR_FAILED, "'%s' was killed by signal %d", name, result->signal);
    return true;
}

static bool
start(const struct via *via, const char *host, const struct via_job *job, struct work *w,
      struct error *err)
{
    char *words[VIA_WORDS_MAX + COMMAND_MAX + 1] = { NULL };
    struct subprocess_options options = { .environment = (const char *const *)via->environment,
                                          .pipe_out = true,
                                          .pipe_err = true,
                                          .in = job->in };
    int feed[2] = { -1, -1 };
    bool ok = build(via, host, job, words) || error_memory(err);

    if (ok && job->data != NULL) {
        ok = pipe2(feed, O_CLOEXEC) == 0 ||
             error_errno(err, ERROR_INTERNAL, errno, "cannot make a pipe");
        options.in = feed[0];
        w->data = job->data;
        w->left = job->len;
    }
    ok = ok && subprocess_start((const char *const *)words, &options, &w->child, err);
    if (feed[0] >= 0)
        close(feed[0]);
    w->feed = feed[1];
    if (ok && w->feed >= 0)
        fcntl(w->feed, F_SETFL, O_NONBLOCK);
    for (size_t i = 0; i < VIA_WORDS_MAX + COMMAND_MAX; i++)
        free(words[i]);
    return ok;
}

bool
via_run(const struct via *via, const char *host, const struct via_job *job,
        struct subprocess_result *result, struct error *err)
{
    struct work w = { .result = result, .feed = -1, .signals = -1 };
    double begin = clock_monotonic();
    sigset_t set;
    bool ok;

    subprocess_result_init(result);
    result->out.max = OUTPUT_MAX;
    stopping_signals(&set);
    if (!job->last)
        w.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    w.deadline = begin + job->timeout;
    ok = start(via, host, job, &w, err);
    if (ok) {
        converse(&w);
        /* What has not ended is ended now. */
        subprocess_wait(&w.child, 0, result);
        result->seconds = clock_monotonic() - begin;
        ok = judge(via, host, &w, err);
    }
    if (w.feed >= 0)
        close(w.feed);
    if (w.signals >= 0)
        close(w.signals);
    return ok;
}
