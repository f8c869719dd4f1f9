/* enroll_output - see enroll_output.h. */
#include "agent/enroll/enroll_output.h"

#include "common/host/process.h"

#include <string.h>

static const char *
action_word(enum enroll_action action, bool planned)
{
    switch (action) {
    case ENROLL_CREATE:
        return planned ? "create" : "created";
    case ENROLL_MERGE:
        return planned ? "merge" : "merged";
    case ENROLL_REPLACE:
        return planned ? "replace" : "replaced";
    case ENROLL_CONFLICT:
        return "conflict";
    case ENROLL_UNCHANGED:
        break;
    }
    return "unchanged";
}

/* The values of LIST on one line. */
static void
print_values(const json_t *list, FILE *out)
{
    const json_t *value;
    size_t i;

    if (json_array_size(list) == 0)
        fputs("nothing", out);
    json_array_foreach(list, i, value)
        fprintf(out, "%s%s", i > 0 ? ", " : "", json_string_value(value));
}

/* The settings that do not stay as they are, a line for each. */
static void
print_differences(const struct enroll_target *t, FILE *out)
{
    const json_t *d;
    size_t i;

    json_array_foreach(t->differences, i, d)
    {
        const char *action = json_string_value(json_object_get(d, "action"));

        if (action == NULL || (strcmp(action, "replace") != 0 && strcmp(action, "conflict") != 0))
            continue;
        fprintf(out, "             %s: here ", json_string_value(json_object_get(d, "relation")));
        print_values(json_object_get(d, "here"), out);
        fputs(", in the bundle ", out);
        print_values(json_object_get(d, "bundle"), out);
        fputc('\n', out);
    }
}

static void
print_target(const struct enroll_target *t, bool planned, FILE *out)
{
    fprintf(out, "  %-10s %s%s%s\n", action_word(t->action, planned), t->path,
            t->detail[0] != '\0' ? ": " : "", t->detail);
    print_differences(t, out);
    if (t->backup[0] != '\0')
        fprintf(out, "             the old one is %s\n", t->backup);
}

void
enroll_print(const struct enroll_report *r, bool failed, FILE *out)
{
    size_t same = 0, count = 0;

    if (r->recovered != NULL)
        fprintf(out, "an enrolment that was killed before has been %s\n", r->recovered);
    if (r->plan != NULL) {
        same = enroll_plan_count(r->plan, ENROLL_UNCHANGED);
        count = r->plan->count;
        fprintf(out, "%s as a replica of realm %s, propagated by %s\n", r->host, r->realm,
                r->primary);
        for (size_t i = 0; i < count; i++)
            print_target(&r->plan->targets[i], !r->installed, out);
    }
    if (r->agent != NULL)
        fprintf(out, "  %-10s kpropctl-agent%s%s\n", r->agent, r->agent_text != NULL ? ": " : "",
                r->agent_text != NULL ? r->agent_text : "");
    if (failed)
        return;
    if (r->dry_run) {
        fprintf(out, "dry run: nothing was changed%s\n",
                same == count ? ", and nothing would be: it is enrolled already" : "");
        return;
    }
    fprintf(out, "%s\nNext, on the primary: kpropctl setup-slave %s\n",
            same == count ? "already enrolled: nothing had to be changed" : "enrolled", r->host);
}

/* TEXT as a JSON string, whatever bytes are in it; NULL and "" are null. */
static json_t *
clean(const char *text)
{
    char good[2048];

    if (text == NULL || text[0] == '\0')
        return json_null();
    text_clean(text, strlen(text), good, sizeof(good));
    return json_string(good);
}

static json_t *
target_json(const struct enroll_target *t)
{
    return json_pack("{s:s, s:o, s:s, s:o, s:o, s:O?}", "what", t->what, "path", clean(t->path),
                     "action", action_word(t->action, true), "detail", clean(t->detail), "backup",
                     clean(t->backup), "differences", t->differences);
}

json_t *
enroll_json(const struct enroll_report *r, const struct error *err)
{
    json_t *files = json_array();
    bool changed = false;

    for (size_t i = 0; r->plan != NULL && i < r->plan->count; i++) {
        json_array_append_new(files, target_json(&r->plan->targets[i]));
        changed = changed || r->plan->targets[i].action != ENROLL_UNCHANGED;
    }
    return json_pack("{s:o, s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "host",
                     clean(r->host), "realm", clean(r->realm), "primary", clean(r->primary),
                     "dry_run", r->dry_run, "changed", changed && r->installed, "recovered",
                     clean(r->recovered), "files", files, "agent", clean(r->agent), "agent_text",
                     clean(r->agent_text), "error", clean(err == NULL ? NULL : err->text), "hint",
                     clean(err == NULL ? NULL : err->hint));
}
