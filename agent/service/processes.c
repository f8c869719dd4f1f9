/* processes - see processes.h. */
#include "agent/service/processes.h"

#include "common/base/buffers.h"
#include "common/host/process.h"
#include "common/port/netlink.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_COMMAND = 64 * 1024, MAX_LISTENERS = 64, MAX_PROCESSES = 1 << 20 };

/* A process that ends meanwhile is no error. */
static bool
read_proc(pid_t pid, const char *name, struct buffer *out)
{
    char path[64];
    unsigned char *p;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while ((p = buffer_reserve(out, 4096)) != NULL && (n = read(fd, p, 4096)) > 0)
        out->len += (size_t)n;
    close(fd);
    return out->len > 0;
}

/*
 * True unless PID is known to be in another network namespace: a container's services are seen in
 * our /proc, and are none of this host's.
 */
static bool
in_our_network(pid_t pid)
{
    char path[64], ours[64], theirs[64];
    ssize_t mine = readlink("/proc/self/ns/net", ours, sizeof(ours)), other;

    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    other = readlink(path, theirs, sizeof(theirs));
    return mine < 0 || other < 0 || (mine == other && memcmp(ours, theirs, (size_t)mine) == 0);
}

/* One process: what is in /proc/PID/comm. */
struct named {
    pid_t pid;
    char name[16];
};

/* In one read: a name has at most 15 bytes and a newline. */
static bool
read_name(int proc, const char *pid, char *name, size_t size)
{
    char path[64];
    ssize_t len;
    int fd;

    snprintf(path, sizeof(path), "%s/comm", pid);
    fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    len = read(fd, name, size - 1);
    close(fd);
    if (len <= 0)
        return false;
    name[len] = '\0';
    name[strcspn(name, "\n")] = '\0';
    return true;
}

static void
read_all(struct processes *all)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;

    all->read = true;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct named one = { .pid = (pid_t)atoi(entry->d_name) };
        char name[32];

        if (!isdigit((unsigned char)entry->d_name[0]) ||
            !read_name(dirfd(dir), entry->d_name, name, sizeof(name)))
            continue;
        snprintf(one.name, sizeof(one.name), "%.15s", name);
        buffer_add(&all->list, &one, sizeof(one));
    }
    if (dir != NULL)
        closedir(dir);
}

void
processes_init(struct processes *all)
{
    all->read = false;
    buffer_init(&all->list, MAX_PROCESSES * sizeof(struct named));
}

void
processes_free(struct processes *all)
{
    buffer_free(&all->list);
}

size_t
processes_find(struct processes *all, const char *const *names, pid_t *pids, size_t max)
{
    const struct named *list;
    size_t found = 0;

    if (!all->read)
        read_all(all);
    list = (const struct named *)(const void *)all->list.data;
    for (size_t i = 0; i < all->list.len / sizeof(*list) && found < max; i++) {
        bool called = false;

        for (const char *const *name = names; *name != NULL && !called; name++)
            called = strcmp(list[i].name, *name) == 0;
        if (called && in_our_network(list[i].pid))
            pids[found++] = list[i].pid;
    }
    return found;
}

bool
processes_option(pid_t pid, const char *option, char *value, size_t size)
{
    struct buffer words;
    size_t len = strlen(option);
    bool next = false, found = false;

    value[0] = '\0';
    buffer_init(&words, MAX_COMMAND);
    if (read_proc(pid, "cmdline", &words) && buffer_add_u8(&words, 0)) {
        const char *end = (const char *)words.data + words.len;

        for (const char *w = (const char *)words.data; w < end && !found; w += strlen(w) + 1) {
            if (next || (strncmp(w, option, len) == 0 && w[len] != '\0')) {
                snprintf(value, size, "%s", next ? w : w + len);
                found = true;
            }
            next = strcmp(w, option) == 0;
        }
    }
    buffer_free(&words);
    return found;
}

/* In a line of /proc/PID/maps: "start-end rw-s offset device inode   /path". */
bool
processes_shares_file(pid_t pid, bool *shares)
{
    char path[64], line[PATH_MAX + 128], rights[8], name[8];
    unsigned long inode;
    bool told = false;
    FILE *f;

    *shares = false;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    f = fopen(path, "re");
    while (f != NULL && !*shares && fgets(line, sizeof(line), f) != NULL) {
        told = true;
        *shares = sscanf(line, "%*s %7s %*s %*s %lu %7s", rights, &inode, name) == 3 &&
                  strncmp(rights, "rw-s", 4) == 0 && inode != 0 && name[0] == '/' &&
                  strncmp(name, "/SYSV", 5) != 0 && strncmp(name, "/memfd:", 7) != 0 &&
                  strncmp(name, "/dev/", 5) != 0;
    }
    if (f != NULL)
        fclose(f);
    return told;
}

enum { STATE_LISTEN = 0x0A, STATE_UNCONNECTED = 0x07 };

/* Add the inodes of sockets in state WANTED on PORT that /proc/PID/net/FILE lists. */
static size_t
listeners(pid_t pid, const char *file, unsigned int wanted, int port, unsigned long *inodes,
          size_t count)
{
    char path[64], line[512], address[80];
    unsigned int local, state;
    unsigned long inode;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, file);
    f = fopen(path, "re");
    while (f != NULL && count < MAX_LISTENERS && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, " %*d: %64[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu",
                   address, &local, &state, &inode) == 4 &&
            (int)local == port && state == wanted)
            inodes[count++] = inode;
    }
    if (f != NULL)
        fclose(f);
    return count;
}

static bool
holds_one_of(pid_t pid, const unsigned long *inodes, size_t count)
{
    char path[64], target[64], wanted[64];
    struct dirent *entry;
    bool found = false;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

        if (n <= 0)
            continue;
        target[n] = '\0';
        for (size_t i = 0; i < count && !found; i++) {
            snprintf(wanted, sizeof(wanted), "socket:[%lu]", inodes[i]);
            found = strcmp(target, wanted) == 0;
        }
    }
    if (dir != NULL)
        closedir(dir);
    return found;
}

/* sock_diag answers at once; /proc is for where it does not, or for another namespace. */
static size_t
tcp_listeners(pid_t pid, int port, unsigned long *inodes)
{
    struct socket_list *list = in_our_network(pid) ? calloc(1, sizeof(*list)) : NULL;
    struct error ignored;
    size_t count = 0;

    if (list != NULL && netlink_listeners((uint16_t)port, list, &ignored)) {
        for (size_t i = 0; i < list->count && count < MAX_LISTENERS; i++)
            inodes[count++] = (unsigned long)list->entries[i].inode;
    } else {
        count = listeners(pid, "tcp", STATE_LISTEN, port, inodes, 0);
        count = listeners(pid, "tcp6", STATE_LISTEN, port, inodes, count);
    }
    free(list);
    return count;
}

struct processes_serving
processes_serve(pid_t pid, int port, bool udp)
{
    struct processes_serving serving = { false, false };
    unsigned long inodes[MAX_LISTENERS];
    size_t count = tcp_listeners(pid, port, inodes);

    serving.tcp = count > 0 && holds_one_of(pid, inodes, count);
    if (udp) {
        count = listeners(pid, "udp", STATE_UNCONNECTED, port, inodes, 0);
        count = listeners(pid, "udp6", STATE_UNCONNECTED, port, inodes, count);
        serving.udp = count > 0 && holds_one_of(pid, inodes, count);
    }
    return serving;
}
