/* catalogue - see catalogue.h: finding symptoms in a text, and what their texts become. */
#include "kpropctl/symptoms/catalogue.h"

#include "kpropctl/base/clean.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNWRAP_MAX = 1500, HINT_CAUSES = 4 };

static const struct symptom *const parts[] = { symptoms_before, symptoms_during, symptoms_after,
                                               symptoms_rows };

const char *
certainty_name(enum certainty certainty)
{
    return certainty == SURE ? "sure" : certainty == LIKELY ? "likely" : "possible";
}

const struct symptom *
catalogue_at(size_t i)
{
    for (size_t part = 0; part < sizeof(parts) / sizeof(*parts); part++) {
        for (const struct symptom *s = parts[part]; s->id != NULL; s++) {
            if (i-- == 0)
                return s;
        }
    }
    return NULL;
}

const struct symptom *
catalogue_find(const char *id)
{
    const struct symptom *s, *seen = NULL;

    for (size_t i = 0; (s = catalogue_at(i)) != NULL; i++) {
        if (strcmp(s->id, id) == 0)
            return s;
        if (seen == NULL && s->check != NULL && strcmp(s->check, id) == 0)
            seen = s;
    }
    return seen;
}

/* --- finding --- */

/* A text made ready: white space and controls are single spaces, lines end in \n. */
struct ready {
    char *plain;
    char *lower; /* the same in lower case, byte for byte */
    size_t len;
};

static bool
ready_init(struct ready *ready, const char *text, size_t len)
{
    size_t n = 0;

    ready->plain = malloc(len + 1);
    ready->lower = malloc(len + 1);
    if (ready->plain == NULL || ready->lower == NULL)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '\0' || c == '\n' || c == '\r')
            c = '\n';
        else if (c < 0x20 || c == 0x7f)
            c = ' ';
        if ((c == ' ' || c == '\n') && n > 0 && ready->plain[n - 1] == ' ')
            n--;
        if ((c == ' ' || c == '\n') && (n == 0 || ready->plain[n - 1] == '\n'))
            continue;
        ready->plain[n] = (char)c;
        ready->lower[n++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    while (n > 0 && (ready->plain[n - 1] == ' ' || ready->plain[n - 1] == '\n'))
        n--;
    ready->plain[n] = ready->lower[n] = '\0';
    ready->len = n;
    return true;
}

/* Make all of it one line; false if it is one already. */
static bool
ready_join(struct ready *ready)
{
    bool joined = false;

    for (size_t i = 0; i < ready->len; i++) {
        if (ready->plain[i] == '\n') {
            ready->plain[i] = ready->lower[i] = ' ';
            joined = true;
        }
    }
    return joined;
}

static void
ready_free(struct ready *ready)
{
    free(ready->plain);
    free(ready->lower);
}

static void
lower_case(const char *text, char *out, size_t size)
{
    size_t n = 0;

    for (; *text != '\0' && n + 1 < size; text++)
        out[n++] = (char)(*text >= 'A' && *text <= 'Z' ? *text - 'A' + 'a' : *text);
    out[n] = '\0';
}

/* The parts of PATTERN between its stars, found one behind the other from LINE to END? */
static bool
matches_rest(const char *pattern, const char *line, const char *end)
{
    while (*pattern != '\0') {
        size_t len = strcspn(pattern, "*$");
        const char *hit = len == 0 ? line : memmem(line, (size_t)(end - line), pattern, len);

        if (pattern[len] == '$') {
            hit = end - line >= (ptrdiff_t)len ? end - len : NULL;
            if (hit != NULL && memcmp(hit, pattern, len) != 0)
                hit = NULL;
        }
        if (hit == NULL)
            return false;
        line = hit + len;
        pattern += len + (pattern[len] != '\0');
    }
    return true;
}

/* The start of the last line that has a sign's TEXT (logs end with what matters), or NULL. */
static const char *
find_sign(const struct ready *ready, const char *text)
{
    const char *p = ready->lower, *end = p + ready->len, *found = NULL;
    char pattern[256];
    bool start = text[0] == '^';
    size_t len;

    lower_case(text + start, pattern, sizeof(pattern));
    len = strcspn(pattern, "*$");
    while ((p = memmem(p, (size_t)(end - p), pattern, len)) != NULL) {
        const char *line = p, *stop = memchr(p, '\n', (size_t)(end - p));

        while (line > ready->lower && line[-1] != '\n')
            line--;
        if (stop == NULL)
            stop = end;
        /* With both anchors and no star the whole line is the pattern. */
        if ((!start || (p == line && (pattern[len] != '$' || stop == p + len))) &&
            matches_rest(pattern, p, stop))
            found = line;
        p = stop;
    }
    return found;
}

/* Bytes of PATTERN that are to be found as they are. */
static size_t
literal_length(const char *pattern)
{
    size_t n = 0;

    for (; pattern != NULL && *pattern != '\0'; pattern++)
        n += strchr("*^$", *pattern) == NULL;
    return n;
}

static bool
better(const struct match *a, const struct match *b)
{
    if (a->sign->certainty != b->sign->certainty)
        return a->sign->certainty > b->sign->certainty;
    return a->line != b->line ? a->line > b->line : a->weight > b->weight;
}

