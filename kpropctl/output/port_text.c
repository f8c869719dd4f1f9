/* port_text - see port_text.h. */
#include "kpropctl/output/port_text.h"

#include "common/host/process.h"
#include "common/port/ports.h"

#include <string.h>

/* What an agent sends is its own: control characters must not reach a terminal. */
static const char *
text_of(const json_t *object, const char *key, char *out, size_t size)
{
    const char *value = json_string_value(json_object_get(object, key));

    out[0] = '\0';
    if (value != NULL)
        text_clean(value, strlen(value), out, size);
    return out;
}

static bool
is(const json_t *object, const char *key, const char *value)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL && strcmp(text, value) == 0;
}

static const json_t *
obstacle(const json_t *report)
{
    const json_t *holder, *first = NULL;
    size_t i;

    /* A reservation can be released, so anything else beside it matters more. */
    json_array_foreach(json_object_get(report, "holders"), i, holder)
    {
        if (!json_is_true(json_object_get(holder, "obstacle")))
            continue;
        if (first == NULL || is(first, "kind", "reservation"))
            first = holder;
    }
    return first;
}

static const char *
kind_in_words(const json_t *holder)
{
    if (is(holder, "kind", "kpropd"))
        return "kpropd itself";
    if (is(holder, "kind", "activator"))
        return "starts kpropd when it is needed";
    if (is(holder, "kind", "reservation"))
        return "a reservation of portreserve's";
    if (is(holder, "kind", "connection"))
        return "a connection that has this port on our side";
    return "another program";
}

static void
put_line(struct buffer *out, const char *label, const char *value)
{
    if (value[0] != '\0')
        buffer_printf(out, "    %-9s %s\n", label, value);
}

static void
put_who(const json_t *holder, struct buffer *out)
{
    const json_t *pid = json_object_get(holder, "pid"), *inode = json_object_get(holder, "inode");
    char program[512], user[128], unit[256];

    text_of(holder, "program", program, sizeof(program));
    text_of(holder, "user", user, sizeof(user));
    text_of(holder, "unit", unit, sizeof(unit));
    if (json_is_integer(pid))
        buffer_printf(out, "  %s (pid %lld, user %s%s%s)", program,
                      (long long)json_integer_value(pid), user, unit[0] != '\0' ? ", " : "", unit);
    else if (is(holder, "state", "TIME_WAIT"))
        buffer_printf(out, "  finished connections");
    else if (json_is_integer(inode))
        buffer_printf(out, "  a socket whose process is out of view (inode %lld, user %s)",
                      (long long)json_integer_value(inode), user);
    else
        buffer_printf(out, "  a socket whose process is not known");
}

static void
put_holder(const json_t *holder, struct buffer *out)
{
    char text[512], address[128], peer[128], state[64];

    put_who(holder, out);
    buffer_printf(out, ": %s\n", kind_in_words(holder));
    text_of(holder, "state", state, sizeof(state));
    text_of(holder, "address", address, sizeof(address));
    text_of(holder, "peer", peer, sizeof(peer));
    if (strcmp(state, "bound") == 0)
        buffer_printf(out,
                      "    %-9s bound%s%s, not listening: netstat, lsof -i and ss do not show "
                      "it\n",
                      "state", address[0] != '\0' ? " to " : "", address);
    else
        buffer_printf(out, "    %-9s %s%s%s%s%s\n", "state", state,
                      address[0] != '\0' ? " on " : "", address, peer[0] != '\0' ? ", peer " : "",
                      peer);
    put_line(out, "command", text_of(holder, "command", text, sizeof(text)));
    put_line(out, "file", text_of(holder, "file", text, sizeof(text)));
    put_line(out, "release", text_of(holder, "release", text, sizeof(text)));
    put_line(out, "note", text_of(holder, "note", text, sizeof(text)));
}

/* kpropd's own, as this host has it, and not some other that was asked about. */
static bool
is_kpropds(const json_t *report)
{
    struct port_spec own;
    struct error ignored;

    return ports_resolve(NULL, &own, &ignored) &&
           own.port == json_integer_value(json_object_get(report, "port"));
}

static const char *
verdict(const json_t *report)
{
    const json_t *usable = json_object_get(report, "usable");

    if (json_is_true(usable))
        return is_kpropds(report) ? "is free: kpropd can bind it" : "is free";
    if (!json_is_false(usable))
        return "may be free or not: it could not be found out";
    if (json_is_true(json_object_get(report, "ready")))
        return "is in good hands";
    return is_kpropds(report) ? "is held: kpropd cannot bind it" : "is held";
}

/*
 * "Nothing to do" is no news. That kpropd can be started is none either for another port than its
 * own, and on this host it would be bad advice: a primary's kadmind does not survive it on Debian.
 */
static bool
has_advice(const json_t *report, const char *host)
{
    return json_is_string(json_object_get(report, "advice")) &&
           !is(report, "advice", "Nothing to do") &&
           (!json_is_true(json_object_get(report, "usable")) ||
            (host != NULL && is_kpropds(report)));
}

