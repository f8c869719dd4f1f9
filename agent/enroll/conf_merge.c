/* conf_merge - see conf_merge.h. */
#include "agent/enroll/conf_merge.h"
#include "agent/enroll/conf_text.h"
#include "common/base/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

void
conf_plan_free(struct conf_plan *plan)
{
    buffer_free(&plan->text);
    json_decref(plan->differences);
    plan->differences = NULL;
}

static void
indent(struct buffer *text, size_t depth)
{
    while (depth-- > 0)
        buffer_add_string(text, "\t");
}

/* How many sections PATH (ended by NULL) has before its last name; 0 for NULL. */
static size_t
depth_of(const char *const *path)
{
    size_t n = 0;

    while (path != NULL && path[n] != NULL)
        n++;
    return n > 0 ? n - 1 : 0;
}

/* Close the sections of FROM that are not TO's, open those of TO that are not FROM's. */
static void
move_to(const char *const *from, const char *const *to, struct buffer *text)
{
    size_t old = depth_of(from), new = depth_of(to), same = 0;

    while (same < old && same < new &&strcmp(from[same], to[same]) == 0)
        same++;
    for (size_t i = old; i > same && i > 1; i--) {
        indent(text, i - 1);
        buffer_add_string(text, "}\n");
    }
    for (size_t i = same; i < new; i++) {
        if (i == 0) {
            buffer_printf(text, "%s[%s]\n", text->len > 0 ? "\n" : "", to[0]);
            continue;
        }
        indent(text, i);
        buffer_printf(text, "%s = {\n", to[i]);
    }
}

static void
render_values(const struct conf_relation *r, char *const *values, char *const *but,
              struct buffer *text)
{
    size_t depth = conf_count(r->names) - 1;

    for (; *values != NULL; values++) {
        if (conf_has(but, *values))
            continue;
        indent(text, depth);
        buffer_printf(text, "%s = ", r->names[depth]);
        conf_add_value(text, *values);
        buffer_add_string(text, "\n");
    }
}

static const char *const *
names_of(const struct conf_relation *r)
{
    return (const char *const *)(uintptr_t)r->names;
}

void
conf_render(const struct conf_wanted *wanted, struct buffer *text)
{
    static const char *const nowhere[] = { "", NULL };
    const char *const *at = nowhere;

    for (size_t i = 0; i < wanted->count; i++) {
        move_to(at, names_of(&wanted->list[i]), text);
        render_values(&wanted->list[i], wanted->list[i].values, NULL, text);
        at = names_of(&wanted->list[i]);
    }
    move_to(at, nowhere, text);
}

/* What is to be done about one relation. */
enum action { NOTHING, ADD, KEEP, REPLACE, CONFLICT };

static enum action
judge(const struct conf_relation *r, char *const *here, bool replace)
{
    size_t common = 0, wanted = conf_count(r->values);
    enum action differs = replace ? REPLACE : CONFLICT;

    if (here == NULL || here[0] == NULL)
        return ADD;
    for (size_t i = 0; i < wanted; i++)
        common += conf_has(here, r->values[i]);
    switch (r->rule) {
    case CONF_OURS:
        return strcmp(here[0], r->values[0]) == 0 ? NOTHING : KEEP;
    case CONF_SINGLE:
        return strcmp(here[0], r->values[0]) == 0 ? NOTHING : differs;
    case CONF_YIELDS:
        return strcmp(here[0], r->values[0]) == 0 ? NOTHING : REPLACE;
    case CONF_LIST:
        return common == wanted ? NOTHING : common > 0 ? ADD : differs;
    }
    return CONFLICT;
}

