/* job_lines - what a line of a crontab or of a script runs; see competitors.h. */
#include "kpropctl/schedule/competitors.h"

#include <string.h>

enum { CRON_FIELDS = 5 };

const char *
job_name(enum job_kind kind)
{
    static const char *const names[] = { "", "kpropctl propagate", "kdb5_util dump", "kprop" };

    return names[kind];
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Past the blanks, then past a word; false if there was none. */
static bool
skip_word(const char **p, const char *end)
{
    const char *start;

    while (*p < end && is_blank(**p))
        ++*p;
    start = *p;
    while (*p < end && !is_blank(**p))
        ++*p;
    return *p > start;
}

/* NAME=VALUE, with blanks around the sign if one likes. */
static bool
is_setting(const char *p, const char *end)
{
    const char *equals = memchr(p, '=', (size_t)(end - p));

    if (equals == NULL)
        return false;
    for (; p < equals && !is_blank(*p); p++)
        continue;
    while (p < equals && is_blank(*p))
        p++;
    return p == equals;
}

const char *
crontab_command(const char *line, size_t len, bool with_user, size_t *command_len)
{
    const char *p = line, *end = line + len;
    int fields;

    *command_len = 0;
    while (p < end && is_blank(*p))
        p++;
    if (p < end && *p == '-') /* SUSE: do not log this job */
        p++;
    if (p == end || *p == '#' || is_setting(p, end))
        return NULL;
    fields = (*p == '@' ? 1 : CRON_FIELDS) + (with_user ? 1 : 0);
    for (int i = 0; i < fields; i++) {
        if (!skip_word(&p, end))
            return NULL;
    }
    while (p < end && is_blank(*p))
        p++;
    if (p == end)
        return NULL;
    *command_len = (size_t)(end - p);
    return p;
}

/* --- words of a shell --- */

struct word {
    const char *text;
    size_t len;
    bool begins; /* the first of a simple command */
};

static bool
separates(char c)
{
    return c == ';' || c == '&' || c == '|' || c == '(' || c == ')' || c == '`' || c == '{' ||
           c == '}' || c == '\n';
}

static bool
ends_word(char c)
{
    return is_blank(c) || separates(c) || c == '"' || c == '\'' || c == '<' || c == '>' ||
           c == '=' || c == '$' || c == '\0';
}

/* The next word, leaving quotes out; a comment ends the line. */
static bool
next_word(const char **p, const char *end, struct word *word)
{
    const char *start = *p;

    word->begins = false;
    while (*p < end && ends_word(**p)) {
        word->begins |= separates(**p);
        ++*p;
    }
    if (*p == end || (**p == '#' && (*p == start || is_blank((*p)[-1]) || separates((*p)[-1]))))
        return false;
    word->text = *p;
    while (*p < end && !ends_word(**p))
        ++*p;
    word->len = (size_t)(*p - word->text);
    return true;
}

/* WORD is the program NAME: bare, or by a path through a folder of programs. */
static bool
is_program(const struct word *word, const char *name)
{
    size_t len = strlen(name), folder;

    if (word->len < len || memcmp(word->text + word->len - len, name, len) != 0)
        return false;
    folder = word->len - len;
    if (folder == 0)
        return true;
    return word->text[folder - 1] == '/' && memmem(word->text, folder, "bin/", 4) != NULL;
}

static bool
is_word(const struct word *word, const char *text)
{
    return word->len == strlen(text) && memcmp(word->text, text, word->len) == 0;
}

enum job_kind
job_of_line(const char *line, size_t len)
{
    const char *p = line, *end = line + len;
    enum job_kind kind = JOB_OTHER;
    bool kdb5_util = false, kpropctl = false;
    struct word word;

    while (next_word(&p, end, &word)) {
        if (word.begins)
            kdb5_util = kpropctl = false;
        if (is_program(&word, "kprop"))
            return JOB_KPROP;
        if (kdb5_util && is_word(&word, "dump") && kind < JOB_DUMP)
            kind = JOB_DUMP;
        if (kpropctl && is_word(&word, "propagate") && kind < JOB_OURS)
            kind = JOB_OURS;
        kdb5_util |= is_program(&word, "kdb5_util");
        kpropctl |= is_program(&word, "kpropctl");
    }
    return kind;
}
