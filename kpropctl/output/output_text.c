/*
 * output_text - for people: a line for each row, with a mark and colour on a terminal. One host is
 * told as it goes; of several, each is told as a whole when it ends.
 */
#include "common/base/buffers.h"
#include "kpropctl/base/clean.h"
#include "kpropctl/base/text.h"
#include "kpropctl/output/output.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT = 19, INDENT_PLAIN = 25, BAR = 24 };

struct output_host {
    char *text; /* held back, of several hosts */
    unsigned fixed;
    unsigned would;
    bool bar; /* a progress bar stands on the line */
    bool ended;
};

static const struct {
    const char *utf8, *ascii, *colour;
} marks[] = {
    [LEVEL_OK] = { "✔", "+", "32" },      [LEVEL_FIXED] = { "✚", "*", "36" },
    [LEVEL_WARNING] = { "!", "!", "33" }, [LEVEL_SKIPPED] = { "·", ".", "2" },
    [LEVEL_FAILED] = { "✘", "x", "31" },  [LEVEL_REFUSED] = { "✘", "x", "31" },
    [LEVEL_UNKNOWN] = { "?", "?", "35" },
};

static void
append(struct output *output, size_t host, const char *text)
{
    struct output_host *state = &output->state[host];
    size_t old;
    char *grown;

    if (output->count == 1) {
        fputs(text, output->stream);
        return;
    }
    old = state->text == NULL ? 0 : strlen(state->text);
    grown = realloc(state->text, old + strlen(text) + 1);
    if (grown == NULL)
        return;
    strcpy(grown + old, text);
    state->text = grown;
}

static void __attribute__((format(printf, 3, 4)))
print(struct output *output, size_t host, const char *fmt, ...)
{
    char text[8192];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    append(output, host, text);
}

/* Where the text of a row begins: behind a mark or a word, and the id. */
static int
indent_of(const struct output *output)
{
    return output->terminal ? INDENT : INDENT_PLAIN;
}

/* TEXT behind that indent, broken at blanks where the terminal ends. */
static void
print_wrapped(struct output *output, size_t host, const char *text)
{
    size_t room = output->terminal && output->width > INDENT + 20 ? output->width - INDENT : 4096;

    for (;;) {
        size_t columns = 0, i = 0, cut = 0;

        for (; text[i] != '\0' && text[i] != '\n' && columns < room; i++) {
            if (text[i] == ' ')
                cut = i;
            if (((unsigned char)text[i] & 0xc0) != 0x80)
                columns++;
        }
        if (text[i] != '\0' && text[i] != '\n' && text[i] != ' ' && cut > 0)
            i = cut;
        print(output, host, "%.*s\n", (int)i, text);
        text += i;
        if (*text == ' ' || *text == '\n')
            text++;
        if (*text == '\0')
            return;
        print(output, host, "%*s", indent_of(output), "");
    }
}

static void
clear_bar(struct output *output, size_t host)
{
    if (output->state[host].bar)
        fputs("\r\033[K", output->stream);
    output->state[host].bar = false;
}

static void
text_step(struct output *output, size_t host, const struct step *step)
{
    struct output_host *state = &output->state[host];
    const char *colour = marks[step->level].colour;
    char clean[sizeof(step->detail)];

    clear_bar(output, host);
    state->fixed += step->level == LEVEL_FIXED;
    state->would += step->would;
    output_clean(step->summary, false, clean, sizeof(clean));
    if (output->terminal)
        print(output, host, " %s%s%s%s %-15s ", output->colour ? "\033[" : "",
              output->colour ? colour : "", output->colour ? "m" : "",
              output->utf8 ? marks[step->level].utf8 : marks[step->level].ascii, step->id);
    else
        print(output, host, "%-8s %-15s ", level_name(step->level), step->id);
    if (output->colour)
        append(output, host, "\033[0m");
    print_wrapped(output, host, clean);
    if (step->detail[0] != '\0') {
        output_clean(step->detail, true, clean, sizeof(clean));
        print(output, host, "%*s", indent_of(output), "");
        print_wrapped(output, host, clean);
    }
    if (step->hint[0] != '\0') {
        output_clean(step->hint, false, clean, sizeof(clean));
        print(output, host, "%*s%s ", indent_of(output) - (output->utf8 ? 2 : 3), "",
              output->utf8 ? "→" : "->");
        print_wrapped(output, host, clean);
    }
    if (output->count == 1)
        fflush(output->stream);
}

