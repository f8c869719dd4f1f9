/* loader_job - what all stages of a load need: its files, where it stands. */
#include "agent/load/loader_job.h"

#include "common/base/buffers.h"
#include "common/base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

double
loader_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool
put_name(char *out, size_t size, const char *database, const char *suffix, struct error *err)
{
    if (snprintf(out, size, "%s.kpropctl%s", database, suffix) < (int)size)
        return true;
    return error_set(err, ERROR_USAGE, "cannot use database %s: name too long", database);
}

bool
loader_folder(const char *database, char *path, size_t size, struct error *err)
{
    return put_name(path, size, database, "", err);
}

bool
loader_last_good(const char *database, bool previous, char *path, size_t size, struct error *err)
{
    return put_name(path, size, database, previous ? "/last_good.1" : "/last_good", err);
}

/* Written in place, since the file is also the lock: a reader may see it half. */
static void
write_progress(const struct loader_job *job)
{
    const struct outcome *o = job->outcome;
    char text[256];
    int len;

    len = snprintf(text, sizeof(text),
                   "{\"pid\": %d, \"since\": %.3f, \"stage\": \"%s\", \"generation\": %llu}\n",
                   o->pid, o->started, o->stage, (unsigned long long)o->generation);
    if (pwrite(job->lock, text, (size_t)len, 0) != len || ftruncate(job->lock, len) != 0)
        return;
}

void
loader_stage(struct loader_job *job, const char *stage)
{
    snprintf(job->outcome->stage, sizeof(job->outcome->stage), "%s", stage);
    write_progress(job);
}

void
loader_note(struct loader_job *job, const char *fmt, ...)
{
    char *note = job->outcome->note;
    size_t used = strlen(note), size = sizeof(job->outcome->note);
    va_list ap;

    if (used > 0 && used + 2 < size) {
        strcpy(note + used, "; ");
        used += 2;
    }
    va_start(ap, fmt);
    vsnprintf(note + used, size - used, fmt, ap);
    va_end(ap);
}

void
loader_look(const char *database, struct loader_progress *progress)
{
    struct error ignored;
    char name[PATH_MAX];
    json_t *object;
    int fd;

    memset(progress, 0, sizeof(*progress));
    if (!put_name(name, sizeof(name), database, "/loading", &ignored))
        return;
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    progress->running = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    if (!progress->running)
        return;
    object = outcome_read_json(name, &ignored);
    if (object == NULL)
        return;
    progress->pid = (int)json_integer_value(json_object_get(object, "pid"));
    if (progress->pid <= 0 || (kill(progress->pid, 0) != 0 && errno == ESRCH)) {
        progress->pid = 0; /* still the text of the load before, which was killed */
        json_decref(object);
        return;
    }
    progress->generation = (uint64_t)json_integer_value(json_object_get(object, "generation"));
    progress->since = json_number_value(json_object_get(object, "since"));
    if (json_is_string(json_object_get(object, "stage")))
        snprintf(progress->stage, sizeof(progress->stage), "%s",
                 json_string_value(json_object_get(object, "stage")));
    json_decref(object);
}

void
loader_database(const struct loader_job *job, const char *path, struct database *db)
{
    const struct realm *realm = job->request->realm;

    *db = (struct database){ job->backend, realm->name, path, realm->stash, realm->master_key };
}

unsigned
loader_clean(struct loader_job *job)
{
    DIR *dir = opendir(job->staging_folder);
    struct dirent *entry;
    unsigned count = 0;

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            (unlinkat(dirfd(dir), entry->d_name, 0) == 0 ||
             file_remove_folder(dirfd(dir), entry->d_name)))
            count++;
    }
    closedir(dir);
    return count;
}
