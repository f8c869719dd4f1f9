/* explain_output - see explain_output.h. */
#include "kpropctl/output/explain_output.h"

#include "kpropctl/checks/checks.h"

#include <stdio.h>
#include <string.h>

enum { LABEL = 10, NARROWEST = 40, FULL_MAX = 3, LINES_MAX = 8, ID_WIDTH = 26 };

static const char *const next_steps[] = {
    "kpropctl setup-slave --dry-run HOST   looks at everything that must hold, changes nothing",
    "kpropctl port --why HOST              says who holds kpropd's port, seen or not",
    "kpropctl explain                      lists what is known",
    "journalctl -u krb5-kpropd -n 30       on the replica: the reason that kprop hides",
};

enum { NEXT_STEPS = sizeof(next_steps) / sizeof(*next_steps) };

static bool
is_command(const char *line)
{
    return strncmp(line, "primary# ", 9) == 0 || strncmp(line, "replica# ", 9) == 0;
}

/* --- for people --- */

static void
indent(unsigned columns, struct buffer *out)
{
    buffer_printf(out, "%*s", (int)columns, "");
}

/* LEN bytes of TEXT in words, the first line from column AT on, the others from column FROM. */
static void
wrap(const char *text, size_t len, unsigned at, unsigned from, unsigned width, struct buffer *out)
{
    const char *end = text + len;
    bool first = true;

    while (text < end) {
        const char *stop = memchr(text, ' ', (size_t)(end - text));
        size_t word = (size_t)((stop == NULL ? end : stop) - text);

        if (!first && at + 1 + word > width) {
            buffer_add_string(out, "\n");
            indent(from, out);
            at = from;
        } else if (!first) {
            buffer_add_string(out, " ");
            at++;
        }
        buffer_add(out, text, word);
        at += (unsigned)word;
        text += word + (stop != NULL);
        first = false;
    }
    buffer_add_string(out, "\n");
}

/* The lines of TEXT behind LABEL: commands as they are, the rest wrapped. */
static void
print_block(const char *label, const char *text, unsigned width, struct buffer *out)
{
    if (text == NULL)
        return;
    buffer_printf(out, "  %-*s", LABEL - 2, label);
    for (bool first = true; *text != '\0'; first = false) {
        size_t len = strcspn(text, "\n");

        if (!first)
            indent(LABEL, out);
        wrap(text, len, LABEL, LABEL, is_command(text) ? ~0U : width, out);
        text += len + (text[len] != '\0');
    }
}

static const struct check *
find_check(const char *id)
{
    for (const struct check *check = checks; id != NULL && check->id != NULL; check++) {
        if (strcmp(check->id, id) == 0)
            return check;
    }
    return NULL;
}

static void
print_body(const struct symptom *symptom, bool doubtful, unsigned width, struct buffer *out)
{
    const struct check *check = find_check(symptom->check);
    char text[256];

    print_block("cause", symptom->cause, width, out);
    if (doubtful && symptom->apart != NULL) {
        snprintf(text, sizeof(text), "it is this one if %s", symptom->apart);
        print_block("apart", text, width, out);
    }
    print_block("see", symptom->look, width, out);
    print_block("remedy", symptom->remedy, width, out);
    if (check != NULL) {
        snprintf(text, sizeof(text), "%s: %s", check->id, check->title);
        print_block("check", text, width, out);
    }
}

static void
print_heading(const struct symptom *symptom, const char *how, unsigned width, struct buffer *out)
{
    char text[512];

    snprintf(text, sizeof(text), "%s%s: %s", symptom->id, how, symptom->title);
    wrap(text, strlen(text), 0, 2, width, out);
}

static void
print_full(const struct match *match, unsigned width, struct buffer *out)
{
    char how[32];

    snprintf(how, sizeof(how), " (%s)", certainty_name(match->sign->certainty));
    print_heading(match->symptom, how, width, out);
    print_block("text", match->text, width, out);
    print_body(match->symptom, match->sign->certainty < SURE, width, out);
}

static void
print_line(const struct symptom *symptom, const char *text, unsigned width, struct buffer *out)
{
    buffer_printf(out, "  %-*s ", ID_WIDTH, symptom->id);
    wrap(text, strlen(text), ID_WIDTH + 3, ID_WIDTH + 3, width, out);
}

/* TEXT wrapped, line feeds at its start kept. */
static void
print_paragraph(const char *text, unsigned width, struct buffer *out)
{
    for (; *text == '\n'; text++)
        buffer_add_string(out, "\n");
    wrap(text, strlen(text), 0, 0, width, out);
}