static void
text_progress(struct output *output, size_t host, const char *id, uint64_t done, uint64_t total,
              double seconds)
{
    double part = total == 0 ? 0 : (double)done / (double)total;
    double left = part > 0 ? seconds / part - seconds : 0;
    char have[32], all[32], bar[BAR * 3 + 1] = "";

    if (!output->terminal || output->count > 1)
        return;
    for (int i = 0; i < BAR; i++)
        strcat(bar, i < part * BAR ? (output->utf8 ? "█" : "#") : (output->utf8 ? "░" : "-"));
    fprintf(output->stream, "\r\033[K   %-15s %s %3.0f %%  %s of %s", id, bar, part * 100,
            bytes_text(done, have, sizeof(have)), bytes_text(total, all, sizeof(all)));
    if (done < total)
        fprintf(output->stream, "  %.0f s left", left);
    else
        fputs("  loading", output->stream);
    fflush(output->stream);
    output->state[host].bar = true;
}

static void
verdict(struct output *output, size_t host, const struct host_result *result)
{
    const struct output_host *state = &output->state[host];
    const char *name = output->hosts[host];

    if (result->status == 0 && result->dry_run) {
        print(output, host, "\ndry run: nothing was changed on %s; %u thing%s would be\n", name,
              state->would, state->would == 1 ? "" : "s");
        return;
    }
    if (result->outcome == HOST_RENEWED)
        return;
    if (result->keys) {
        print(output, host, "\nthe keys of %s are NOT what was asked for\n", name);
        return;
    }
    if (result->outcome == HOST_INCREMENTAL) {
        print(output, host,
              "\n%s is an incremental replica of %s: it is kadmind's, not "
              "kpropctl's\n",
              name, output->realm);
        return;
    }
    if (!host_is_verified(result)) {
        print(output, host, "\n%s%s is NOT a verified replica of %s%s",
              output->colour ? "\033[31m" : "", name, output->realm,
              output->colour ? "\033[0m" : "");
        if (state->fixed > 0)
            print(output, host, "; %u thing%s changed and stay%s", state->fixed,
                  state->fixed == 1 ? " was" : "s were", state->fixed == 1 ? "s" : "");
        append(output, host, "\n");
        return;
    }
    print(output, host,
          "\n%s%s is a verified replica of %s%s: %llu principals, %llu policies, "
          "generation %lld\n",
          output->colour ? "\033[32m" : "", name, output->realm, output->colour ? "\033[0m" : "",
          (unsigned long long)result->principals, (unsigned long long)result->policies,
          (long long)result->generation);
    if (state->fixed == 0 && result->outcome == HOST_UNCHANGED)
        append(output, host, "nothing had to be changed, nothing was sent\n");
}

static void
text_end(struct output *output, size_t host, const struct host_result *result)
{
    struct output_host *state = &output->state[host];

    clear_bar(output, host);
    verdict(output, host, result);
    state->ended = true;
    if (output->count > 1) {
        fprintf(output->stream, "%s\n%s\n", output->hosts[host],
                state->text == NULL ? "" : state->text);
        free(state->text);
        state->text = NULL;
    }
    fflush(output->stream);
}

static void
text_finish(struct output *output)
{
    for (size_t i = 0; i < output->count; i++)
        free(output->state[i].text);
}

const struct output_backend output_text = {
    "text", text_step, text_progress, text_end, text_finish,
};
