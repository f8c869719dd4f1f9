/* portreserve - see portreserve.h. */
#include "common/port/portreserve.h"

#include "common/base/files.h"
#include "common/base/subprocess.h"
#include "common/host/process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    LINE_BYTES = 99, /* what portreserve reads of a line at once */
    FILE_BYTES = 64 * 1024,
    LINES_MAX = 1024, /* more cannot all be ports */
    SEND_TIMEOUT_MS = 2000,
};

static const char *
at(const char *root, const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s%s", root != NULL ? root : "", path);
    return out;
}

static void
add_port(struct portreserve_port *ports, size_t *count, size_t max, uint16_t port, bool udp)
{
    for (size_t i = 0; i < *count; i++) {
        if (ports[i].port == port && ports[i].udp == udp)
            return;
    }
    if (*count < max)
        ports[(*count)++] = (struct portreserve_port){ port, udp };
}

/* SERVICE for PROTOCOL. Whatever is not exactly "udp" becomes a TCP socket. */
static void
resolve(const char *service, const char *protocol, struct portreserve_port *ports, size_t *count,
        size_t max)
{
    const struct servent *entry = getservbyname(service, protocol);
    char *end;
    long number;

    if (entry != NULL) {
        add_port(ports, count, max, ntohs((uint16_t)entry->s_port), strcmp(protocol, "udp") == 0);
        return;
    }
    number = strtol(service, &end, 10);
    if (end == service)
        return;
    /* It is narrowed in silence, so that 66290 is 754; port 0 would be any port. */
    if ((uint16_t)number != 0)
        add_port(ports, count, max, (uint16_t)number, strcmp(protocol, "udp") == 0);
}

size_t
portreserve_parse(const char *data, size_t len, struct portreserve_port *ports, size_t max)
{
    size_t count = 0, pos = 0;

    for (int lines = 0; pos < len && lines < LINES_MAX && count < max; lines++) {
        size_t room = len - pos < LINE_BYTES ? len - pos : LINE_BYTES;
        const char *end = memchr(data + pos, '\n', room);
        char line[LINE_BYTES + 1];
        char *slash;

        if (end != NULL)
            room = (size_t)(end - (data + pos)) + 1;
        memcpy(line, data + pos, room);
        line[room] = '\0';
        pos += room;
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0')
            continue;
        slash = strchr(line, '/');
        if (slash == NULL) {
            resolve(line, "tcp", ports, &count, max);
            resolve(line, "udp", ports, &count, max);
        } else {
            *slash = '\0';
            resolve(line, slash + 1, ports, &count, max);
        }
    }
    return count;
}

static void
read_one(const char *folder, const char *name, struct portreserve *out)
{
    struct portreserve_file *file = &out->files[out->count];
    char path[PATH_MAX];
    struct buffer content;
    struct error err;
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return;
    buffer_init(&content, FILE_BYTES);
    if (!file_read(path, &content, &err)) {
        text_clean(err.text, strlen(err.text), out->problem, sizeof(out->problem));
    } else if (out->count == PORTRESERVE_FILES_MAX) {
        out->left_out++;
    } else {
        snprintf(file->name, sizeof(file->name), "%s", name);
        file->count = portreserve_parse((const char *)content.data, content.len, file->ports,
                                        PORTRESERVE_PORTS_MAX);
        out->count += file->count > 0;
    }
    buffer_free(&content);
}

static bool
read_files(const char *root, struct portreserve *out, struct error *err)
{
    char folder[PATH_MAX];
    const struct dirent *entry;
    DIR *dir = opendir(at(root, out->folder, folder, sizeof(folder)));

    if (dir == NULL && (errno == ENOENT || errno == ENOTDIR))
        return true;
    if (dir == NULL)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot read %s", folder);
    while ((entry = readdir(dir)) != NULL) {
        if (strpbrk(entry->d_name, ".~") == NULL)
            read_one(folder, entry->d_name, out);
    }
    closedir(dir);
    return true;
}

/* The process that has the pid file locked; if none has, the one it names, if it is the daemon. */
static pid_t
read_pid(const char *root)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct process_info info;
    char path[PATH_MAX], text[32];
    pid_t pid = 0;
    struct stat st;
    int fd = open(at(root, PORTRESERVE_PIDFILE, path, sizeof(path)),
                  O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        ssize_t got = read(fd, text, sizeof(text) - 1);

        text[got > 0 ? got : 0] = '\0';
        pid = (pid_t)strtol(text, NULL, 10);
        if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0)
            pid = lock.l_pid;
        else if (pid <= 0 || !process_describe(pid, &info) || !process_is(&info, "portreserve"))
            pid = 0;
    }
    close(fd);
    return pid;
}

bool
portreserve_read(const char *root, const char *folder, struct portreserve *out, struct error *err)
{
    memset(out, 0, sizeof(*out));
    snprintf(out->folder, sizeof(out->folder), "%s", folder != NULL ? folder : PORTRESERVE_FOLDER);
    out->pid = read_pid(root);
    return read_files(root, out, err);
}

