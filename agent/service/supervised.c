/* supervised - see supervised.h. */
#include "agent/service/supervised.h"

#include "common/base/buffers.h"
#include "common/base/files.h"
#include "common/host/process.h"
#include "common/krb5/realm.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DOWN_FILE "kpropd.down"
#define STOCK_FILE "kpropd.stock"

enum { MAX_LOG = 256 * 1024 };

bool
supervised_realm(const struct settings *base, const char *realm, bool *other)
{
    struct realm *own = NULL;
    struct settings s;
    struct error ignored;
    bool asked, same;

    if (other != NULL)
        *other = false;
    error_clear(&ignored);
    if (!realm_load(NULL, &own, &ignored))
        return base->supervise && realm == NULL;
    same = realm == NULL || strcmp(realm, own->name) == 0;
    asked = base->supervise;
    if (settings_of_realm(base, realm == NULL ? own->name : realm, &s, &ignored)) {
        asked = s.supervise;
        settings_free(&s);
    }
    realm_free(own);
    if (other != NULL)
        *other = asked && !same;
    return asked && same;
}

bool
supervised_path(const struct settings *s, const char *file, char *path, size_t size)
{
    return snprintf(path, size, "%s/%s", s->runtime, file) < (int)size;
}

/* Is FILE in the state folder? What is to be there survives a boot. */
static bool
has_mark(const struct settings *s, const char *file)
{
    char path[PATH_MAX];

    return snprintf(path, sizeof(path), "%s/%s", s->state, file) < (int)sizeof(path) &&
           access(path, F_OK) == 0;
}

static bool
set_mark(const struct settings *s, const char *file, bool there, struct error *err)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", s->state, file) >= (int)sizeof(path))
        return error_set(err, ERROR_INTERNAL, "cannot name a file in %s", s->state);
    if (there)
        return file_replace(path, "", 0, 0600, err);
    if (unlink(path) != 0 && errno != ENOENT)
        return error_errno(err, ERROR_FAILED, errno, "cannot remove %s", path);
    return true;
}

bool
supervised_wanted(const struct settings *s)
{
    return !has_mark(s, DOWN_FILE);
}

bool
supervised_want(const struct settings *s, bool wanted, struct error *err)
{
    return set_mark(s, DOWN_FILE, !wanted, err);
}

bool
supervised_stock(const struct settings *s)
{
    return has_mark(s, STOCK_FILE);
}

bool
supervised_set_stock(const struct settings *s, bool stock, struct error *err)
{
    return set_mark(s, STOCK_FILE, stock, err);
}

static bool
no_answer(const char *why, struct error *err)
{
    error_set(err, ERROR_UNREACHABLE, "cannot reach the agent that is to run kpropd: %s", why);
    return error_hint(err, "Start it: 'systemctl start kpropctl-agent', or without systemd "
                           "'/etc/init.d/kpropctl-agent start'");
}

static bool
ask(int fd, const struct sockaddr_un *address, const char *word, int seconds, char *text,
    struct error *err)
{
    struct pollfd poll_fd = { fd, POLLIN, 0 };
    ssize_t n;

    if (connect(fd, (const struct sockaddr *)(const void *)address, sizeof(*address)) != 0 ||
        send(fd, word, strlen(word), MSG_NOSIGNAL) < 0)
        return no_answer(strerror(errno), err);
    if (poll(&poll_fd, 1, seconds * 1000) <= 0)
        return no_answer("it does not answer", err);
    n = recv(fd, text, SUPERVISED_REPLY - 1, 0);
    if (n <= 0)
        return no_answer("it ended", err);
    text[n] = '\0';
    return true;
}

bool
supervised_ask(const struct settings *s, const char *word, int seconds, json_t **reply,
               struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char text[SUPERVISED_REPLY];
    bool ok;
    int fd;

    *reply = NULL;
    if (!supervised_path(s, "supervisor", address.sun_path, sizeof(address.sun_path)))
        return error_set(err, ERROR_USAGE, "cannot use runtime %s: name too long", s->runtime);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return no_answer(strerror(errno), err);
    ok = ask(fd, &address, word, seconds, text, err);
    close(fd);
    if (!ok)
        return false;
    *reply = json_loads(text, 0, NULL);
    return *reply != NULL || no_answer("its answer is no JSON", err);
}

json_t *
supervised_log(const struct settings *s, size_t count)
{
    json_t *lines = json_array();
    struct buffer text;
    struct error ignored;
    char path[PATH_MAX], clean[1024];
    const char *line, *end;

    buffer_init(&text, MAX_LOG);
    error_clear(&ignored);
    if (supervised_path(s, "kpropd.log", path, sizeof(path)) && file_read(path, &text, &ignored)) {
        for (line = buffer_string(&text); *line != '\0'; line = end + (*end == '\n')) {
            end = line + strcspn(line, "\n");
            if (end == line)
                continue;
            text_clean(line, (size_t)(end - line), clean, sizeof(clean));
            json_array_append_new(lines, json_string(clean));
            if (json_array_size(lines) > count)
                json_array_remove(lines, 0);
        }
    }
    buffer_free(&text);
    return lines;
}
