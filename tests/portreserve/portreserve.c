/*
 * A test double of portreserve and portrelease (which Debian does not have), faithful where it
 * matters to somebody who looks for the holder of a port: names, files, sockets, and what each
 * version does on a release.
 *
 * As portrelease (by the name it is called with): send each argument to the daemon, get no answer,
 * exit 0. As portreserve: read /etc/portreserve, bind what it says, and hold it until it is
 * released.
 *
 * The version is taken from the environment, PORTRESERVE_VERSION:
 * - 0.0.4-el6: as first shipped with EL6; releasing one name drops every reservation, and the
 *   daemon ends
 * - 0.0.5 (the default; also later builds of 0.0.4): that name only
 * - 0.0.4-11: a port that two files name is freed by releasing either
 *
 * Unlike the real one, it goes to the background only when it holds its ports, so that tests need
 * not wait.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONFIG_FOLDER "/etc/portreserve"
#define SOCKET_PATH "/var/run/portreserve/socket"
#define PID_PATH "/var/run/portreserve.pid"
#define LINE_BYTES 99

enum version { DROPS_ALL, DROPS_NAME, DROPS_OVERLAP };

/* One reserved port; fd is -1 for an overlapping one, which 0.0.4-11 remembers without holding it.
 */
struct reservation {
    struct reservation *next;
    char file[256];
    int type;
    in_port_t port;
    int fd;
};

static void
socket_address(struct sockaddr_un *address)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, SOCKET_PATH);
}

/* portrelease: nobody answers, and a daemon that is not there is no error. */
static int
release_names(char **names)
{
    struct sockaddr_un address;
    int fd;

    socket_address(&address);
    for (; *names != NULL; names++) {
        fd = socket(AF_UNIX, SOCK_DGRAM, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            (void)send(fd, *names, strlen(*names), 0);
        if (fd >= 0)
            close(fd);
    }
    return 0;
}

/* The port of a service by name or, failing that, by the number it begins with; false if it is
 * neither. */
static bool
find_port(const char *service, const char *protocol, in_port_t *port)
{
    const struct servent *entry = getservbyname(service, protocol);
    char *end;
    long number;

    if (entry != NULL) {
        *port = (in_port_t)entry->s_port;
        return true;
    }
    number = strtol(service, &end, 10);
    *port = htons((uint16_t)number);
    return end != service;
}

/* Bind one port, IPv4 only and without SO_REUSEADDR, and put it before the list; on failure the
 * list stays. */
static struct reservation *
reserve_port(struct reservation *list, const char *file, const char *service, const char *protocol,
             enum version version)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct reservation *one;
    int type = strcmp(protocol, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
    int fd, reason;

    if (!find_port(service, protocol, &address.sin_port))
        return list;
    fd = socket(AF_INET, type, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        reason = errno;
        error(0, reason, "bind for %s (%d/%s)", file, ntohs(address.sin_port), protocol);
        close(fd);
        if (reason != EADDRINUSE || version != DROPS_OVERLAP)
            return list;
        fd = -1;
    }
    one = calloc(1, sizeof(*one));
    if (one == NULL)
        return list;
    snprintf(one->file, sizeof(one->file), "%s", file);
    one->type = type;
    one->port = address.sin_port;
    one->fd = fd;
    one->next = list;
    return one;
}

/* Lines are cut at 99 bytes, and the rest is the next line; nothing is a comment, and blanks are
 * part of names. */
static struct reservation *
reserve_file(struct reservation *list, int folder, const char *name, enum version version)
{
    char line[LINE_BYTES + 1], *protocol;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

    if (file == NULL)
        return list;
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        protocol = strchr(line, '/');
        if (protocol != NULL) {
            *protocol = '\0';
            list = reserve_port(list, name, line, protocol + 1, version);
        } else {
            list = reserve_port(list, name, line, "tcp", version);
            list = reserve_port(list, name, line, "udp", version);
        }
    }
    fclose(file);
    return list;
}

static struct reservation *
reserve_all(enum version version)
{
    struct reservation *list = NULL;
    struct dirent *entry;
    DIR *folder = opendir(CONFIG_FOLDER);

    if (folder == NULL)
        return NULL;
    while ((entry = readdir(folder)) != NULL) {
        if (strpbrk(entry->d_name, ".~") == NULL)
            list = reserve_file(list, dirfd(folder), entry->d_name, version);
    }
    closedir(folder);
    return list;
}

