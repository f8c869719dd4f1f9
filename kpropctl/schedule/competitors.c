/* competitors - see competitors.h: where jobs are started from. Lines are read by job_lines.c. */
#include "kpropctl/schedule/competitors.h"

#include "common/base/files.h"
#include "common/host/process.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE = 256 * 1024, MAX_FILES = 5000, MAX_FOUND = 100 };

struct search {
    const char *root;
    struct competitors *found;
    size_t files; /* read so far */
    bool out_of_memory;
};

/* --- reading --- */

/* The content of PATH (below the root) into TEXT, initialised here, freed by the caller in every
 * case. What is no regular file, or too large, is passed over. */
static bool
read_below(struct search *search, const char *path, struct buffer *text)
{
    char full[PATH_MAX];
    struct error ignored;
    struct stat st;

    buffer_init(text, MAX_FILE);
    if (search->files >= MAX_FILES ||
        snprintf(full, sizeof(full), "%s%s", search->root, path) >= (int)sizeof(full)) {
        search->found->cut = true;
        return false;
    }
    search->files++;
    /* Opening a device or a fifo, even to find that it is one, can have consequences. */
    if (stat(full, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    if (file_read(full, text, &ignored))
        return true;
    search->found->cut |= text->failed;
    return false;
}

/* One line at a time: *LINE starts at NULL. False at the end. */
static bool
next_line(const struct buffer *text, const char **line, size_t *len)
{
    const char *start = (const char *)text->data, *end = start + text->len, *stop;

    *line = *line == NULL ? start : *line + *len + 1;
    if (start == NULL || *line >= end)
        return false;
    stop = memchr(*line, '\n', (size_t)(end - *line));
    *len = (size_t)((stop == NULL ? end : stop) - *line);
    return true;
}

/* The first line of the script PATH that runs the worst for us; 0 if there is none. */
static unsigned
look_into_script(struct search *search, const char *path, enum job_kind *kind)
{
    const char *line = NULL;
    unsigned number = 0, found = 0;
    bool cut = search->found->cut;
    struct buffer text;
    size_t len;

    *kind = JOB_OTHER;
    if (read_below(search, path, &text) && memchr(text.data, '\0', text.len) == NULL) {
        while (next_line(&text, &line, &len)) {
            enum job_kind here = job_of_line(line, len);

            number++;
            if (here > *kind) {
                *kind = here;
                found = number;
            }
        }
    }
    search->found->cut = cut || search->files >= MAX_FILES; /* a large file is a program */
    buffer_free(&text);
    return found;
}

/* --- what was found --- */

static void
add(struct search *search, const struct competitor *one)
{
    struct competitors *found = search->found;
    struct competitor *grown;

    if (found->count >= MAX_FOUND) {
        found->cut = true;
        return;
    }
    grown = realloc(found->items, (found->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        search->out_of_memory = true;
        return;
    }
    found->items = grown;
    found->items[found->count++] = *one;
}

/* A word that may be a script: an absolute path, and no program of ours or of Kerberos. */
static bool
next_path(const char **p, const char *end, char *path, size_t size)
{
    while (*p < end) {
        const char *start;

        while (*p < end && **p != '/')
            ++*p;
        start = *p;
        while (*p < end && strchr(" \t\n;&|()<>\"'`", **p) == NULL && **p != '\0')
            ++*p;
        if (*p > start && (size_t)(*p - start) < size) {
            memcpy(path, start, (size_t)(*p - start));
            path[*p - start] = '\0';
            return true;
        }
        if (*p == start && *p < end)
            ++*p;
    }
    return false;
}

/* What COMMAND, started from line LINE of FILE, runs itself or through a script. */
static void
judge(struct search *search, const char *file, unsigned line, const char *command, size_t len,
      const char *unit)
{
    struct competitor one = { .kind = job_of_line(command, len), .line = line };
    const char *p = command, *end = command + len;
    char path[512];

    text_clean(file, strlen(file), one.file, sizeof(one.file));
    snprintf(one.unit, sizeof(one.unit), "%s", unit);
    text_clean(command, len, one.command, sizeof(one.command));
    while (one.kind == JOB_OTHER && next_path(&p, end, path, sizeof(path))) {
        one.script_line = look_into_script(search, path, &one.kind);
        if (one.script_line > 0)
            text_clean(path, strlen(path), one.script, sizeof(one.script));
    }
    if (one.kind != JOB_OTHER)
        add(search, &one);
}

/* --- cron --- */

static void
look_into_crontab(struct search *search, const char *path, bool with_user)
{
    const char *line = NULL, *command;
    unsigned number = 0;
    struct buffer text;
    size_t len, command_len;

    if (read_below(search, path, &text)) {
        while (next_line(&text, &line, &len)) {
            number++;
            command = crontab_command(line, len, with_user, &command_len);
            if (command != NULL)
                judge(search, path, number, command, command_len, "");
        }
    }
    buffer_free(&text);
}

/* anacron: PERIOD DELAY NAME COMMAND, which is a crontab line of a few fields less. */
static void
look_into_anacrontab(struct search *search)
{
    static const char path[] = "/etc/anacrontab";
    const char *line = NULL;
    unsigned number = 0;
    struct buffer text;
    size_t len;

    if (read_below(search, path, &text)) {
        while (next_line(&text, &line, &len)) {
            number++;
            judge(search, path, number, line, len, "");
        }
    }
    buffer_free(&text);
}

/* Each file of folder PATH that cron or run-parts would take. */
static void
each_file(struct search *search, const char *path, bool dots,
          void (*look)(struct search *search, const char *path))
{
    char name[PATH_MAX];
    struct dirent **entries = NULL;
    int count;

    if (snprintf(name, sizeof(name), "%s%s", search->root, path) >= (int)sizeof(name))
        return;
    count = scandir(name, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *file = entries[i]->d_name;

        if (file[0] != '.' && file[strlen(file) - 1] != '~' &&
            (dots || strchr(file, '.') == NULL)) {
            snprintf(name, sizeof(name), "%s/%s", path, file);
            look(search, name);
        }
        free(entries[i]);
    }
    free(entries);
}

static void
look_into_system_table(struct search *search, const char *path)
{
    look_into_crontab(search, path, true);
}

static void
look_into_user_table(struct search *search, const char *path)
{
    look_into_crontab(search, path, false);
}

/* run-parts passes over what cannot be executed. */
static bool
is_executable(const struct search *search, const char *path)
{
    char full[PATH_MAX];
    struct stat st;

    return snprintf(full, sizeof(full), "%s%s", search->root, path) < (int)sizeof(full) &&
           stat(full, &st) == 0 && (st.st_mode & 0111) != 0;
}

/* A script that run-parts starts: the file itself, or what it calls. */
static void
look_into_part(struct search *search, const char *path)
{
    struct competitor one = { .kind = JOB_OTHER };
    const char *line = NULL;
    unsigned number = 0;
    struct buffer text;
    size_t len, before = search->found->count;

    if (!is_executable(search, path))
        return;
    one.line = look_into_script(search, path, &one.kind);
    if (one.line > 0) {
        text_clean(path, strlen(path), one.file, sizeof(one.file));
        text_clean(path, strlen(path), one.command, sizeof(one.command));
        add(search, &one);
        return;
    }
    if (read_below(search, path, &text) && memchr(text.data, '\0', text.len) == NULL) {
        while (search->found->count == before && next_line(&text, &line, &len)) {
            number++;
            if (len > 0 && line[0] != '#')
                judge(search, path, number, line, len, "");
        }
    }
    buffer_free(&text);
}

/* --- systemd --- */

/* The lines of a service that start something. */
static void
look_into_service(struct search *search, const char *path)
{
    const char *unit = strrchr(path, '/') + 1, *line = NULL;
    size_t len, name_len = strlen(unit);
    unsigned number = 0;
    struct buffer text;

    if (name_len < 9 || strcmp(unit + name_len - 8, ".service") != 0 ||
        strncmp(unit, "kpropctl-", 9) == 0)
        return;
    if (read_below(search, path, &text)) {
        while (next_line(&text, &line, &len)) {
            number++;
            if (len > 9 && memcmp(line, "ExecStart", 9) == 0)
                judge(search, path, number, line, len, unit);
        }
    }
    buffer_free(&text);
}

bool
competitors_find(const char *root, struct competitors *found, struct error *err)
{
    static const char *const parts[] = { "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly",
                                         "/etc/cron.monthly" };
    /* Debian has a folder in the folder where others have the tables. */
    static const char *const tables[] = { "/var/spool/cron/crontabs", "/var/spool/cron",
                                          "/var/spool/cron/tabs" };
    static const char *const units[] = { "/etc/systemd/system", "/run/systemd/system",
                                         "/usr/local/lib/systemd/system",
                                         "/usr/lib/systemd/system" };
    struct search search = { .root = root, .found = found };

    memset(found, 0, sizeof(*found));
    look_into_crontab(&search, "/etc/crontab", true);
    look_into_anacrontab(&search);
    each_file(&search, "/etc/cron.d", false, look_into_system_table);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        each_file(&search, parts[i], false, look_into_part);
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        each_file(&search, tables[i], true, look_into_user_table);
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
        each_file(&search, units[i], true, look_into_service);
    return search.out_of_memory ? error_memory(err) : true;
}

void
competitors_free(struct competitors *found)
{
    free(found->items);
    memset(found, 0, sizeof(*found));
}
