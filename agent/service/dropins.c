/* dropins - see dropins.h. The syntax is that of systemd.syntax(7). */
#include "agent/service/dropins.h"

#include "common/base/files.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "/etc/systemd/system"

enum { MAX_UNIT = 256 * 1024 };

bool
dropins_path(const char *unit, const char *name, char *path, size_t size, struct error *err)
{
    if (strchr(unit, '/') == NULL &&
        snprintf(path, size, FOLDER "/%s.d/%s", unit, name) < (int)size)
        return true;
    return error_set(err, ERROR_INTERNAL, "cannot name a drop-in of unit '%s'", unit);
}

/*
 * The next logical line of *TEXT into LINE: a backslash at the end joins the next line with a
 * blank, comments and blank lines are skipped (also inside of a continuation). False at the end.
 */
static bool
next_line(const char **text, struct buffer *line)
{
    bool more = false;

    buffer_reset(line);
    while (**text != '\0') {
        const char *p = *text + strspn(*text, " \t");
        size_t len = strcspn(p, "\n");

        *text = p + len + (p[len] == '\n');
        if (*p == '#' || *p == ';' || (len == 0 && !more))
            continue;
        while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t' || p[len - 1] == '\r'))
            len--;
        more = len > 0 && p[len - 1] == '\\';
        buffer_add(line, p, more ? len - 1 : len);
        if (!more)
            return true;
        buffer_add_u8(line, ' ');
    }
    return line->len > 0;
}

/* VALUE of an ExecStart= line: empty forgets what was, else it is the command. */
static bool
take_exec_start(const char *value, char **command, struct error *err)
{
    size_t len;

    while (isspace((unsigned char)*value))
        value++;
    for (len = strlen(value); len > 0 && isspace((unsigned char)value[len - 1]); len--)
        continue;
    if (len == 0) {
        free(*command);
        *command = NULL;
        return true;
    }
    if (*command != NULL)
        return error_set(err, ERROR_REFUSED, "cannot add the loader: ExecStart has several lines");
    *command = strndup(value, len);
    return *command != NULL || error_memory(err);
}

bool
dropins_exec_start(const char *text, char **command, struct error *err)
{
    static const char key[] = "ExecStart";
    struct buffer line;
    bool ok = true, service = false;

    buffer_init(&line, MAX_UNIT);
    while (ok && next_line(&text, &line)) {
        const char *s = buffer_string(&line);

        if (*s == '[') {
            service = strncmp(s, "[Service]", 9) == 0;
        } else if (service && strncmp(s, key, sizeof(key) - 1) == 0) {
            s += sizeof(key) - 1;
            s += strspn(s, " \t");
            if (*s == '=')
                ok = take_exec_start(s + 1, command, err);
        }
    }
    if (ok && line.failed)
        ok = error_set(err, ERROR_FAILED, "cannot read a unit: a line is too long");
    buffer_free(&line);
    return ok;
}

/* True if a word of COMMAND behind the first is -p or begins with it. */
static bool
names_a_program(const char *command)
{
    const char *p = command;

    while ((p = strstr(p, "-p")) != NULL) {
        if (p > command && isspace((unsigned char)p[-1]))
            return true;
        p += 2;
    }
    return false;
}

bool
dropins_loader_text(const char *command, const char *loader, const char *state, struct buffer *out,
                    struct error *err)
{
    if (names_a_program(command)) {
        error_set(err, ERROR_REFUSED,
                  "cannot make kpropd use the loader: its unit names another program (%s)",
                  command);
        return error_hint(err, "Take the option -p out of kpropd's unit and its drop-ins");
    }
    buffer_printf(out,
                  "# Written by kpropctl-agent: kpropd loads databases with a program that checks\n"
                  "# them before they become live. Removed together with the package.\n"
                  "[Service]\n"
                  "ExecStart=\n"
                  "ExecStart=%s -p %s\n"
                  "ReadWritePaths=-%s\n",
                  command, loader, state);
    return !out->failed || error_memory(err);
}

bool
dropins_write(const char *unit, const char *name, const char *text, bool *changed,
              struct error *err)
{
    char path[PATH_MAX], folder[PATH_MAX];
    struct error ignored;
    struct buffer old;
    bool same;

    *changed = false;
    if (!dropins_path(unit, name, path, sizeof(path), err))
        return false;
    buffer_init(&old, MAX_UNIT);
    error_clear(&ignored);
    same = file_read(path, &old, &ignored) && strcmp(buffer_string(&old), text) == 0;
    buffer_free(&old);
    if (same)
        return true;
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    *changed =
        file_make_folder(folder, 0755, err) && file_replace(path, text, strlen(text), 0644, err);
    return *changed;
}
