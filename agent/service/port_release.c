/* port_release - see port_release.h. */
#include "agent/service/port_release.h"

#include "common/port/netlink.h"
#include "common/port/portreserve.h"
#include "common/port/ports_json.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    ROUNDS_MAX = 3,         /* portreserve may be started again meanwhile */
    LET_GO_MS = 2000,       /* it answers within a few; it is asked by a datagram */
    OTHERS_LEAVE_MS = 5000, /* a client that picked the port is often done soon */
    SETTLE_MS = 50,
    OTHERS_MAX = 64,
};

/* What portreserve held beside the port: to be seen again after a release. */
struct other_ports {
    struct portreserve_port ports[OTHERS_MAX];
    size_t count;
};

static void
nap(int ms)
{
    struct timespec ts = { ms / 1000, (ms % 1000) * 1000000L };

    nanosleep(&ts, NULL);
}

static int64_t
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Wait until the port can be bound, or is no longer held by what had INODE. */
static bool
let_go(const struct port_spec *spec, uint64_t inode, int timeout_ms)
{
    int64_t deadline = now_ms() + timeout_ms;
    int bind_errno = -1, pause = 1;
    struct error err;

    for (;;) {
        struct socket_list *list = (struct socket_list *)calloc(1, sizeof(*list));
        bool there = true;

        if (ports_probe(spec, &bind_errno, &err) && bind_errno == 0)
            there = false;
        if (there && inode != 0 && list != NULL && netlink_sockets(spec->port, list, &err) &&
            list->count > 0) {
            there = false;
            for (size_t i = 0; i < list->count; i++)
                there = there || list->entries[i].inode == inode;
        }
        free(list);
        if (!there || now_ms() >= deadline)
            return !there;
        nap(pause);
        pause = pause < 50 ? pause * 2 : pause;
    }
}

static const char *
describe(const struct port_holder *holder, char *text, size_t size)
{
    if (holder->who.pid > 0)
        snprintf(text, size, "%s (pid %d, user %s)", holder->who.program, (int)holder->who.pid,
                 holder->who.user);
    else if (holder->inode != 0)
        snprintf(text, size, "a socket of user %s (inode %llu)", holder->who.user,
                 (unsigned long long)holder->inode);
    else
        snprintf(text, size, "a connection to %s", holder->peer);
    return text;
}

/* Something that is no reservation is in the way: an error that names it. */
static bool
refuse(const struct port_spec *spec, const struct port_holder *holder, struct error *err)
{
    char text[700];

    error_set(err, ERROR_REFUSED, "cannot release port %u: it is held by %s, not by portreserve",
              spec->port, describe(holder, text, sizeof(text)));
    return error_hint(err, "%s", holder->advice);
}

static const struct port_holder *
other_obstacle(const struct port_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->holders[i].obstacle && report->holders[i].kind != PORT_RESERVATION)
            return &report->holders[i];
    }
    return NULL;
}

/* Ask for each file that names the port, the first one first, until it is let go. */
static bool
ask(const struct port_spec *spec, const struct port_holder *holder,
    const struct ports_options *options, struct port_release *result, struct error *err)
{
    struct portreserve *reserve = (struct portreserve *)calloc(1, sizeof(*reserve));
    const struct portreserve_file *file;
    size_t at = 0, asked = 0;
    bool ok = false;

    if (reserve == NULL)
        return error_memory(err);
    error_clear(err);
    if (portreserve_read(options->root, options->portreserve, reserve, err)) {
        while (!ok && (file = portreserve_find(reserve, spec->port, &at)) != NULL) {
            if (!portreserve_send(options->root, file->name, err))
                continue;
            asked++;
            snprintf(result->name, sizeof(result->name), "%s", file->name);
            ok = let_go(spec, holder->inode, LET_GO_MS);
        }
        if (!ok && asked > 0) {
            error_set(err, ERROR_FAILED,
                      "cannot release port %u: portreserve was told to let go of '%s' and still "
                      "holds it",
                      spec->port, result->name);
            error_hint(err, "Restart portreserve: what it holds is not what its files say");
        } else if (!ok && err->code == ERROR_NONE) {
            error_set(err, ERROR_FAILED,
                      "cannot release port %u: no file of " PORTRESERVE_FOLDER " names it",
                      spec->port);
            error_hint(err, "%s", holder->advice);
        }
    }
    free(reserve);
    return ok;
}

