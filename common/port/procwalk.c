/* procwalk - see procwalk.h. */
#include "common/port/procwalk.h"

#include "common/host/pidlist.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

enum { INODES_MAX = 1024 * 1024 };

/* What a walk does with each socket: false ends the walk. */
typedef bool (*visit_function)(pid_t pid, const char *fd, uint64_t inode, void *data);

void
inode_set_free(struct inode_set *set)
{
    free(set->inodes);
    *set = (struct inode_set){ 0 };
}

bool
inode_set_add(struct inode_set *set, uint64_t inode)
{
    if (set->count == set->room) {
        size_t room = set->room == 0 ? 256 : 2 * set->room;
        uint64_t *grown;

        if (room > INODES_MAX ||
            (grown = (uint64_t *)reallocarray(set->inodes, room, sizeof(*grown))) == NULL)
            return false;
        set->inodes = grown;
        set->room = room;
    }
    set->inodes[set->count++] = inode;
    return true;
}

static int
compare_inodes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

void
inode_set_sort(struct inode_set *set)
{
    if (set->count > 0)
        qsort(set->inodes, set->count, sizeof(*set->inodes), compare_inodes);
}

bool
inode_set_has(const struct inode_set *set, uint64_t inode)
{
    return set->count > 0 &&
           bsearch(&inode, set->inodes, set->count, sizeof(inode), compare_inodes) != NULL;
}

uint64_t
procwalk_decode_link(const char *link)
{
    unsigned long long inode = 0;

    if (sscanf(link, "socket:[%20llu]", &inode) == 1 || sscanf(link, "[0000]:%20llu", &inode) == 1)
        return inode;
    return 0;
}

/* An address as /proc/net prints it: 32 bits at a time, each in the byte order of this machine. */
static bool
decode_address(const char *hex, int family, unsigned char *out)
{
    size_t words = family == AF_INET ? 1 : 4;

    if (strlen(hex) != 8 * words)
        return false;
    for (size_t i = 0; i < words; i++) {
        char digits[9];
        uint32_t word;

        memcpy(digits, hex + 8 * i, 8);
        digits[8] = '\0';
        word = (uint32_t)strtoul(digits, NULL, 16);
        memcpy(out + 4 * i, &word, 4);
    }
    return true;
}

bool
procwalk_decode_line(const char *line, int family, struct socket_entry *entry)
{
    char local[33], remote[33];
    unsigned int sport, dport, state, uid;
    unsigned long long inode;

    *entry = (struct socket_entry){ .family = family };
    if (sscanf(line,
               " %*[0-9]: %32[0-9A-Fa-f]:%4x %32[0-9A-Fa-f]:%4x %2x %*[0-9A-Fa-f]:%*[0-9A-Fa-f]"
               " %*[0-9A-Fa-f]:%*[0-9A-Fa-f] %*[0-9A-Fa-f] %10u %*[0-9] %20llu",
               local, &sport, remote, &dport, &state, &uid, &inode) != 7)
        return false;
    if (!decode_address(local, family, entry->src) || !decode_address(remote, family, entry->dst))
        return false;
    entry->sport = (uint16_t)sport;
    entry->dport = (uint16_t)dport;
    entry->state = (uint8_t)state;
    entry->uid = uid;
    entry->inode = inode;
    return true;
}

static bool
read_table(const char *path, int family, uint16_t port, struct socket_list *list)
{
    FILE *file = fopen(path, "re");
    struct socket_entry entry;
    char line[512];

    if (file == NULL)
        return false;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (procwalk_decode_line(line, family, &entry) && entry.sport == port)
            socket_list_add(list, &entry);
    }
    fclose(file);
    return true;
}

bool
procwalk_tables(uint16_t port, struct socket_list *list, struct error *err)
{
    if (!read_table("/proc/net/tcp", AF_INET, port, list))
        return error_errno(err, ERROR_INTERNAL, errno, "cannot read /proc/net/tcp");
    read_table("/proc/net/tcp6", AF_INET6, port, list); /* not there without IPv6 */
    return true;
}