void
port_text(const json_t *report, const char *host, struct buffer *out)
{
    const json_t *holders = json_object_get(report, "holders"), *holder;
    char text[1024], way[64], sure[32];
    size_t i;

    text_of(report, "service", text, sizeof(text));
    buffer_printf(out, "Port %lld%s%s%s of %s %s\n",
                  (long long)json_integer_value(json_object_get(report, "port")),
                  text[0] != '\0' ? " (" : "", text, text[0] != '\0' ? ")" : "",
                  host != NULL ? host : "this host", verdict(report));
    json_array_foreach(holders, i, holder) put_holder(holder, out);
    if (json_integer_value(json_object_get(report, "left_out")) > 0)
        buffer_printf(out, "  and %lld more\n",
                      (long long)json_integer_value(json_object_get(report, "left_out")));
    text_of(report, "way", way, sizeof(way));
    text_of(report, "sure", sure, sizeof(sure));
    if (text_of(report, "warning", text, sizeof(text))[0] != '\0')
        buffer_printf(out, "Beware: %s\n", text);
    if (text_of(report, "note", text, sizeof(text))[0] != '\0')
        buffer_printf(out, "Note: %s\n", text);
    if (has_advice(report, host))
        buffer_printf(out, "What to do: %s.\n", text_of(report, "advice", text, sizeof(text)));
    if (json_is_false(json_object_get(report, "lasting")))
        buffer_printf(out, "Not lasting: portreserve takes the port again when it starts, and "
                           "kpropd's service does not release it yet.\n");
    buffer_printf(out, "(Seen by way of %s; %s.)\n", way, sure);
}

/* Bound and not listening: the heart of it, whoever it is. */
static const char bound_text[] =
    "It has called bind() on the port and never listen(). netstat, lsof -i, ss and fuser read the\n"
    "kernel's tables of listening and of connected sockets, and such a socket is in neither; nmap\n"
    "finds nobody who answers. The kernel still refuses the port to everybody else, so kpropd "
    "says\n"
    "'Address already in use' while every tool says that nobody is there. tcp_tw_reuse, xinetd "
    "and\n"
    "IPv6 have nothing to do with it.\n";

static void
why_reservation(const json_t *report, const json_t *holder, struct buffer *out)
{
    char release[256], file[512];

    text_of(holder, "release", release, sizeof(release));
    text_of(holder, "file", file, sizeof(file));
    buffer_printf(out,
                  "This is portreserve. It starts early at boot and keeps port %lld for kpropd, "
                  "lest some RPC\nservice picks it; whoever starts kpropd is meant to make it let "
                  "go first.\n%s",
                  (long long)json_integer_value(json_object_get(report, "port")), bound_text);
    if (release[0] != '\0')
        buffer_printf(out,
                      "%s is the file that makes the reservation, and its name (%s) is what "
                      "releases it:\nportrelease never says whether it worked, so look at the port "
                      "again. EL6's init script did this\nby itself, which is why it bites those "
                      "who start kpropd by hand. At portreserve's next start\nthe reservation is "
                      "back, unless kpropd's service releases it first.\n",
                      file, release);
}

static const char *
why_other(const json_t *holder)
{
    if (is(holder, "state", "bound"))
        return bound_text;
    if (is(holder, "state", "TIME_WAIT"))
        return "A connection from this port was closed a moment ago. Its maker had not set\n"
               "SO_REUSEADDR, so the kernel keeps the port for up to a minute although no process\n"
               "has it any more. lsof does not show it; netstat does, without a process.\n";
    if (is(holder, "kind", "connection"))
        return "Programs of root's that want a port below 1024 for a connection of their own (NFS\n"
               "mounts, rpcbind's clients) take any that is free, and this one took kpropd's. It\n"
               "is in netstat among the connections, on the left side, which one looks for under\n"
               "LISTEN in vain.\n";
    return "It listens there, so netstat -lntp, lsof and ss show it too, if one asks as root.\n";
}

void
port_text_why(const json_t *report, struct buffer *out)
{
    const json_t *holder = obstacle(report);
    const char *address = json_string_value(json_object_get(holder, "address"));

    buffer_printf(out, "\nWhy: ");
    if (json_is_true(json_object_get(report, "usable"))) {
        buffer_printf(out, "nothing stands in the way: kpropd's own calls were tried, and "
                           "succeeded.\n");
        if (json_array_size(json_object_get(report, "holders")) > 0)
            buffer_printf(out, "What is still there lets kpropd through.\n");
        return;
    }
    if (json_is_true(json_object_get(report, "ready"))) {
        buffer_printf(out, "a second kpropd could not bind the port, and none is needed.\n");
        return;
    }
    if (holder == NULL) {
        buffer_printf(out, "the kernel refuses the port, and nobody is seen who has it.\n");
        return;
    }
    if (is(holder, "kind", "reservation"))
        why_reservation(report, holder, out);
    else
        buffer_printf(out, "%s", why_other(holder));
    if (address != NULL && strcmp(address, "0.0.0.0") != 0 && strcmp(address, "::") != 0 &&
        !is(holder, "kind", "connection"))
        buffer_printf(out, "It holds one address only, but kpropd binds all of them at once, and "
                           "one that is taken is\nenough to make that fail.\n");
}
