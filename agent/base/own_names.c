/* own_names - see own_names.h. */
#include "agent/base/own_names.h"

#include "common/base/buffers.h"
#include "common/base/files.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { FILE_SIZE_MAX = 1 << 20 };

static const char blanks[] = " \t\r\v\f", separators[] = " \t,";

bool
own_names_has(const struct own_names *names, const char *name, size_t len)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strlen(names->list[i]) == len && strncasecmp(names->list[i], name, len) == 0)
            return true;
    }
    return false;
}

/* Every host is called so by itself: its name is no host's. */
static bool
is_loopback(const char *name, size_t len)
{
    static const char *const begins[] = { "localhost", "ip6-" };

    for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++) {
        size_t n = strlen(begins[i]);

        if (len >= n && strncasecmp(name, begins[i], n) == 0)
            return true;
    }
    return false;
}

static void
add(struct own_names *names, const char *name, size_t len)
{
    if (len > 0 && name[len - 1] == '.')
        len--;
    if (len == 0 || len >= OWN_NAME_SIZE || names->count == OWN_NAMES_MAX ||
        is_loopback(name, len) || own_names_has(names, name, len))
        return;
    memcpy(names->list[names->count], name, len);
    names->list[names->count++][len] = '\0';
}

/* The next word of the line that ends at END, from *P; false if there is none. */
static bool
next_word(const char **p, const char *end, const char **word, size_t *len)
{
    while (*p < end && strchr(blanks, **p) != NULL)
        (*p)++;
    *word = *p;
    while (*p < end && strchr(blanks, **p) == NULL)
        (*p)++;
    *len = (size_t)(*p - *word);
    return *len > 0;
}

/* A line of hosts(5), its address passed over: take its names if HOSTNAME is among them. */
static void
take_hosts_line(const char *line, const char *end, const char *hostname, struct own_names *names)
{
    const char *word, *p = line;
    bool ours = false;
    size_t len;

    if (!next_word(&p, end, &word, &len))
        return;
    line = p;
    while (next_word(&p, end, &word, &len))
        ours = ours || (len == strlen(hostname) && strncasecmp(word, hostname, len) == 0);
    while (ours && next_word(&line, end, &word, &len))
        add(names, word, len);
}

static void
take_hosts(const char *text, const char *hostname, struct own_names *names)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n"), said = strcspn(text, "#\n");

        take_hosts_line(text, text + said, hostname, names);
        text += len + (text[len] == '\n');
    }
}

/* Of several lines `search` and `domain` the last one counts. */
static void
take_domains(const char *text, const char *hostname, struct own_names *names)
{
    const char *line = NULL, *end = NULL, *word;
    char name[OWN_NAME_SIZE];
    size_t len;

    while (*text != '\0') {
        const char *p = text, *stop = text + strcspn(text, "\n#;");

        if (next_word(&p, stop, &word, &len) && ((len == 6 && memcmp(word, "search", len) == 0) ||
                                                 (len == 6 && memcmp(word, "domain", len) == 0))) {
            line = p;
            end = stop;
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    while (line != NULL && next_word(&line, end, &word, &len)) {
        int size = snprintf(name, sizeof(name), "%s.%.*s", hostname, (int)len, word);

        if (size > 0 && (size_t)size < sizeof(name) && *word != '.')
            add(names, name, (size_t)size);
    }
}

void
own_names_gather(const char *hostname, const char *hosts, const char *resolv, const char *more,
                 struct own_names *names)
{
    names->count = 0;
    add(names, hostname, strlen(hostname));
    if (names->count > 0) {
        take_hosts(hosts, hostname, names);
        if (strchr(hostname, '.') == NULL)
            take_domains(resolv, hostname, names);
    }
    while (more != NULL && *(more += strspn(more, separators)) != '\0') {
        size_t len = strcspn(more, separators);

        add(names, more, len);
        more += len;
    }
}

void
own_names_read(const char *more, struct own_names *names)
{
    char hostname[OWN_NAME_SIZE] = "";
    struct buffer hosts, resolv;
    struct error ignored;

    gethostname(hostname, sizeof(hostname) - 1);
    buffer_init(&hosts, FILE_SIZE_MAX);
    buffer_init(&resolv, FILE_SIZE_MAX);
    if (!file_read(OWN_NAMES_HOSTS, &hosts, &ignored))
        buffer_reset(&hosts);
    if (!file_read(OWN_NAMES_RESOLV, &resolv, &ignored))
        buffer_reset(&resolv);
    own_names_gather(hostname, buffer_string(&hosts), buffer_string(&resolv), more, names);
    buffer_free(&hosts);
    buffer_free(&resolv);
}

bool
own_names_listed(const char *list, const char *word)
{
    while (list != NULL && *(list += strspn(list, separators)) != '\0') {
        size_t len = strcspn(list, separators);

        if (strlen(word) == len && memcmp(list, word, len) == 0)
            return true;
        list += len;
    }
    return false;
}
