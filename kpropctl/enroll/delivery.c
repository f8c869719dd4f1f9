/* delivery - see delivery.h: the bundle, given to the agent's own command there. */
#include "kpropctl/enroll/delivery.h"

#include "common/host/process.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { ENROLL_SECONDS = 180, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

/* A text of another host's, clean. */
static const char *
text_of(const json_t *object, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));

    text_clean(text == NULL ? "" : text, text == NULL ? 0 : strlen(text), out, size);
    return out;
}

static void
tell_values(const json_t *list, struct buffer *said)
{
    const json_t *value;
    char text[256];
    size_t i;

    if (json_array_size(list) == 0)
        buffer_add_string(said, "nothing");
    json_array_foreach(list, i, value)
    {
        const char *plain = json_string_value(value);

        text_clean(plain == NULL ? "" : plain, plain == NULL ? 0 : strlen(plain), text,
                   sizeof(text));
        buffer_printf(said, "%s%s", i > 0 ? ", " : "", text);
    }
}

/* The settings that do not stay as they are there. */
static void
tell_differences(const json_t *list, struct buffer *said)
{
    char action[32], relation[256];
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
    {
        text_of(one, "action", action, sizeof(action));
        if (strcmp(action, "replace") != 0 && strcmp(action, "conflict") != 0)
            continue;
        buffer_printf(said, "\n    %s: there ",
                      text_of(one, "relation", relation, sizeof(relation)));
        tell_values(json_object_get(one, "here"), said);
        buffer_add_string(said, ", in the bundle ");
        tell_values(json_object_get(one, "bundle"), said);
    }
}

/* "create" is what is done, "created" what was. */
static const char *
past(const char *action, const json_t *reply)
{
    static const char *const words[][2] = { { "create", "created" },
                                            { "merge", "merged" },
                                            { "replace", "replaced" } };
    bool done = json_is_true(json_object_get(reply, "changed"));

    for (size_t i = 0; done && i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(action, words[i][0]) == 0)
            return words[i][1];
    }
    return action;
}

/* A line for each file that does not stay as it is. */
static void
tell_files(const json_t *reply, struct buffer *said)
{
    char action[32], path[512], detail[512], backup[512];
    const json_t *file;
    size_t i;

    json_array_foreach(json_object_get(reply, "files"), i, file)
    {
        text_of(file, "action", action, sizeof(action));
        if (strcmp(action, "unchanged") == 0)
            continue;
        text_of(file, "detail", detail, sizeof(detail));
        buffer_printf(said, "%s%s %s%s%s", said->len > 0 ? "\n" : "", past(action, reply),
                      text_of(file, "path", path, sizeof(path)), detail[0] != '\0' ? ": " : "",
                      detail);
        if (text_of(file, "backup", backup, sizeof(backup))[0] != '\0')
            buffer_printf(said, " (the old one: %s)", backup);
        tell_differences(json_object_get(file, "differences"), said);
    }
    if (text_of(reply, "agent_text", detail, sizeof(detail))[0] != '\0')
        buffer_printf(said, "%skpropctl-agent: %s", said->len > 0 ? "\n" : "", detail);
}

static bool
no_agent(const char *host, bool too_old, bool *missing, struct error *err)
{
    *missing = true;
    if (too_old)
        error_set(err, ERROR_FAILED, "kpropctl-agent on %s is too old to be enrolled", host);
    else
        error_set(err, ERROR_FAILED, "kpropctl-agent is not installed on %s", host);
    return error_hint(err, "install it there, or give its package: --agent-package FILE");
}

/* It has not answered as the agent does: what does that mean? */
static bool
no_answer(const char *host, const struct subprocess_result *result, bool *missing,
          struct error *err)
{
    char line[400], how[80];

    if (result->status == NOT_FOUND || result->status == NOT_EXECUTABLE)
        return no_agent(host, false, missing, err);
    via_last_words(result, line, sizeof(line));
    if (strstr(line, "Try 'kpropctl-agent -h'") != NULL)
        return no_agent(host, true, missing, err);
    error_set(err, ERROR_FAILED,
              "'kpropctl-agent enroll' on %s did not answer as it should: %s%s%s", host, line,
              line[0] != '\0' ? ": " : "", subprocess_describe(result, how, sizeof(how)));
    return error_hint(err, "see that --via runs the words that follow it as a command there, and "
                           "adds nothing to what they say");
}

static bool
take_answer(const char *host, const struct subprocess_result *result, const json_t *reply,
            struct buffer *said, struct error *err)
{
    char text[512], hint[512];

    tell_files(reply, said);
    if (result->status == 0)
        return true;
    text_of(reply, "error", text, sizeof(text));
    text_of(reply, "hint", hint, sizeof(hint));
    error_set(err, result->status <= ERROR_INTERNAL ? result->status : ERROR_FAILED, "on %s: %s",
              host, text[0] != '\0' ? text : "kpropctl-agent enroll failed");
    return error_hint(err, "%s", hint);
}

bool
delivery_enroll(const struct delivery *d, const char *host, const struct buffer *bundle,
                bool dry_run, struct buffer *said, bool *missing, struct error *err)
{
    const char *command[6] = { "kpropctl-agent", "enroll", "--json", NULL };
    struct via_job job = {
        .command = command, .data = bundle->data, .len = bundle->len, .timeout = ENROLL_SECONDS
    };
    struct subprocess_result result;
    json_t *reply = NULL;
    const char *begin;
    size_t words = 3;
    bool ok;

    *missing = false;
    if (d->replace)
        command[words++] = "--replace";
    if (dry_run)
        command[words++] = "--dry-run";
    ok = via_run(d->via, host, &job, &result, err);
    /* A login there may say something before. */
    begin = ok ? strchr(buffer_string(&result.out), '{') : NULL;
    if (begin != NULL)
        reply = json_loads(begin, JSON_DISABLE_EOF_CHECK, NULL);
    if (ok && json_object_get(reply, "files") == NULL)
        ok = no_answer(host, &result, missing, err);
    else if (ok)
        ok = take_answer(host, &result, reply, said, err);
    json_decref(reply);
    subprocess_result_free(&result);
    return ok;
}

const char *
delivery_ways(const char *host, const char *options, char *text, size_t size)
{
    snprintf(text, size,
             "kpropctl enroll %s%s | ssh root@%s kpropctl-agent enroll; or all in one: kpropctl "
             "setup-slave %s--via 'ssh root@%%h' %s",
             options, host, host, options, host);
    return text;
}