/* The line at OFFSET as text that can be shown anywhere. */
static void
copy_line(const struct ready *ready, size_t offset, char *out, size_t size)
{
    size_t len = strcspn(ready->plain + offset, "\n");
    char line[MATCH_LINE];
    json_t *valid;

    snprintf(line, sizeof(line), "%.*s", (int)(len < sizeof(line) ? len : sizeof(line) - 1),
             ready->plain + offset);
    output_clean(line, false, out, size);
    len = strlen(out);
    while (len > 0 && (unsigned char)out[len - 1] >= 0x80 && ready->plain[offset + len] != '\n' &&
           ready->plain[offset + len] != '\0')
        len--; /* a character may have been cut */
    out[len] = '\0';
    valid = json_string(out);
    for (char *p = out; valid == NULL && *p != '\0'; p++) {
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    }
    json_decref(valid);
}

static bool
try_symptom(const struct ready *ready, const struct symptom *symptom, struct match *best)
{
    best->sign = NULL;
    for (const struct sign *sign = symptom->signs; sign->text != NULL; sign++) {
        struct match one = { symptom, sign, 0, 0, "" };
        const char *line = find_sign(ready, sign->text);

        if (line == NULL || (sign->with != NULL && find_sign(ready, sign->with) == NULL))
            continue;
        one.line = (size_t)(line - ready->lower);
        one.weight = literal_length(sign->text) + literal_length(sign->with);
        if (best->sign == NULL || better(&one, best))
            *best = one;
    }
    return best->sign != NULL;
}

static bool
has_sign(const struct symptom *symptom, const char *text)
{
    for (const struct sign *sign = symptom->signs; sign->text != NULL; sign++) {
        if (strcmp(sign->text, text) == 0)
            return true;
    }
    return false;
}

/* SURE explains what MATCH is only a guess at: the same line, or a text that both may say. */
static bool
rules_out(const struct match *sure, const struct match *match)
{
    return sure->sign->certainty == SURE && match->sign->certainty < SURE &&
           (sure->line == match->line || has_sign(sure->symptom, match->sign->text));
}

static size_t
collect(const struct ready *ready, struct match matches[MATCHES_MAX])
{
    const struct symptom *symptom;
    size_t count = 0, kept = 0;

    for (size_t i = 0; (symptom = catalogue_at(i)) != NULL; i++) {
        struct match one;
        size_t at;

        if (!try_symptom(ready, symptom, &one))
            continue;
        for (at = count; at > 0 && better(&one, &matches[at - 1]); at--) {
            if (at < MATCHES_MAX)
                matches[at] = matches[at - 1];
        }
        if (at < MATCHES_MAX)
            matches[at] = one;
        if (count < MATCHES_MAX)
            count++;
    }
    for (size_t i = 0; i < count; i++) {
        bool out = false;

        for (size_t j = 0; j < kept && !out; j++)
            out = rules_out(&matches[j], &matches[i]);
        if (!out)
            matches[kept++] = matches[i];
    }
    for (size_t i = 0; i < kept; i++)
        copy_line(ready, matches[i].line, matches[i].text, sizeof(matches[i].text));
    return kept;
}

size_t
catalogue_match(const char *text, size_t len, struct match matches[MATCHES_MAX])
{
    struct ready ready = { NULL, NULL, 0 };
    struct match joined[MATCHES_MAX];
    size_t count = 0, joined_count;

    if (ready_init(&ready, text, len))
        count = collect(&ready, matches);
    /* A terminal may have broken the message in two. */
    if ((count == 0 || matches[0].sign->certainty < SURE) && ready.len <= UNWRAP_MAX &&
        ready_join(&ready)) {
        joined_count = collect(&ready, joined);
        if (joined_count > 0 &&
            (count == 0 || joined[0].sign->certainty > matches[0].sign->certainty)) {
            memcpy(matches, joined, sizeof(joined));
            count = joined_count;
        }
    }
    ready_free(&ready);
    return count;
}

/* --- texts --- */

void
catalogue_expand(const char *text, const struct catalogue_names *names, struct buffer *out)
{
    static const char *const words[] = { "REPLICA", "PRIMARY", "REALM" };
    const char *values[] = { names == NULL ? NULL : names->replica,
                             names == NULL ? NULL : names->primary,
                             names == NULL ? NULL : names->realm };

    while (*text != '\0') {
        size_t i;

        for (i = 0; i < 3; i++) {
            if (values[i] != NULL && strncmp(text, words[i], strlen(words[i])) == 0)
                break;
        }
        if (i < 3) {
            buffer_add_string(out, values[i]);
            text += strlen(words[i]);
        } else {
            buffer_add(out, text++, 1);
        }
    }
}

static void
add_hint(const struct match *matches, size_t count, struct buffer *out)
{
    if (matches[0].sign->certainty == POSSIBLE && count > 1) {
        buffer_add_string(out, "it may be that ");
        for (size_t i = 0; i < count && i < HINT_CAUSES; i++)
            buffer_printf(out, "%s%s", i > 0 ? ", or that " : "", matches[i].symptom->title);
        return;
    }
    buffer_printf(out, "%s%s: %.*s", matches[0].sign->certainty == SURE ? "" : "probably ",
                  matches[0].symptom->title, (int)strcspn(matches[0].symptom->remedy, "\n"),
                  matches[0].symptom->remedy);
}

int
catalogue_hint(const char *text, const struct catalogue_names *names, char *hint, size_t size)
{
    struct match matches[MATCHES_MAX];
    size_t count = catalogue_match(text, strlen(text), matches);
    struct buffer raw, out;

    hint[0] = '\0';
    if (count == 0)
        return 0;
    buffer_init(&raw, 16384);
    buffer_init(&out, 65536);
    add_hint(matches, count, &raw);
    catalogue_expand(buffer_string(&raw), names, &out);
    snprintf(hint, size, "%s", buffer_string(&out));
    buffer_free(&raw);
    buffer_free(&out);
    return (int)matches[0].sign->certainty;
}