/* Each in a few lines, for a choice. */
static void
print_ambiguous(const struct match *matches, size_t count, unsigned width, struct buffer *out)
{
    buffer_printf(out, "%s\n\nThis has several possible causes:\n\n", matches[0].text);
    for (size_t i = 0; i < count && i < LINES_MAX; i++) {
        const struct symptom *symptom = matches[i].symptom;
        char remedy[512];

        print_heading(symptom, "", width, out);
        print_block("if", symptom->apart != NULL ? symptom->apart : "nothing else fits", width,
                    out);
        snprintf(remedy, sizeof(remedy), "%.*s", (int)strcspn(symptom->remedy, "\n"),
                 symptom->remedy);
        print_block("remedy", remedy, width, out);
    }
    print_paragraph(
        "\n'kpropctl explain ID' tells more of one. Pasted together with what the other "
        "host's log says, the text tells which it is.",
        width, out);
}

static void
print_next(struct buffer *out)
{
    buffer_printf(out, "Nothing is known of this text. What helps further:\n");
    for (size_t i = 0; i < NEXT_STEPS; i++)
        buffer_printf(out, "  %s\n", next_steps[i]);
}

void
explain_print(const struct match *matches, size_t count, unsigned width, struct buffer *out)
{
    enum certainty best = count > 0 ? matches[0].sign->certainty : POSSIBLE;
    size_t full = 0;

    width = width < NARROWEST ? NARROWEST : width;
    if (count == 0) {
        print_next(out);
        return;
    }
    if (best == POSSIBLE && count > 1) {
        print_ambiguous(matches, count, width, out);
        return;
    }
    for (; full < count && full < FULL_MAX && matches[full].sign->certainty == best; full++) {
        if (full > 0)
            buffer_add_string(out, "\n");
        print_full(&matches[full], width, out);
    }
    if (full == count)
        return;
    buffer_printf(out, "\nLess likely, or another trouble ('kpropctl explain ID' for more):\n");
    for (size_t i = full; i < count && i < full + LINES_MAX; i++)
        print_line(matches[i].symptom, matches[i].symptom->title, width, out);
}

void
explain_print_symptom(const struct symptom *symptom, unsigned width, struct buffer *out)
{
    const struct symptom *other;
    bool first = true;

    width = width < NARROWEST ? NARROWEST : width;
    print_heading(symptom, "", width, out);
    print_body(symptom, true, width, out);
    for (size_t i = 0; symptom->check != NULL && (other = catalogue_at(i)) != NULL; i++) {
        if (other == symptom || other->check == NULL || strcmp(other->check, symptom->check) != 0)
            continue;
        if (first)
            buffer_printf(out, "  %-*s%s", LABEL - 2, "also", other->id);
        else
            buffer_printf(out, ", %s", other->id);
        first = false;
    }
    if (!first)
        buffer_add_string(out, "\n");
}

void
explain_print_list(unsigned width, struct buffer *out)
{
    const struct symptom *symptom;

    width = width < NARROWEST ? NARROWEST : width;
    buffer_printf(out, "Paste what you saw behind 'kpropctl explain', or pipe it in; or name one "
                       "of these:\n");
    for (size_t i = 0; (symptom = catalogue_at(i)) != NULL; i++)
        print_line(symptom, symptom->title, width, out);
}

/* --- for programs --- */

static json_t *
text_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

/* The lines of TEXT as an array. */
static json_t *
lines_json(const char *text)
{
    json_t *array = json_array();

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");

        json_array_append_new(array, json_stringn(text, len));
        text += len + (text[len] != '\0');
    }
    return array;
}

json_t *
explain_symptom_json(const struct symptom *symptom)
{
    json_t *where = json_array();

    if (symptom->where & ON_PRIMARY)
        json_array_append_new(where, json_string("primary"));
    if (symptom->where & ON_REPLICA)
        json_array_append_new(where, json_string("replica"));
    return json_pack("{s:s, s:s, s:o, s:s, s:o, s:s, s:o, s:o, s:o}", "id", symptom->id, "title",
                     symptom->title, "check", text_or_null(symptom->check), "program",
                     symptom->program, "where", where, "cause", symptom->cause, "apart",
                     text_or_null(symptom->apart), "see", lines_json(symptom->look), "remedy",
                     lines_json(symptom->remedy));
}

json_t *
explain_json(const struct match *matches, size_t count)
{
    json_t *array = json_array(), *next = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *one = explain_symptom_json(matches[i].symptom);

        if (matches[i].sign != NULL) {
            json_object_set_new(one, "certainty",
                                json_string(certainty_name(matches[i].sign->certainty)));
            json_object_set_new(one, "text", json_string(matches[i].text));
        }
        json_array_append_new(array, one);
    }
    for (size_t i = 0; count == 0 && i < NEXT_STEPS; i++)
        json_array_append_new(next, json_string(next_steps[i]));
    return json_pack("{s:o, s:o}", "matches", array, "next", next);
}
