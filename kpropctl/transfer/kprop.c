/* kprop - see kprop.h. */
#include "kpropctl/transfer/kprop.h"

#include "common/base/buffers.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/contract/refusals.h"
#include "common/krb5/realm.h"
#include "common/port/ports.h"
#include "kpropctl/krb5/names.h"
#include "kpropctl/transfer/pin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TICK_MS = 100, ARGUMENTS = 12 };

/* What is made for one run of it. */
struct running {
    const struct kprop *kprop;
    struct subprocess child;
    struct pin *pin; /* NULL: it is not held to an address */
    double start;
    double deadline;
};

/* The descriptor of process PID that has the dump open, as a path of its position; "" if none. */
static void
find_position(pid_t pid, const char *dump, char *path, size_t size)
{
    char folder[64], link[PATH_MAX], target[PATH_MAX];
    struct dirent *entry;
    DIR *dir;

    path[0] = '\0';
    snprintf(folder, sizeof(folder), "/proc/%ld/fd", (long)pid);
    dir = opendir(folder);
    while (dir != NULL && path[0] == '\0' && (entry = readdir(dir)) != NULL) {
        ssize_t n;

        snprintf(link, sizeof(link), "%s/%s", folder, entry->d_name);
        n = readlink(link, target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        if (strcmp(target, dump) == 0)
            snprintf(path, size, "/proc/%ld/fdinfo/%s", (long)pid, entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
}

/* kprop prints no progress, but the kernel knows how far it has read. */
static void
tell_progress(const struct kprop *k, pid_t pid, double start)
{
    char path[PATH_MAX], text[256];
    unsigned long long pos;
    int fd;
    ssize_t n;

    if (k->progress == NULL)
        return;
    find_position(pid, k->dump, path, sizeof(path));
    fd = path[0] == '\0' ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    if (sscanf(text, "pos: %llu", &pos) == 1)
        k->progress(k->closure, pos, k->bytes, clock_monotonic() - start);
}

/* Collect what kprop says, telling progress, until it ends or the deadline passes. */
static void
watch(struct running *run, struct buffer *said)
{
    while (clock_monotonic() < run->deadline) {
        struct pollfd fds[2] = { { run->child.out, POLLIN, 0 },
                                 { run->pin == NULL ? -1 : pin_fd(run->pin), POLLIN, 0 } };
        char data[4096];
        ssize_t n;

        if (poll(fds, 2, TICK_MS) == 0) {
            tell_progress(run->kprop, run->child.pid, run->start);
            continue;
        }
        if (fds[1].revents != 0)
            pin_serve(run->pin, run->deadline);
        if (fds[0].revents == 0)
            continue;
        n = read(run->child.out, data, sizeof(data));
        if (n <= 0 && (n == 0 || errno != EINTR))
            return;
        if (n > 0 && said->len + (size_t)n <= said->max)
            buffer_add(said, data, (size_t)n);
    }
}

/* kprop's command line in words that live as long as K, PROGRAM and PORT. */
static void
arguments(const struct kprop *k, const char *program, const char *port, const char *argv[ARGUMENTS])
{
    size_t n = 0;

    argv[n++] = program;
    argv[n++] = "-r";
    argv[n++] = k->realm;
    argv[n++] = "-f";
    argv[n++] = k->dump;
    argv[n++] = "-s";
    argv[n++] = k->keytab;
    if (k->configuration->port != 0) {
        argv[n++] = "-P";
        argv[n++] = port;
    }
    argv[n++] = k->host;
    argv[n] = NULL;
}

/*
 * VARIABLE becomes the KRB5_CONFIG with which kprop takes names as they are: a first file of ours,
 * of whose relations libprofile takes the first. *PLAIN is false, and VARIABLE "", where it would
 * not come to this host's own principal so.
 */
static bool
take_names_as_they_are(const struct kprop *k, bool *plain, char *variable, size_t size,
                       struct error *err)
{
    char layer[512], path[PATH_MAX];

    variable[0] = '\0';
    *plain = names_plain_layer(k->realm, k->client, layer, sizeof(layer));
    if (!*plain)
        return true;
    snprintf(path, sizeof(path), "%s.krb5.conf", k->dump);
    if (!file_replace(path, layer, strlen(layer), 0600, err))
        return false;
    snprintf(variable, size, "KRB5_CONFIG=%s:%s", path, names_krb5_conf());
    return true;
}

/* The address to hold kprop to, with kpropd's port. False where there is none: without a port kprop
 * itself says so. */
static bool
address_of(const struct kprop *k, struct sockaddr_storage *address)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *ai = NULL;
    struct port_spec spec;
    struct error ignored;
    char port[16];

    snprintf(port, sizeof(port), "%d", k->configuration->port);
    error_clear(&ignored);
    if (k->address == NULL ||
        !ports_resolve(k->configuration->port == 0 ? NULL : port, &spec, &ignored))
        return false;
    snprintf(port, sizeof(port), "%u", spec.port);
    if (getaddrinfo(k->address, port, &hints, &ai) != 0)
        return false;
    memcpy(address, ai->ai_addr, ai->ai_addrlen);
    freeaddrinfo(ai);
    return true;
}

/* Not held to the address it may run only where its name leads nowhere else. */
static bool
leads_there_alone(const struct kprop *k, bool plain, struct error *err)
{
    const struct refusal_names who = { k->realm, k->host, NULL };

    if (plain && names_lead_to(k->host, k->address))
        return true;
    return refusal_set(err, REFUSAL_UNBOUND, &who,
                       "cannot send the database to %s: its agent answered at %s, and this system "
                       "cannot hold kprop to that address",
                       k->host, k->address);
}

static bool
start(struct running *run, const char *const *argv, const char *const *environment, bool plain,
      struct error *err)
{
    const struct kprop *k = run->kprop;
    struct subprocess_options options = {
        .environment = environment, .pipe_out = true, .pipe_err = true, .merge = true
    };
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    struct subprocess_result ended;
    bool hold = address_of(k, &address), started;

    run->pin = hold ? pin_new(&address, err) : NULL;
    if (run->pin != NULL) {
        options.confine = pin_confine;
        options.closure = run->pin;
        started = subprocess_start(argv, &options, &run->child, err);
        if (pin_begin(run->pin, run->child.pid))
            return true;
        /* Refused by the kernel after all, or it was executed and cannot be looked into. */
        if (started) {
            subprocess_result_init(&ended);
            subprocess_wait(&run->child, 0, &ended);
            subprocess_result_free(&ended);
        }
        pin_free(run->pin);
        run->pin = NULL;
        options.confine = NULL;
        error_clear(err);
    }
    if (err->code != ERROR_NONE || (hold && !leads_there_alone(k, plain, err)))
        return false;
    return subprocess_start(argv, &options, &run->child, err);
}

bool
kprop_run(const struct kprop *k, struct subprocess_result *result, struct error *err)
{
    char program[PATH_MAX], port[16], variable[2 * PATH_MAX];
    const char *environment[] = { variable, NULL }, *argv[ARGUMENTS];
    struct running run = { .kprop = k };
    double left;
    bool plain;

    error_clear(err);
    if (k->configuration->kprop != NULL)
        snprintf(program, sizeof(program), "%s", k->configuration->kprop);
    else if (!realm_find_program("kprop", program, sizeof(program), err))
        return false;
    if (!take_names_as_they_are(k, &plain, variable, sizeof(variable), err))
        return false;
    snprintf(port, sizeof(port), "%d", k->configuration->port);
    arguments(k, program, port, argv);
    run.start = clock_monotonic();
    run.deadline = run.start + k->seconds;
    if (!start(&run, argv, variable[0] == '\0' ? NULL : environment, plain, err)) {
        pin_free(run.pin);
        return false;
    }
    watch(&run, &result->err);
    left = run.deadline - clock_monotonic();
    subprocess_wait(&run.child, left > 0 ? (int)(left * 1000) : 0, result);
    result->seconds = clock_monotonic() - run.start;
    pin_free(run.pin);
    return true;
}
