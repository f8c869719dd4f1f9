/* conf_text - see conf_text.h. */
#include "agent/enroll/conf_text.h"
#include "agent/enroll/conf_wanted.h"

#include <string.h>

/* Where in the tree a line stands. Names point into copies below. */
struct place {
    char names[CONF_DEPTH][128];
    size_t depth;     /* 0: before any section */
    size_t unknown;   /* subsections deeper, or with longer names, than we follow */
    bool wants_brace; /* "name =" stood alone: the brace must come */
};

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static const char *
skip_blanks(const char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    return p;
}

static void
enter(struct place *place, const char *name, size_t len)
{
    if (place->unknown > 0 || place->depth >= CONF_DEPTH - 1 || len >= sizeof(place->names[0])) {
        place->unknown++;
        return;
    }
    memcpy(place->names[place->depth], name, len);
    place->names[place->depth++][len] = '\0';
}

static void
leave(struct place *place)
{
    if (place->unknown > 0)
        place->unknown--;
    else if (place->depth > 1)
        place->depth--;
}

static void
section_line(struct place *place, const char *p, const char *end)
{
    const char *close = memchr(p, ']', (size_t)(end - p));

    if (close == NULL)
        return;
    place->depth = 0;
    place->unknown = 0;
    enter(place, p + 1, (size_t)(close - p - 1));
}

/* Is what follows "=" the begin of a subsection? */
static bool
opens(struct place *place, const char *p, const char *end)
{
    p = skip_blanks(p, end);
    if (p == end) {
        place->wants_brace = true;
        return true;
    }
    return *p == '{' && skip_blanks(p + 1, end) == end;
}

/* A line "name = …"; true if DROP wants it gone. */
static bool
relation_line(struct place *place, const char *p, const char *end, conf_drop_fn *drop, void *arg)
{
    const char *equals = memchr(p, '=', (size_t)(end - p)), *names[CONF_DEPTH + 1];
    char name[128];
    size_t len = 0, n;

    if (equals == NULL)
        return false;
    while (p + len < equals && !is_blank(p[len]) && p[len] != '*')
        len++;
    if (opens(place, equals + 1, end)) {
        enter(place, p, len);
        return false;
    }
    if (place->unknown > 0 || place->depth == 0 || len >= sizeof(name))
        return false;
    memcpy(name, p, len);
    name[len] = '\0';
    for (n = 0; n < place->depth; n++)
        names[n] = place->names[n];
    names[n++] = name;
    names[n] = NULL;
    return drop(arg, names);
}

static bool
is_directive(const char *p, size_t len)
{
    static const char *const words[] = { "include", "includedir", "module" };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        size_t n = strlen(words[i]);

        if (len > n && memcmp(p, words[i], n) == 0 && is_blank(p[n]))
            return true;
    }
    return false;
}

/* One line without its end: follow it, and say whether it goes. */
static bool
follow(struct place *place, const char *line, size_t len, conf_drop_fn *drop, void *arg)
{
    const char *end = line + len, *p = skip_blanks(line, end);

    if (is_directive(line, len))
        return false;
    if (place->wants_brace) {
        place->wants_brace = false;
        return false;
    }
    if (p == end || *p == '#' || *p == ';')
        return false;
    if (place->depth == 0 && place->unknown == 0 && *line != '[')
        return false;
    if (*p == '[')
        section_line(place, p, end);
    else if (*p == '}')
        leave(place);
    else
        return relation_line(place, p, end, drop, arg);
    return false;
}

/* libprofile reads at most so many characters at once (BUF_SIZE in prof_parse.c): the rest of a
 * longer line is a line to it. */
enum { PIECE_MAX = 2047 };

static size_t
line_length(const char *p, size_t left)
{
    const char *newline = memchr(p, '\n', left);

    return newline == NULL ? left : (size_t)(newline - p);
}

/* Does LINE end the subsection that PLACE is in? Then its names. */
static bool
ends(const struct place *place, const char *line, size_t len, const char **names)
{
    const char *p = skip_blanks(line, line + len);

    if (p == line + len || *p != '}' || place->wants_brace || place->unknown > 0 ||
        place->depth < 2)
        return false;
    for (size_t i = 0; i < place->depth; i++)
        names[i] = place->names[i];
    names[place->depth] = NULL;
    return true;
}

void
conf_edit(const char *text, size_t len, conf_drop_fn *drop, conf_insert_fn *insert, void *arg,
          struct buffer *out)
{
    struct place place = { .depth = 0 };
    const char *names[CONF_DEPTH + 1];

    for (size_t at = 0, n; at < len; at += n) {
        n = line_length(text + at, len - at);
        if (ends(&place, text + at, n, names))
            insert(arg, names, out);
        if (follow(&place, text + at, n, drop, arg))
            buffer_add_string(out, "# ");
        if (at + n < len)
            n++;
        buffer_add(out, text + at, n);
    }
}

bool
conf_has_includes(const char *text, size_t len)
{
    for (size_t at = 0, n; at < len; at += n) {
        n = line_length(text + at, len - at);
        n += at + n < len ? 1 : 0;
        n = n > PIECE_MAX ? PIECE_MAX : n;
        if (is_directive(text + at, n))
            return true;
    }
    return false;
}

void
conf_add_value(struct buffer *out, const char *value)
{
    size_t len = strlen(value);
    bool plain = len > 0 && !is_blank(value[0]) && !is_blank(value[len - 1]) && value[0] != '"' &&
                 value[0] != '{' && strpbrk(value, "\n\b") == NULL;

    if (plain) {
        buffer_add_string(out, value);
        return;
    }
    buffer_add_string(out, "\"");
    for (; *value != '\0'; value++) {
        if (*value == '\n')
            buffer_add_string(out, "\\n");
        else if (*value == '\t')
            buffer_add_string(out, "\\t");
        else if (*value == '\b')
            buffer_add_string(out, "\\b");
        else
            buffer_printf(out, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
    }
    buffer_add_string(out, "\"");
}
