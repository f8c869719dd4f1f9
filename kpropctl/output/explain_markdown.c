/* explain_markdown - docs/symptoms.md out of the catalogue. */
#include "kpropctl/output/explain_output.h"

#include <string.h>

static const char intro[] =
    "# Symptoms\n"
    "\n"
    "What kprop, kpropd, krb5kdc, kadmind, kdb5_util and kpropctl say when something is wrong with "
    "the replication of a realm: why, how to see it, what to do. `kpropctl explain` has the same "
    "at hand on every primary: paste what you saw, lines of log and all, or pipe it in.\n"
    "\n"
    "REPLICA, PRIMARY and REALM stand for your names; `primary#` and `replica#` say on which host "
    "a command is run, as root. Units and paths are Debian's; on RHEL kpropd's unit is `kprop`, "
    "and all files are in /var/kerberos/krb5kdc. In a text `…` stands for anything.\n"
    "\n"
    "This file is made of the program's own table by `kpropctl explain --markdown`; a test "
    "compares them.\n"
    "\n";

/* TEXT in which nothing is markup. */
static void
put_escaped(const char *text, size_t len, struct buffer *out)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '<')
            buffer_add_string(out, "&lt;");
        else if (text[i] == '>')
            buffer_add_string(out, "&gt;");
        else if (strchr("*_`|\\[]", text[i]) != NULL)
            buffer_printf(out, "\\%c", text[i]);
        else
            buffer_add(out, text + i, 1);
    }
}

/* A sign as the text that one would see. */
static void
put_sign(const char *sign, struct buffer *out)
{
    buffer_add_string(out, "`");
    for (; *sign != '\0'; sign++) {
        if (*sign == '*')
            buffer_add_string(out, "…");
        else if (*sign != '^' && *sign != '$')
            buffer_add(out, sign, 1);
    }
    buffer_add_string(out, "`");
}

static bool
is_command(const char *line)
{
    return strncmp(line, "primary# ", 9) == 0 || strncmp(line, "replica# ", 9) == 0;
}

/* Lines: commands together in a block, the rest as paragraphs. LABEL opens the first. */
static void
put_lines(const char *label, const char *text, struct buffer *out)
{
    bool block = false;

    buffer_printf(out, "**%s**", label);
    for (bool first = true; *text != '\0'; first = false) {
        size_t len = strcspn(text, "\n");
        bool command = is_command(text);

        if (command != block)
            buffer_add_string(out, command ? "\n\n```\n" : "```\n\n");
        else if (!command)
            buffer_add_string(out, first ? " " : "\n\n");
        if (command)
            buffer_printf(out, "%.*s\n", (int)len, text);
        else
            put_escaped(text, len, out);
        block = command;
        text += len + (text[len] != '\0');
    }
    buffer_add_string(out, block ? "```\n\n" : "\n\n");
}

static bool
shown_before(const struct symptom *symptom, const struct sign *sign)
{
    for (const struct sign *s = symptom->signs; s != sign; s++) {
        if (strcmp(s->text, sign->text) == 0 && (s->with == NULL) == (sign->with == NULL))
            return true;
    }
    return false;
}

static void
put_texts(const struct symptom *symptom, struct buffer *out)
{
    for (const struct sign *sign = symptom->signs; sign->text != NULL; sign++) {
        if (shown_before(symptom, sign))
            continue;
        buffer_add_string(out, "- ");
        put_sign(sign->text, out);
        if (sign->with != NULL) {
            buffer_add_string(out, " with ");
            put_sign(sign->with, out);
        }
        buffer_printf(out, " (%s)\n", certainty_name(sign->certainty));
    }
    if (symptom->signs[0].text != NULL)
        buffer_add_string(out, "\n");
}

static void
put_symptom(const struct symptom *symptom, struct buffer *out)
{
    buffer_printf(out, "## %s\n\n", symptom->id);
    put_escaped(symptom->title, strlen(symptom->title), out);
    buffer_printf(out, ". Told by: %s.", symptom->program);
    if (symptom->check != NULL)
        buffer_printf(out, " Seen by kpropctl's check `%s`.", symptom->check);
    buffer_add_string(out, "\n\n");
    put_texts(symptom, out);
    buffer_add_string(out, "**Cause:** ");
    put_escaped(symptom->cause, strlen(symptom->cause), out);
    if (symptom->apart != NULL) {
        buffer_add_string(out, " It is this one if ");
        put_escaped(symptom->apart, strlen(symptom->apart), out);
        buffer_add_string(out, ".");
    }
    buffer_add_string(out, "\n\n");
    put_lines("See it:", symptom->look, out);
    put_lines("Remedy:", symptom->remedy, out);
}

/* Has a symptom before the I-th this text too? */
static bool
listed_before(size_t i, const struct symptom *symptom, const struct sign *sign)
{
    for (const struct sign *s = symptom->signs; s != sign; s++) {
        if (strcmp(s->text, sign->text) == 0)
            return true;
    }
    while (i-- > 0) {
        for (const struct sign *s = catalogue_at(i)->signs; s->text != NULL; s++) {
            if (strcmp(s->text, sign->text) == 0)
                return true;
        }
    }
    return false;
}

/* Whom TEXT is a sign of, from the I-th symptom on. */
static void
put_meanings(size_t i, const char *text, struct buffer *out)
{
    const struct symptom *symptom;
    bool first = true;

    for (; (symptom = catalogue_at(i)) != NULL; i++) {
        for (const struct sign *s = symptom->signs; s->text != NULL; s++) {
            if (strcmp(s->text, text) != 0)
                continue;
            buffer_printf(out, "%s[%s](#%s)", first ? "" : ", ", symptom->id, symptom->id);
            first = false;
            break;
        }
    }
}

static void
put_index(struct buffer *out)
{
    const struct symptom *symptom;

    buffer_add_string(out, "| text | see |\n|---|---|\n");
    for (size_t i = 0; (symptom = catalogue_at(i)) != NULL; i++) {
        for (const struct sign *sign = symptom->signs; sign->text != NULL; sign++) {
            if (sign->text[0] == '^' || listed_before(i, symptom, sign))
                continue;
            buffer_add_string(out, "| ");
            put_sign(sign->text, out);
            buffer_add_string(out, " | ");
            put_meanings(i, sign->text, out);
            buffer_add_string(out, " |\n");
        }
    }
    buffer_add_string(out, "\n");
}

void
explain_markdown(struct buffer *out)
{
    const struct symptom *symptom;

    buffer_add_string(out, intro);
    put_index(out);
    for (size_t i = 0; (symptom = catalogue_at(i)) != NULL; i++)
        put_symptom(symptom, out);
    /* One line feed at the end of the file. */
    while (out->len > 1 && out->data[out->len - 1] == '\n' && out->data[out->len - 2] == '\n')
        out->len--;
}
