/* roster - see roster.h. */
#include "kpropctl/state/roster.h"

#include "common/base/buffers.h"
#include "common/base/files.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20 };

static bool
file_name(const char *dir, const char *realm, char *path, size_t size)
{
    return strchr(realm, '/') == NULL &&
           snprintf(path, size, "%s/%s.replicas", dir, realm) < (int)size;
}

static json_t *
read_names(const char *path)
{
    struct error ignored;
    struct buffer text;
    json_t *names = NULL;

    buffer_init(&text, FILE_LIMIT);
    if (file_read(path, &text, &ignored))
        names = json_loadb((const char *)text.data, text.len, 0, NULL);
    buffer_free(&text);
    return names;
}

void
roster_keep(const char *dir, const char *realm, const json_t *replicas)
{
    json_t *names = json_array(), *before, *replica;
    struct error ignored;
    char path[PATH_MAX], *text = NULL;
    size_t index;

    if (!file_name(dir, realm, path, sizeof(path))) {
        json_decref(names);
        return;
    }
    json_array_foreach(replicas, index, replica)
        json_array_append(names, json_object_get(replica, "host"));
    before = read_names(path);
    if (!json_equal(before, names))
        text = json_dumps(names, JSON_INDENT(1));
    if (text != NULL)
        file_replace(path, text, strlen(text), 0640, &ignored);
    free(text);
    json_decref(before);
    json_decref(names);
}

json_t *
roster_recall(const char *dir, const char *realm)
{
    char path[PATH_MAX];
    json_t *names, *replicas, *name;
    size_t index;

    if (!file_name(dir, realm, path, sizeof(path)))
        return NULL;
    names = read_names(path);
    replicas = json_array();
    json_array_foreach(names, index, name)
    {
        if (json_is_string(name))
            json_array_append_new(replicas, json_pack("{s:O}", "host", name));
    }
    json_decref(names);
    if (json_array_size(replicas) > 0)
        return replicas;
    json_decref(replicas);
    return NULL;
}