/* The COLUMN-th word (from 0) of LINE as a number, or 0. */
static uint64_t
column(const char *line, unsigned int number)
{
    const char *p = line;

    for (;; number--) {
        p += strspn(p, " \t");
        if (number == 0)
            return strtoull(p, NULL, 10);
        p += strcspn(p, " \t\n");
        if (*p == '\0' || *p == '\n')
            return 0;
    }
}

/* Every inode that some table of /proc/net of our own network namespace names. */
static bool
load_known(struct inode_set *known)
{
    static const struct {
        const char *path;
        unsigned int column;
    } tables[] = {
        { "/proc/net/tcp", 9 },    { "/proc/net/tcp6", 9 },    { "/proc/net/udp", 9 },
        { "/proc/net/udp6", 9 },   { "/proc/net/udplite", 9 }, { "/proc/net/udplite6", 9 },
        { "/proc/net/raw", 9 },    { "/proc/net/raw6", 9 },    { "/proc/net/icmp", 9 },
        { "/proc/net/icmp6", 9 },  { "/proc/net/unix", 6 },    { "/proc/net/netlink", 9 },
        { "/proc/net/packet", 8 },
    };
    bool ok = true;

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        FILE *file = fopen(tables[i].path, "re");
        char line[512];

        while (file != NULL && ok && fgets(line, sizeof(line), file) != NULL) {
            uint64_t inode = column(line, tables[i].column);

            if (inode != 0)
                ok = inode_set_add(known, inode);
        }
        if (file != NULL)
            fclose(file);
    }
    inode_set_sort(known);
    return ok;
}

/* Visit the sockets of one process. False if VISIT ended the walk. */
static bool
walk_process(int proc, const char *pid, struct walk_view *view, visit_function visit, void *data)
{
    char path[64], link[64];
    const struct dirent *entry;
    bool more = true;
    DIR *dir;
    int fd;

    snprintf(path, sizeof(path), "%.20s/fd", pid);
    fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        view->closed += errno == EACCES || errno == EPERM;
        return true;
    }
    if ((dir = fdopendir(fd)) == NULL) {
        view->closed += errno != ENOMEM;
        close(fd);
        return true;
    }
    view->processes++;
    while (more && (entry = readdir(dir)) != NULL) {
        ssize_t len;

        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        view->links++;
        len = readlinkat(fd, entry->d_name, link, sizeof(link) - 1);
        if (len < 8 || (link[0] != 's' && link[0] != '['))
            continue;
        link[len] = '\0';
        if (procwalk_decode_link(link) != 0)
            more = visit((pid_t)atoi(pid), entry->d_name, procwalk_decode_link(link), data);
    }
    closedir(dir);
    return more;
}

static bool
walk(struct walk_view *view, visit_function visit, void *data)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    bool more = true;

    if (dir == NULL)
        return false;
    while (more && (entry = readdir(dir)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]))
            more = walk_process(dirfd(dir), entry->d_name, view, visit, data);
    }
    closedir(dir);
    return true;
}

struct owner_search {
    struct socket_list *list;
    size_t missing;
    struct walk_view *view;
};

static bool
visit_owner(pid_t pid, const char *fd, uint64_t inode, void *data)
{
    struct owner_search *search = (struct owner_search *)data;

    (void)fd;
    for (size_t i = 0; i < search->list->count; i++) {
        struct socket_entry *entry = &search->list->entries[i];

        if (entry->inode == inode && entry->pid_hint == 0) {
            entry->pid_hint = (uint32_t)pid;
            search->missing--;
        }
    }
    return search->missing > 0;
}

/* Look into the processes of PIDS, one after the other, until all owners are found. */
static void
search_in(struct owner_search *search, int proc, struct pid_list *pids)
{
    for (size_t i = 0; i < pids->count && search->missing > 0; i++) {
        char name[16];

        snprintf(name, sizeof(name), "%d", (int)pids->items[i].pid);
        walk_process(proc, name, search->view, visit_owner, search);
    }
}