static json_t *
string_array(char *const *list)
{
    json_t *array = json_array();

    for (; list != NULL && *list != NULL; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

static void
tell(json_t *differences, const struct conf_relation *r, char *const *here, enum action action)
{
    static const char *const words[] = { "", "add", "keep", "replace", "conflict" };
    struct buffer name;
    json_t *row;

    if (action == NOTHING)
        return;
    buffer_init(&name, 4096);
    buffer_printf(&name, "[%s]", r->names[0]);
    for (size_t i = 1; r->names[i] != NULL; i++)
        buffer_printf(&name, " %s", r->names[i]);
    row = json_pack("{s:s, s:o, s:o, s:s}", "relation", buffer_string(&name), "here",
                    string_array(here), "bundle", string_array(r->values), "action", words[action]);
    if (row != NULL)
        json_array_append_new(differences, row);
    buffer_free(&name);
}

/* What merging needs of one file. */
struct merge {
    const char *path;
    const struct conf_wanted *wanted;
    profile_t profile;    /* the file as it is; NULL if there is none */
    struct buffer old;    /* its text */
    enum action *actions; /* for each wanted */
    bool *written;        /* likewise: it is in the new text */
};

static char **
values_of(profile_t profile, char *const *names)
{
    char **values = NULL;

    if (profile == NULL ||
        profile_get_values(profile, (const char **)(uintptr_t)names, &values) != 0)
        return NULL;
    return values;
}

static bool
names_equal(char *const *a, const char *const *b)
{
    size_t i = 0;

    for (; a[i] != NULL && b[i] != NULL; i++) {
        if (strcmp(a[i], b[i]) != 0)
            return false;
    }
    return a[i] == NULL && b[i] == NULL;
}

static bool
is_replaced(void *arg, const char *const *names)
{
    const struct merge *m = arg;

    for (size_t i = 0; i < m->wanted->count; i++) {
        if (m->actions[i] == REPLACE && names_equal(m->wanted->list[i].names, names))
            return true;
    }
    return false;
}

/* Is R in the section whose DEPTH names begin PATH, or in a section below it? */
static bool
is_below(const struct conf_relation *r, const char *const *path, size_t depth)
{
    for (size_t i = 0; i < depth; i++) {
        if (r->names[i] == NULL || strcmp(r->names[i], path[i]) != 0)
            return false;
    }
    return r->names[depth] != NULL;
}

/*
 * Write what is to be added below section PATH (a last name follows its own), unless it has been
 * written. Older libprofiles know the first subsection of a name alone, so this has its place in
 * one that is there.
 */
static void
write_below(const struct merge *m, const char *const *path, struct buffer *text)
{
    const char *const *at = path;

    for (size_t i = 0; i < m->wanted->count; i++) {
        const struct conf_relation *r = &m->wanted->list[i];
        char **here = NULL;

        if ((m->actions[i] != ADD && m->actions[i] != REPLACE) || m->written[i] ||
            !is_below(r, path, depth_of(path)))
            continue;
        if (m->actions[i] == ADD)
            here = values_of(m->profile, r->names);
        move_to(at, names_of(r), text);
        render_values(r, r->values, here, text);
        profile_free_list(here);
        at = names_of(r);
        m->written[i] = true;
    }
    move_to(at, path, text);
}

static void
insert(void *arg, const char *const *names, struct buffer *text)
{
    const char *path[CONF_DEPTH + 2];
    size_t n = 0;

    for (; names[n] != NULL; n++)
        path[n] = names[n];
    path[n] = "";
    path[n + 1] = NULL;
    write_below(arg, path, text);
}

static void
write_merged(struct merge *m, struct buffer *text)
{
    static const char *const nowhere[] = { "", NULL };
    struct buffer added;

    buffer_init(&added, FILE_MAX);
    conf_edit((const char *)m->old.data, m->old.len, is_replaced, insert, m, text);
    if (text->len > 0 && text->data[text->len - 1] != '\n')
        buffer_add_string(text, "\n");
    write_below(m, nowhere, &added);
    if (text->len > 0 && added.len > 0)
        buffer_add_string(text, "\n");
    buffer_add(text, added.data, added.len);
    text->failed = text->failed || added.failed;
    buffer_free(&added);
}

/* libprofile must find in the new text what was wanted. */
static bool
prove(const struct merge *m, struct buffer *text, struct error *err)
{
    profile_t profile;
    bool ok = true;
    int fd;

    if (text->failed)
        return error_set(err, ERROR_REFUSED, "cannot merge into %s: it would be too large",
                         m->path);
    if (!conf_open_text(m->path, (const char *)text->data, text->len, false, &profile, &fd, err))
        return false;
    for (size_t i = 0; ok && i < m->wanted->count; i++) {
        const struct conf_relation *r = &m->wanted->list[i];
        char **here = values_of(profile, r->names);
        enum action left = judge(r, here, false);

        if (left != NOTHING && left != KEEP) {
            error_set(err, ERROR_REFUSED,
                      "cannot merge into %s: '%s' of [%s] would stay '%s' instead of '%s'", m->path,
                      r->names[conf_count(r->names) - 1], r->names[0],
                      here != NULL && here[0] != NULL ? here[0] : "", r->values[0]);
            ok = error_hint(err, "it stands in a file that %s includes: change it there by hand",
                            m->path);
        }
        profile_free_list(here);
    }
    conf_close(profile, fd);
    return ok;
}

/* The file, if there is one, as text and as libprofile reads it. */
static bool
open_file(struct merge *m, struct error *err)
{
    const_profile_filespec_t files[] = { m->path, NULL };
    long code;

    if (access(m->path, F_OK) != 0 && errno == ENOENT)
        return true;
    if (!file_read(m->path, &m->old, err))
        return false;
    code = profile_init(files, &m->profile);
    if (code == 0)
        return true;
    m->profile = NULL;
    return conf_failed(m->path, code, err);
}

static void
decide(struct merge *m, bool replace, struct conf_plan *plan)
{
    plan->result = CONF_SAME;
    for (size_t i = 0; i < m->wanted->count; i++) {
        char **here = values_of(m->profile, m->wanted->list[i].names);
        enum action action = judge(&m->wanted->list[i], here, replace);

        m->actions[i] = action;
        tell(plan->differences, &m->wanted->list[i], here, action);
        profile_free_list(here);
        if (action == CONFLICT)
            plan->result = CONF_CONFLICT;
        else if ((action == ADD || action == REPLACE) && plan->result == CONF_SAME)
            plan->result = CONF_MERGED;
    }
    if (m->profile == NULL)
        plan->result = CONF_NEW;
}

bool
conf_merge(const char *path, const struct conf_wanted *wanted, bool replace, struct conf_plan *plan,
           struct error *err)
{
    struct merge m = { .path = path, .wanted = wanted };
    bool ok = false;

    memset(plan, 0, sizeof(*plan));
    buffer_init(&plan->text, FILE_MAX);
    buffer_init(&m.old, FILE_MAX);
    m.actions = calloc(wanted->count + 1, sizeof(*m.actions));
    m.written = calloc(wanted->count + 1, sizeof(*m.written));
    plan->differences = json_array();
    if (m.actions == NULL || m.written == NULL || plan->differences == NULL) {
        error_memory(err);
        goto cleanup;
    }
    if (!open_file(&m, err))
        goto cleanup;
    decide(&m, replace, plan);
    ok = true;
    if (plan->result == CONF_NEW || plan->result == CONF_MERGED) {
        write_merged(&m, &plan->text);
        ok = prove(&m, &plan->text, err);
    }

cleanup:
    free(m.actions);
    free(m.written);
    if (m.profile != NULL)
        profile_release(m.profile);
    buffer_free(&m.old);
    return ok;
}