const struct portreserve_file *
portreserve_find(const struct portreserve *reserve, uint16_t port, size_t *at_index)
{
    while (*at_index < reserve->count) {
        const struct portreserve_file *file = &reserve->files[(*at_index)++];

        for (size_t i = 0; i < file->count; i++) {
            if (file->ports[i].port == port && !file->ports[i].udp)
                return file;
        }
    }
    return NULL;
}

size_t
portreserve_others(const struct portreserve *reserve, const char *name, uint16_t port, char *text,
                   size_t size)
{
    size_t found = 0, len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < reserve->count; i++) {
        const struct portreserve_file *file = &reserve->files[i];

        if (name != NULL && strcmp(name, file->name) != 0)
            continue;
        for (size_t j = 0; j < file->count; j++) {
            if (file->ports[j].port == port)
                continue;
            found++;
            if (len + 16 < size)
                len += (size_t)snprintf(text + len, size - len, "%s%u/%s", len > 0 ? ", " : "",
                                        file->ports[j].port, file->ports[j].udp ? "udp" : "tcp");
        }
    }
    return found;
}

/* Refuse whatever is not a socket that root (or we) made. */
static bool
check_socket(const char *path, struct error *err)
{
    struct stat st;

    if (lstat(path, &st) != 0) {
        error_errno(err, ERROR_FAILED, errno, "cannot ask portreserve at %s", path);
        return error_hint(err, "portreserve does not seem to run; start it, or stop what holds the "
                               "port");
    }
    if (S_ISSOCK(st.st_mode) && (st.st_uid == 0 || st.st_uid == geteuid()))
        return true;
    error_set(err, ERROR_REFUSED, "cannot ask portreserve at %s: %s", path,
              S_ISSOCK(st.st_mode)   ? "the socket belongs to somebody else"
              : S_ISLNK(st.st_mode)  ? "it is a symbolic link"
              : S_ISFIFO(st.st_mode) ? "it is a fifo"
                                     : "it is no socket");
    return error_hint(err, "Remove it and restart portreserve");
}

static bool
send_name(int fd, const char *name, const char *path, struct error *err)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
    ssize_t sent = send(fd, name, strlen(name), MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
        poll(&poll_fd, 1, SEND_TIMEOUT_MS);
        sent = send(fd, name, strlen(name), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (sent >= 0)
        return true;
    if (errno == EAGAIN)
        error_set(err, ERROR_FAILED, "cannot ask portreserve at %s: it does not read its socket",
                  path);
    else
        error_errno(err, ERROR_FAILED, errno, "cannot ask portreserve at %s", path);
    return error_hint(err, "See what the process portreserve is doing, or restart it");
}

bool
portreserve_send(const char *root, const char *name, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char path[PATH_MAX];
    bool ok = false;
    int fd;

    at(root, PORTRESERVE_SOCKET, path, sizeof(path));
    if (strcmp(name, "*") == 0 || strlen(name) > PORTRESERVE_NAME_MAX || name[0] == '\0') {
        error_set(err, ERROR_REFUSED, "cannot release the reservation of file '%s': %s", name,
                  name[0] == '*' ? "that name would release all of them"
                                 : "portreserve reads at most 99 bytes of a name");
        return error_hint(err, "Rename the file in " PORTRESERVE_FOLDER " and restart portreserve");
    }
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(err, ERROR_INTERNAL, "cannot ask portreserve at %s: too long", path);
    if (!check_socket(path, err))
        return false;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        error_errno(err, ERROR_FAILED, errno, "cannot ask portreserve at %s", path);
        error_hint(err, "portreserve has ended and left its socket behind; whatever holds the "
                        "port is something else");
    } else {
        ok = send_name(fd, name, path, err);
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

enum portreserve_age
portreserve_age_of(const char *version)
{
    unsigned int major, minor, patch, release;

    if (sscanf(version, "%5u.%5u.%5u-%5u", &major, &minor, &patch, &release) != 4)
        return PORTRESERVE_UNKNOWN;
    if (major > 0 || minor > 0 || patch > 4)
        return PORTRESERVE_FIXED;
    /* The fix came to EL6 with 0.0.4-5 (August 2011), elsewhere with 0.0.5. */
    return patch == 4 && release >= 5 && strstr(version, ".el") != NULL ? PORTRESERVE_FIXED
                                                                        : PORTRESERVE_OLD;
}

enum portreserve_age
portreserve_installed_age(void)
{
    static const char *const argv[] = { "/bin/rpm",    "-q", "--qf", "%{VERSION}-%{RELEASE}",
                                        "portreserve", NULL };
    enum portreserve_age age = PORTRESERVE_UNKNOWN;
    struct subprocess_result result;
    struct error err;

    if (access(argv[0], X_OK) != 0)
        return age;
    if (subprocess_run(argv, NULL, 5000, &result, &err) && subprocess_succeeded(&result))
        age = portreserve_age_of(buffer_string(&result.out));
    subprocess_result_free(&result);
    return age;
}
