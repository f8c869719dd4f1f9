/* pidlist - see pidlist.h. */
#include "common/host/pidlist.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILEID_KERNFS = 0xfe }; /* include/linux/exportfs.h */

void
pid_list_free(struct pid_list *list)
{
    free(list->items);
    *list = (struct pid_list){ 0 };
}

void
pid_list_clear(struct pid_list *list)
{
    list->count = 0;
}

bool
pid_list_add(struct pid_list *list, pid_t pid)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 256 : 2 * list->room;
        struct pid_item *grown =
            (struct pid_item *)reallocarray(list->items, room, sizeof(*list->items));

        if (grown == NULL)
            return false;
        list->items = grown;
        list->room = room;
    }
    list->items[list->count++] = (struct pid_item){ .pid = pid };
    return true;
}

bool
pid_list_all(struct pid_list *list, int proc)
{
    int fd = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    bool ok = dir != NULL;

    if (dir == NULL && fd >= 0)
        close(fd);
    while (ok && (entry = readdir(dir)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]))
            ok = pid_list_add(list, (pid_t)atoi(entry->d_name));
    }
    if (dir != NULL)
        closedir(dir);
    return ok;
}

/* The folder of the control group, below either place where cgroup2 is mounted; -1 if there is
 * none. */
static int
open_cgroup(uint64_t cgroup)
{
    static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + sizeof(uint64_t)];
    } id = { .handle = { .handle_bytes = sizeof(cgroup), .handle_type = FILEID_KERNFS } };
    int folder = -1;

    memcpy(id.room + sizeof(struct file_handle), &cgroup, sizeof(cgroup));
    for (size_t i = 0; i < 2 && folder < 0; i++) {
        int mount = open(mounts[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (mount < 0)
            continue;
        folder = open_by_handle_at(mount, &id.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(mount);
    }
    return folder;
}

bool
pid_list_cgroup(struct pid_list *list, uint64_t cgroup)
{
    int folder = open_cgroup(cgroup);
    int fd = folder < 0 ? -1 : openat(folder, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    bool ok = file != NULL;
    int pid;

    while (ok && fscanf(file, "%9d", &pid) == 1)
        ok = pid <= 0 || pid_list_add(list, pid); /* 0: outside of our pid namespace */
    if (file != NULL)
        fclose(file);
    else if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    return ok;
}

static int
compare(const void *a, const void *b)
{
    const struct pid_item *x = (const struct pid_item *)a, *y = (const struct pid_item *)b;

    if (x->descriptors != y->descriptors)
        return x->descriptors < y->descriptors ? -1 : 1;
    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

void
pid_list_sort(struct pid_list *list, int proc)
{
    for (size_t i = 0; i < list->count; i++) {
        char path[32];
        struct stat st;

        snprintf(path, sizeof(path), "%d/fd", (int)list->items[i].pid);
        if (fstatat(proc, path, &st, 0) == 0)
            list->items[i].descriptors = st.st_size;
    }
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(*list->items), compare);
}