/* Drop what matches: a name, a port and type (where the name is NULL), or everything (both NULL).
 */
static struct reservation *
drop(struct reservation *list, const char *name, const struct reservation *like)
{
    struct reservation **link = &list, *one;

    while ((one = *link) != NULL) {
        if ((name != NULL && strcmp(one->file, name) != 0) ||
            (like != NULL && (one->type != like->type || one->port != like->port))) {
            link = &one->next;
            continue;
        }
        *link = one->next;
        if (one->fd >= 0)
            close(one->fd);
        free(one);
    }
    return list;
}

static const struct reservation *
find_name(const struct reservation *list, const char *name)
{
    while (list != NULL && strcmp(list->file, name) != 0)
        list = list->next;
    return list;
}

static struct reservation *
release(struct reservation *list, const char *name, enum version version)
{
    const struct reservation *found;
    struct reservation like;

    if (strcmp(name, "*") == 0)
        return drop(list, NULL, NULL);
    found = find_name(list, name);
    if (found != NULL && version == DROPS_ALL)
        return drop(list, NULL, NULL);
    for (; version == DROPS_OVERLAP && found != NULL; found = find_name(list, name)) {
        like = *found;
        list = drop(list, NULL, &like);
    }
    return drop(list, name, NULL);
}

/* A socket file that nobody listens on is a leftover and is replaced. */
static int
listen_for_releases(void)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    socket_address(&address);
    if (fd < 0)
        error(1, errno, "socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        error(1, 0, "already running");
    unlink(SOCKET_PATH);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        error(1, errno, "bind");
    return fd;
}

/* The descriptor stays open for good: its lock says that the pid is alive. */
static void
write_pid_file(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(PID_PATH, O_RDWR | O_CREAT, 0644);

    if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
        error(1, errno, "Failed to write pidfile!");
}

static void
end(int number)
{
    (void)number;
    unlink(PID_PATH);
    _exit(0);
}

/* In the child: the end of a pipe to the parent, which leaves once it is closed. */
static int
go_to_background(void)
{
    int ends[2];
    char nothing;

    if (pipe(ends) < 0)
        error(1, errno, "pipe");
    switch (fork()) {
    case -1:
        error(1, errno, "fork");
        break;
    case 0:
        close(ends[0]);
        setsid();
        return ends[1];
    default:
        close(ends[1]);
        (void)!read(ends[0], &nothing, 1);
        _exit(0);
    }
    return -1;
}

static void
close_streams(void)
{
    int fd = open("/dev/null", O_RDWR);

    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static enum version
version_wanted(void)
{
    const char *text = getenv("PORTRESERVE_VERSION");

    if (text == NULL || strcmp(text, "0.0.5") == 0 || strcmp(text, "0.0.4") == 0)
        return DROPS_NAME;
    if (strcmp(text, "0.0.4-el6") == 0)
        return DROPS_ALL;
    if (strcmp(text, "0.0.4-11") == 0)
        return DROPS_OVERLAP;
    error(1, 0, "unknown PORTRESERVE_VERSION %s", text);
    return DROPS_NAME;
}

int
main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = end };
    struct reservation *list;
    enum version version;
    char name[LINE_BYTES + 1];
    ssize_t length;
    int parent = -1, fd;

    if (strstr(basename(argv[0]), "portrelease") != NULL)
        return release_names(argv + 1);
    if (argc > 1 && strcmp(argv[1], "-d") != 0)
        error(1, 0, "usage: portreserve [-d]    (-d: stay in the foreground)");
    version = version_wanted();
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGQUIT, &action, NULL);
    if (argc == 1)
        parent = go_to_background();

    write_pid_file();
    fd = listen_for_releases();
    list = reserve_all(version);
    if (parent >= 0) {
        close_streams();
        close(parent);
    }
    while (list != NULL) {
        length = recv(fd, name, sizeof(name) - 1, 0);
        if (length >= 0) {
            name[length] = '\0';
            list = release(list, name, version);
        }
    }
    unlink(PID_PATH);
    return 0;
}