void
procwalk_owners(struct socket_list *list, pid_t hint, struct walk_view *view)
{
    struct owner_search search = { .list = list, .view = view };
    struct pid_list pids = { 0 };
    int proc;

    for (size_t i = 0; i < list->count; i++)
        search.missing += list->entries[i].inode != 0 && list->entries[i].pid_hint == 0;
    if (search.missing == 0 || (proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return;
    if (hint > 0 && pid_list_add(&pids, hint))
        search_in(&search, proc, &pids);
    for (size_t i = 0; i < list->count && search.missing > 0; i++) {
        const struct socket_entry *entry = &list->entries[i];

        pid_list_clear(&pids);
        if (entry->pid_hint == 0 && entry->cgroup != 0 && pid_list_cgroup(&pids, entry->cgroup)) {
            pid_list_sort(&pids, proc);
            search_in(&search, proc, &pids);
        }
    }
    pid_list_clear(&pids);
    if (search.missing > 0 && pid_list_all(&pids, proc)) {
        pid_list_sort(&pids, proc);
        search_in(&search, proc, &pids);
    }
    pid_list_free(&pids);
    close(proc);
}

struct hidden_search {
    struct inode_set known;
    struct socket_list *list;
    uint16_t port;
    struct stat own; /* our network namespace; st_ino 0 if it cannot be seen */
    pid_t pid;       /* the process that the next two are of */
    int pidfd;
    bool same; /* it is in our network namespace */
    int code;  /* errno that makes the whole way impossible, or 0 */
};

static bool
hidden_init(struct hidden_search *search, struct socket_list *list, uint16_t port,
            struct error *err)
{
    *search = (struct hidden_search){ .list = list, .port = port, .pid = -1, .pidfd = -1 };
    if (stat("/proc/self/ns/net", &search->own) != 0)
        search->own = (struct stat){ 0 };
    return load_known(&search->known) || error_memory(err);
}

static void
hidden_free(struct hidden_search *search)
{
    if (search->pidfd >= 0)
        close(search->pidfd);
    inode_set_free(&search->known);
}

/* -1: not a TCP socket; otherwise its family, or 0 where the kernel does not tell its protocol. */
static int
protocol_of(pid_t pid, const char *fd)
{
    char path[64], name[32];
    ssize_t len;

    snprintf(path, sizeof(path), "/proc/%d/fd/%.20s", (int)pid, fd);
    len = getxattr(path, "system.sockprotoname", name, sizeof(name) - 1);
    if (len < 0)
        return errno == EOPNOTSUPP || errno == ENODATA ? 0 : -1;
    name[len] = '\0';
    if (strcmp(name, "TCP") == 0)
        return AF_INET;
    return strcmp(name, "TCPv6") == 0 ? AF_INET6 : -1;
}

/* Is the process (whose descriptors are being visited) in our network namespace? */
static void
enter_process(struct hidden_search *search, pid_t pid)
{
    char path[64];
    struct stat st;

    if (pid == search->pid)
        return;
    if (search->pidfd >= 0)
        close(search->pidfd);
    search->pid = pid;
    search->pidfd = -1;
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    search->same =
        search->own.st_ino == 0 || (stat(path, &st) == 0 && st.st_ino == search->own.st_ino &&
                                    st.st_dev == search->own.st_dev);
}

/* Is the socket FD in our network namespace? Where the kernel does not say, its process decides. */
static bool
socket_is_ours(const struct hidden_search *search, int fd)
{
    int ns = ioctl(fd, SIOCGSKNS);
    struct stat st;
    bool ours = search->same;

    if (ns >= 0) {
        if (fstat(ns, &st) == 0)
            ours = st.st_ino == search->own.st_ino && st.st_dev == search->own.st_dev;
        close(ns);
    }
    return ours;
}

static bool
describe_socket(int fd, uint16_t port, struct socket_entry *entry)
{
    struct sockaddr_storage name = { 0 };
    socklen_t len = sizeof(name), size = sizeof(int);
    int type = 0, listening = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM ||
        getsockname(fd, (struct sockaddr *)&name, &len) != 0)
        return false;
    size = sizeof(int);
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
    entry->family = name.ss_family;
    entry->state = listening ? SOCKET_STATE_LISTEN : SOCKET_STATE_BOUND;
    if (name.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&name;

        memcpy(entry->src, &in->sin_addr, 4);
        entry->sport = ntohs(in->sin_port);
    } else if (name.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&name;

        memcpy(entry->src, &in6->sin6_addr, 16);
        entry->sport = ntohs(in6->sin6_port);
    }
    return entry->sport == port && (entry->family == AF_INET || entry->family == AF_INET6);
}

static uint32_t
socket_owner(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_uid : 0;
}

static bool
visit_pidfd(pid_t pid, const char *name, uint64_t inode, void *data)
{
    struct hidden_search *search = (struct hidden_search *)data;
    struct socket_entry entry = { .inode = inode, .pid_hint = (uint32_t)pid };
    int fd;

    if (pid == getpid() || inode_set_has(&search->known, inode) || protocol_of(pid, name) < 0)
        return true;
    enter_process(search, pid);
    if (search->pidfd < 0)
        search->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    fd = search->pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, search->pidfd, atoi(name), 0);
    if (fd < 0) {
        if (errno == ENOSYS || errno == EPERM)
            search->code = errno;
        return errno != ENOSYS;
    }
    if (describe_socket(fd, search->port, &entry) && socket_is_ours(search, fd)) {
        entry.uid = socket_owner(fd);
        socket_list_add(search->list, &entry);
    }
    close(fd);
    return true;
}

