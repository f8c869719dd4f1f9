/* cmd_explain - kpropctl explain [TEXT…|ID]: what a text that somebody saw means. */
#include "kpropctl/commands/commands.h"
#include "kpropctl/output/explain_output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { INPUT_MAX = 1 << 20, OUTPUT_MAX = 4 << 20, DEFAULT_WIDTH = 80, WIDEST = 100 };

struct request {
    bool json;
    bool markdown;
    int words; /* how many of argv's are text; they are moved to its front */
};

/* Not getopt: what is pasted may begin with a dash. */
static bool
read_options(int argc, char **argv, struct request *request, struct error *err)
{
    bool options = true;

    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--json") == 0)
            request->json = true;
        else if (options && strcmp(argv[i], "--markdown") == 0)
            request->markdown = true;
        else if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (options && strncmp(argv[i], "--", 2) == 0 && strchr(argv[i], ' ') == NULL)
            return error_set(err, ERROR_USAGE, "explain: cannot use option '%.64s'", argv[i]);
        else
            argv[request->words++] = argv[i];
    }
    return true;
}

static unsigned
screen_width(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return DEFAULT_WIDTH;
    return size.ws_col < WIDEST ? size.ws_col : WIDEST;
}

/* At most INPUT_MAX bytes; what is more is not looked at, and *CUT says so. */
static bool
read_input(struct buffer *in, bool *cut, struct error *err)
{
    *cut = false;
    for (;;) {
        char data[16384];
        ssize_t n = read(STDIN_FILENO, data, sizeof(data));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ERROR_INTERNAL, errno, "cannot read standard input");
        if (n == 0)
            return true;
        if (in->len + (size_t)n > INPUT_MAX) {
            *cut = true;
            n = (ssize_t)(INPUT_MAX - in->len);
        }
        if (!buffer_add(in, data, (size_t)n))
            return error_memory(err);
        if (*cut)
            return true;
    }
}

static bool
join_words(char **words, int count, struct buffer *in, bool *cut, struct error *err)
{
    for (int i = 0; i < count && !*cut; i++) {
        size_t len = strlen(words[i]);

        *cut = in->len + len + 1 > INPUT_MAX;
        if (!*cut && !(buffer_add(in, words[i], len) && buffer_add(in, " ", 1)))
            return error_memory(err);
    }
    return true;
}

static bool
put(struct buffer *out, struct error *err)
{
    bool ok = !out->failed && fwrite(out->data, 1, out->len, stdout) == out->len;

    return ok && fflush(stdout) == 0
               ? true
               : error_set(err, ERROR_INTERNAL, "cannot write to standard output");
}

/* Takes OBJECT. */
static bool
put_json(json_t *object, struct error *err)
{
    int failed = object == NULL ? -1 : json_dumpf(object, stdout, JSON_INDENT(2));

    json_decref(object);
    return failed == 0 && putchar('\n') != EOF && fflush(stdout) == 0
               ? true
               : error_set(err, ERROR_INTERNAL, "cannot write to standard output");
}

static bool
tell_matches(const struct request *request, const struct match *matches, size_t count,
             struct error *err)
{
    struct buffer out;
    bool ok;

    if (request->json)
        return put_json(explain_json(matches, count), err);
    buffer_init(&out, OUTPUT_MAX);
    explain_print(matches, count, screen_width(), &out);
    ok = put(&out, err);
    buffer_free(&out);
    return ok;
}

static bool
tell_symptom(const struct request *request, const struct symptom *symptom, struct error *err)
{
    struct match match = { symptom, NULL, 0, 0, "" };
    struct buffer out;
    bool ok;

    if (request->json)
        return put_json(explain_json(&match, 1), err);
    buffer_init(&out, OUTPUT_MAX);
    explain_print_symptom(symptom, screen_width(), &out);
    ok = put(&out, err);
    buffer_free(&out);
    return ok;
}

static bool
tell_all(const struct request *request, struct error *err)
{
    const struct symptom *symptom;
    json_t *list = json_array();
    struct buffer out;
    bool ok;

    for (size_t i = 0; (symptom = catalogue_at(i)) != NULL; i++)
        json_array_append_new(list, explain_symptom_json(symptom));
    if (request->json)
        return put_json(json_pack("{s:o}", "symptoms", list), err);
    json_decref(list);
    buffer_init(&out, OUTPUT_MAX);
    if (request->markdown)
        explain_markdown(&out);
    else
        explain_print_list(screen_width(), &out);
    ok = put(&out, err);
    buffer_free(&out);
    return ok;
}

static int
explain_text(const struct request *request, char **words, struct error *err)
{
    struct match matches[MATCHES_MAX];
    struct buffer in;
    size_t count = 0;
    bool cut = false, ok;

    buffer_init(&in, INPUT_MAX);
    ok = request->words > 0 ? join_words(words, request->words, &in, &cut, err)
                            : read_input(&in, &cut, err);
    if (ok) {
        count = catalogue_match(in.len > 0 ? (const char *)in.data : "", in.len, matches);
        if (cut)
            fprintf(stderr, "kpropctl: only the first %d bytes were looked at\n", INPUT_MAX);
        ok = tell_matches(request, matches, count, err);
    }
    buffer_free(&in);
    return !ok ? err->code : count > 0 ? ERROR_NONE : ERROR_FAILED;
}

int
cmd_explain(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct request request = { false, false, 0 };
    const struct symptom *symptom;

    (void)context;
    if (!read_options(argc, argv, &request, err)) {
        error_hint(err, "'kpropctl explain --help' says how to call it");
        return err->code;
    }
    if (request.markdown || (request.words == 0 && isatty(STDIN_FILENO)))
        return tell_all(&request, err) ? ERROR_NONE : err->code;
    symptom = request.words == 1 ? catalogue_find(argv[0]) : NULL;
    if (symptom != NULL)
        return tell_symptom(&request, symptom, err) ? ERROR_NONE : err->code;
    return explain_text(&request, argv, err);
}
