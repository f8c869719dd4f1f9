/* supervisor_door - see supervisor_door.h. */
#include "agent/supervise/supervisor_door.h"

#include "agent/service/supervised.h"
#include "common/base/files.h"
#include "common/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { GUESTS_MAX = 8 };

struct guest {
    struct door *door;
    ev_io io; /* active: somebody is there */
    enum door_word word;
};

struct door {
    struct ev_loop *loop;
    ev_io io;
    struct guest guests[GUESTS_MAX];
    door_asked *asked;
    void *arg;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static void
part(struct guest *guest)
{
    ev_io_stop(guest->door->loop, &guest->io);
    close(guest->io.fd);
    guest->word = DOOR_NONE;
}

static void
on_guest(struct ev_loop *loop, ev_io *w, int events)
{
    static const char *const words[] = {
        [DOOR_STATUS] = "status", [DOOR_START] = "start", [DOOR_STOP] = "stop"
    };
    struct guest *guest = w->data;
    char text[16];
    ssize_t n = recv(w->fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    (void)loop, (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || guest->word != DOOR_NONE) {
        part(guest);
        return;
    }
    text[n] = '\0';
    for (int i = DOOR_STATUS; i <= DOOR_STOP; i++) {
        if (strcmp(text, words[i]) == 0)
            guest->word = (enum door_word)i;
    }
    if (guest->word == DOOR_NONE)
        part(guest);
    else
        guest->door->asked(guest->door->arg, guest->word);
}

static void
on_knock(struct ev_loop *loop, ev_io *w, int events)
{
    struct door *door = w->data;
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    for (int i = 0; fd >= 0 && i < GUESTS_MAX; i++) {
        struct guest *guest = &door->guests[i];

        if (ev_is_active(&guest->io))
            continue;
        ev_io_set(&guest->io, fd, EV_READ);
        ev_io_start(loop, &guest->io);
        return;
    }
    if (fd >= 0)
        close(fd);
}

void
door_answer(struct door *door, enum door_word word, json_t *answer)
{
    char *text = answer == NULL ? NULL : json_dumps(answer, JSON_COMPACT);

    for (int i = 0; i < GUESTS_MAX; i++) {
        struct guest *guest = &door->guests[i];

        if (!ev_is_active(&guest->io) || guest->word != word)
            continue;
        if (text != NULL && send(guest->io.fd, text, strlen(text), MSG_NOSIGNAL) < 0)
            log_warning("cannot answer a verb: %s", strerror(errno));
        part(guest);
    }
    free(text);
    json_decref(answer);
}

/* A socket that a former daemon left is in the way. */
static int
listen_at(const char *path, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t mask = umask(077);

    strcpy(address.sun_path, path);
    unlink(path);
    if (fd < 0 || bind(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) != 0 ||
        listen(fd, GUESTS_MAX) != 0) {
        error_errno(err, ERROR_FAILED, errno, "cannot listen at %s", path);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    umask(mask);
    return fd;
}

struct door *
door_open(struct ev_loop *loop, const struct settings *s, door_asked *asked, void *arg,
          struct error *err)
{
    struct door *door = calloc(1, sizeof(*door));
    int fd;

    if (door == NULL) {
        error_memory(err);
        return NULL;
    }
    door->loop = loop;
    door->asked = asked;
    door->arg = arg;
    if (!supervised_path(s, "supervisor", door->path, sizeof(door->path))) {
        error_set(err, ERROR_USAGE, "cannot use runtime %s: name too long", s->runtime);
        goto fail;
    }
    if (!file_make_folder(s->runtime, 0755, err) || (fd = listen_at(door->path, err)) < 0)
        goto fail;
    for (int i = 0; i < GUESTS_MAX; i++) {
        ev_io_init(&door->guests[i].io, on_guest, -1, EV_READ);
        door->guests[i].door = door;
        door->guests[i].io.data = &door->guests[i];
    }
    ev_io_init(&door->io, on_knock, fd, EV_READ);
    door->io.data = door;
    ev_io_start(loop, &door->io);
    return door;

fail:
    free(door);
    return NULL;
}

void
door_close(struct door *door)
{
    if (door == NULL)
        return;
    for (int i = 0; i < GUESTS_MAX; i++) {
        if (ev_is_active(&door->guests[i].io))
            part(&door->guests[i]);
    }
    ev_io_stop(door->loop, &door->io);
    close(door->io.fd);
    unlink(door->path);
    free(door);
}