bool
procwalk_hidden_by_pidfd(uint16_t port, struct socket_list *list, struct walk_view *view,
                         struct error *err)
{
    struct hidden_search search;
    size_t before = list->count;
    bool ok = false;

    errno = 0;
    if (hidden_init(&search, list, port, err)) {
        if (!walk(view, visit_pidfd, &search))
            error_errno(err, ERROR_INTERNAL, errno, "cannot read /proc");
        else if (search.code != 0 && list->count == before)
            error_errno(err, ERROR_INTERNAL, search.code, "cannot duplicate a descriptor");
        else
            ok = true;
    }
    hidden_free(&search);
    if (!ok)
        errno = search.code;
    return ok;
}

static bool
visit_hidden(pid_t pid, const char *name, uint64_t inode, void *data)
{
    struct hidden_search *search = (struct hidden_search *)data;
    struct socket_entry entry = { .inode = inode, .pid_hint = (uint32_t)pid, .unsure = true };
    char path[64];
    struct stat st;
    int family;

    if (pid == getpid() || inode_set_has(&search->known, inode))
        return true;
    if ((family = protocol_of(pid, name)) < 0)
        return true;
    enter_process(search, pid);
    if (!search->same)
        return true;
    entry.family = family == 0 ? AF_INET : family;
    entry.state = SOCKET_STATE_BOUND;
    snprintf(path, sizeof(path), "/proc/%d/fd/%.20s", (int)pid, name);
    if (stat(path, &st) == 0)
        entry.uid = st.st_uid;
    socket_list_add(search->list, &entry);
    return true;
}

/* A socket that was made and connected during the walk is in the tables by now. */
static bool
drop_known(struct hidden_search *search, size_t from)
{
    struct socket_list *list = search->list;
    size_t kept = from;

    inode_set_free(&search->known);
    if (list->count > from && !load_known(&search->known))
        return false;
    for (size_t i = from; i < list->count; i++) {
        if (!inode_set_has(&search->known, list->entries[i].inode))
            list->entries[kept++] = list->entries[i];
    }
    list->count = kept;
    return true;
}

bool
procwalk_hidden(struct socket_list *list, struct walk_view *view, struct error *err)
{
    struct hidden_search search;
    size_t before = list->count;
    bool ok = hidden_init(&search, list, 0, err);

    if (ok && !walk(view, visit_hidden, &search))
        ok = error_errno(err, ERROR_INTERNAL, errno, "cannot read /proc");
    else if (ok && !drop_known(&search, before))
        ok = error_memory(err);
    hidden_free(&search);
    return ok;
}