/* Could anybody bind PORT now, on the IPv4 wildcard as portreserve does? */
static bool
is_free(const struct portreserve_port *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port->port) };
    int fd = socket(AF_INET, (port->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

/* The other ports of portreserve's files that are taken now. */
static void
list_others(const struct port_spec *spec, const struct ports_options *options,
            struct other_ports *others)
{
    struct portreserve *reserve = (struct portreserve *)calloc(1, sizeof(*reserve));
    struct error err;

    others->count = 0;
    if (reserve == NULL)
        return;
    portreserve_read(options->root, options->portreserve, reserve, &err);
    for (size_t i = 0; i < reserve->count; i++) {
        const struct portreserve_file *file = &reserve->files[i];

        for (size_t j = 0; j < file->count && others->count < OTHERS_MAX; j++) {
            if (file->ports[j].port != spec->port && !is_free(&file->ports[j]))
                others->ports[others->count++] = file->ports[j];
        }
    }
    free(reserve);
}

/* Which of them are free since the release? */
static void
count_losses(const struct other_ports *others, struct port_release *result)
{
    size_t len = 0;

    if (others->count > 0)
        nap(SETTLE_MS); /* the old daemon lets go of one after the other */
    for (size_t i = 0; i < others->count; i++) {
        if (is_free(&others->ports[i]) && len + 16 < sizeof(result->lost))
            len += (size_t)snprintf(result->lost + len, sizeof(result->lost) - len, "%s%u/%s",
                                    len > 0 ? ", " : "", others->ports[i].port,
                                    others->ports[i].udp ? "udp" : "tcp");
    }
}

/* Somebody took the port after it was released: name it, and give it some seconds. */
static bool
wait_for_other(const struct port_spec *spec, const struct port_holder *other,
               struct port_release *result, struct error *err)
{
    char text[700];

    describe(other, text, sizeof(text));
    snprintf(result->taken, sizeof(result->taken), "%.250s", text);
    if (let_go(spec, other->inode, OTHERS_LEAVE_MS))
        return true;
    error_set(err, ERROR_FAILED,
              "cannot keep port %u free: after its release by portreserve it was taken by %s",
              spec->port, text);
    return error_hint(err, "%s", other->advice);
}

static bool
one_round(const struct port_spec *spec, const struct ports_options *options,
          struct port_release *result, const struct port_report *report, struct error *err)
{
    const struct port_holder *other = other_obstacle(report);
    const struct port_holder *holder = ports_obstacle(report, PORT_RESERVATION);

    if (other != NULL && result->released)
        return wait_for_other(spec, other, result, err);
    if (other != NULL)
        return refuse(spec, other, err);
    if (holder == NULL) {
        error_set(err, ERROR_FAILED, "cannot release port %u: who holds it cannot be seen",
                  spec->port);
        return error_hint(err, "%s", ports_advice(report));
    }
    if (!ask(spec, holder, options, result, err))
        return false;
    result->released = true;
    return true;
}

bool
port_release(const struct port_spec *spec, const struct ports_options *options,
             struct port_release *result, struct port_report **report, struct error *err)
{
    struct other_ports others;

    *result = (struct port_release){ 0 };
    *report = NULL;
    list_others(spec, options, &others);
    for (int round = 0;; round++) {
        ports_report_free(*report);
        if (!ports_examine(spec, options, report, err))
            return false;
        if ((*report)->usable == PORTS_USABLE)
            break;
        if (ports_ready(*report) && !result->released)
            return refuse(spec, ports_obstacle(*report, -1), err);
        if (round == ROUNDS_MAX)
            return error_set(err, ERROR_FAILED,
                             "cannot release port %u: it is taken again after every release",
                             spec->port);
        if (!one_round(spec, options, result, *report, err))
            return false;
    }
    if (result->released)
        count_losses(&others, result);
    return true;
}

/* HOLDER is in kpropd's way and no reservation: give it some seconds, then name it. */
static bool
outlast(const struct port_spec *spec, const struct port_holder *holder, struct error *err)
{
    char text[700];

    if (let_go(spec, holder->inode, OTHERS_LEAVE_MS))
        return true;
    error_set(err, ERROR_FAILED, "cannot start kpropd: port %u was taken meanwhile by %s",
              spec->port, describe(holder, text, sizeof(text)));
    return error_hint(err, "%s", holder->advice);
}

bool
port_release_retry(int port, const struct ports_options *options, struct error *err)
{
    struct port_spec spec = { .port = (uint16_t)port };
    struct port_report *report = NULL;
    struct port_release result;
    const struct port_holder *other;
    struct error ignored;
    bool again = false;

    error_clear(&ignored);
    if (!ports_examine(&spec, options, &report, &ignored))
        return false;
    other = other_obstacle(report);
    if (other != NULL && other->kind != PORT_KPROPD && other->kind != PORT_ACTIVATOR) {
        again = outlast(&spec, other, err);
    } else if (other == NULL && ports_obstacle(report, PORT_RESERVATION) != NULL) {
        ports_report_free(report);
        again = port_release(&spec, options, &result, &report, err);
    }
    ports_report_free(report);
    return again;
}

bool
port_release_at_start(const struct port_spec *spec, const struct ports_options *options,
                      struct error *err)
{
    struct portreserve *reserve = NULL;
    const struct portreserve_file *file;
    int bind_errno = 0;
    size_t at = 0;
    bool ok = false;

    if (!ports_probe(spec, &bind_errno, err))
        return false;
    if (bind_errno == 0)
        return true;
    reserve = (struct portreserve *)calloc(1, sizeof(*reserve));
    if (reserve == NULL)
        return error_memory(err);
    error_clear(err);
    if (portreserve_read(options->root, options->portreserve, reserve, err)) {
        while (!ok && (file = portreserve_find(reserve, spec->port, &at)) != NULL)
            ok = portreserve_send(options->root, file->name, err) && let_go(spec, 0, LET_GO_MS);
        if (!ok && err->code == ERROR_NONE)
            error_set(err, ERROR_FAILED,
                      "cannot release port %u: it is held, and not by a "
                      "reservation that can be released",
                      spec->port);
    }
    free(reserve);
    return ok;
}

static const char *
portrelease_path(void)
{
    return access("/sbin/portrelease", X_OK) == 0       ? "/sbin/portrelease"
           : access("/usr/sbin/portrelease", X_OK) == 0 ? "/usr/sbin/portrelease"
                                                        : NULL;
}

/* As an argument in a unit: '%' and '$' doubled, in quotes, with '"' and '\' escaped. */
static void
quote_for_unit(const char *name, char *out, size_t size)
{
    size_t n = 0;

    out[n++] = '"';
    for (; *name != '\0' && n + 4 < size; name++) {
        if (strchr("%$", *name) != NULL)
            out[n++] = *name;
        else if (strchr("\"\\", *name) != NULL)
            out[n++] = '\\';
        out[n++] = *name;
    }
    out[n++] = '"';
    out[n] = '\0';
}

void
port_release_drop_in(const char *unit, const struct port_spec *spec, const char *name, char *path,
                     size_t path_size, char *text, size_t text_size)
{
    const char *portrelease = portrelease_path();
    char quoted[600], clean[256], line[1024] = "";

    text_clean(name, strlen(name), clean, sizeof(clean));
    if (strcmp(clean, name) != 0)
        portrelease = NULL; /* a name that a unit file cannot hold */
    quote_for_unit(name, quoted, sizeof(quoted));
    snprintf(path, path_size, "/etc/systemd/system/%s.d/kpropctl-port.conf", unit);
    if (portrelease != NULL)
        snprintf(line, sizeof(line), "ExecStartPre=-%s %s\n", portrelease, quoted);
    snprintf(text, text_size,
             "# Written by kpropctl. portreserve holds port %u by the file " PORTRESERVE_FOLDER
             "/%s\n"
             "# each time it starts; kpropd cannot bind until that is released. The last line\n"
             "# waits until the port has been seen free. A failure never stops kpropd's start.\n"
             "[Unit]\n"
             "After=portreserve.service\n"
             "\n"
             "[Service]\n"
             "%s"
             "ExecStartPre=-" KPC_AGENT " release-at-start %u\n",
             spec->port, clean, line, spec->port);
}

void
port_release_init_advice(const char *name, char *text, size_t size)
{
    snprintf(text, size,
             "add the line '[ -x /sbin/portrelease ] && /sbin/portrelease %s &>/dev/null || :' to "
             "the init script of kpropd, before it starts the daemon",
             name);
}
