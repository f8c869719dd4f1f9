/*
 * output_report - a health check and the history as one HTML page that needs nothing else: no
 * network, no script; light and dark; readable on a phone, and on paper.
 */
#include "kpropctl/base/text.h"
#include "kpropctl/output/health.h"
#include "kpropctl/output/html.h"
#include "kpropctl/output/output.h"

#include <string.h>
#include <time.h>

enum { LEAST_SPAN = 600 };

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1c2128;--soft:#59636e;--line:#d1d9e0;"
    "--card:#f6f8fa;--good:#1a7f37;--warn:#9a6700;--bad:#cf222e;--what:#8250df;--age:#0969da33;"
    "--s0:#8250df;--s1:#0969da;--s2:#bf8700;--s3:#1a7f37}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--soft:#9198a1;"
    "--line:#3d444d;--card:#151b23;--good:#3fb950;--warn:#d29922;--bad:#f85149;--what:#ab7df8;"
    "--age:#4493f855;--s0:#ab7df8;--s1:#4493f8;--s2:#d29922;--s3:#3fb950}}"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:62rem;padding:1rem;background:var(--bg);"
    "color:var(--fg);font:16px/1.45 system-ui,sans-serif}"
    "h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:1.6rem 0 .5rem}"
    "h3{font-size:1rem;margin:1rem 0 .3rem;color:var(--soft);font-weight:600}"
    "p{margin:.3rem 0}.quiet,.legend{color:var(--soft);font-size:.9rem}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:"
    "tabular-nums}th,td{text-align:left;padding:.35rem .7rem .35rem 0;border-bottom:1px solid "
    "var(--line);vertical-align:top}th{color:var(--soft);font-weight:600;font-size:.9rem}"
    ".state{font-weight:700;white-space:nowrap}.OK{color:var(--good)}.WARNING{color:var(--warn)}"
    ".CRITICAL{color:var(--bad)}.UNKNOWN{color:var(--what)}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8rem "
    "1rem;"
    "margin:.6rem 0;overflow-wrap:anywhere}.hint{color:var(--soft);margin-top:.25rem}"
    "svg{width:100%;height:auto;display:block;max-height:15rem}"
    "svg text{font:10px system-ui,sans-serif;fill:var(--soft)}.axis,.grid{stroke:var(--line)}"
    ".warnline{stroke:var(--warn);stroke-dasharray:4 3}.badline{stroke:var(--bad);stroke-dasharray:"
    "4 3}.age{fill:var(--age);stroke:none}rect.good{fill:var(--good)}rect.warn{fill:var(--warn)}"
    "rect.bad{fill:var(--bad)}path[class^=s]{fill:none;stroke-width:1.6;stroke-linejoin:round}"
    ".s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}"
    ".legend span::before{content:'';display:inline-block;width:.7em;height:.7em;margin:0 .3em 0 "
    ".6em;border-radius:2px}.k0::before{background:var(--s0)}.k1::before{background:var(--s1)}"
    ".k2::before{background:var(--s2)}.k3::before{background:var(--s3)}"
    "td .quiet{white-space:nowrap}.legend span{white-space:nowrap}"
    "@media(max-width:40rem){svg text{font-size:19px}h1{font-size:1.25rem}}"
    "@media print{body{max-width:none}.card,section{break-inside:avoid}}";

static const char *
member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? "" : text;
}

static bool
is_primary(const json_t *report)
{
    return json_is_true(json_object_get(json_object_get(report, "metrics"), "primary"));
}

static enum health
state_of(const json_t *report)
{
    return report == NULL ? HEALTH_UNKNOWN : health_of_report(report);
}

static void
print_state(FILE *out, enum health health)
{
    static const char *const marks[] = { "✔", "!", "✘", "?" };

    fprintf(out, "<span class=\"state %s\">%s %s</span>", health_name(health), marks[health],
            health_name(health));
}

static void
print_fleet(struct output *output)
{
    FILE *out = output->stream;

    fputs("<h2>The fleet</h2><div class=\"scroll\"><table><tr><th>Host<th>State<th>Last verified"
          "<th>Generation<th>Behind<th>Principals<th>Last transfer</tr>\n",
          out);
    for (size_t i = 0; i < output->count; i++) {
        const json_t *report = output_collected(output, i);
        const json_t *metrics = json_object_get(report, "metrics");
        double at = json_number_value(json_object_get(metrics, "verified_at"));
        char bytes[32], age[32];

        fputs("<tr><td>", out);
        html_text(out, output->hosts[i]);
        fputs("<td>", out);
        print_state(out, state_of(report));
        if (is_primary(report)) {
            fputs("<td colspan=\"5\">the primary</tr>\n", out);
            continue;
        }
        fputs("<td>", out);
        html_time(out, at);
        if (at > 0)
            fprintf(out, " <span class=\"quiet\">(%s ago)</span>",
                    age_text(difftime(time(NULL), (time_t)at), age, sizeof(age)));
        fprintf(out, "<td>%lld<td>%lld<td>%lld<td>%s in %.2f s</tr>\n",
                (long long)json_integer_value(json_object_get(report, "generation")),
                (long long)json_integer_value(json_object_get(metrics, "behind")),
                (long long)json_integer_value(json_object_get(report, "principals")),
                bytes_text((uint64_t)json_integer_value(json_object_get(report, "bytes")), bytes,
                           sizeof(bytes)),
                json_number_value(json_object_get(report, "seconds")));
    }
    fputs("</table></div>\n", out);
}

static void
print_problems(struct output *output)
{
    static const enum health order[] = { HEALTH_CRITICAL, HEALTH_UNKNOWN, HEALTH_WARNING };
    FILE *out = output->stream;
    const json_t *step;
    size_t count = 0, index;

    fputs("<h2>Open problems</h2>\n", out);
    for (size_t o = 0; o < 3; o++) {
        for (size_t i = 0; i < output->count; i++) {
            json_array_foreach(json_object_get(output_collected(output, i), "steps"), index, step)
            {
                if (health_of_step(step) != order[o])
                    continue;
                count++;
                fputs("<div class=\"card\">", out);
                print_state(out, order[o]);
                fputs(" ", out);
                html_text(out, output->hosts[i]);
                fputs(" · ", out);
                html_text(out, member(step, "id"));
                fputs("<p>", out);
                html_text(out, member(step, "summary"));
                fputs("</p>", out);
                if (member(step, "hint")[0] != '\0') {
                    fputs("<p class=\"hint\">→ ", out);
                    html_text(out, member(step, "hint"));
                    fputs("</p>", out);
                }
                fputs("</div>\n", out);
            }
        }
    }
    if (count == 0)
        fputs("<p class=\"OK\">None.</p>\n", out);
}

static double
oldest(const json_t *outcomes)
{
    const json_t *last = json_array_get(outcomes, json_array_size(outcomes) - 1);

    return json_number_value(json_object_get(last, "finished"));
}

static void
print_histories(struct output *output)
{
    const json_t *outcomes = output->extra;
    double to = (double)time(NULL), from = oldest(outcomes);
    FILE *out = output->stream;

    if (from <= 0 || to - from < LEAST_SPAN)
        from = to - LEAST_SPAN;
    for (size_t i = 0; i < output->count; i++) {
        const json_t *report = output_collected(output, i);
        const json_t *metrics = json_object_get(report, "metrics");

        if (is_primary(report))
            continue;
        fputs("<section><h2>", out);
        html_text(out, output->hosts[i]);
        fputs("</h2><h3>Age of the last verified state, and the runs</h3>\n", out);
        html_timeline(out, outcomes, output->hosts[i], from, to,
                      (int)json_integer_value(json_object_get(metrics, "age_warning")),
                      (int)json_integer_value(json_object_get(metrics, "age_critical")));
        fputs("<h3>Durations</h3>\n", out);
        html_durations(out, outcomes, output->hosts[i], from, to);
        fputs("</section>\n", out);
    }
}

static void
report_finish(struct output *output)
{
    FILE *out = output->stream;

    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
          out);
    html_text(out, output->realm);
    fprintf(out, ": KDC replication</title><style>%s</style></head>\n<body><h1>KDC replication of ",
            style);
    html_text(out, output->realm);
    fputs(" ", out);
    print_state(out, health_of_all(output));
    fputs("</h1><p class=\"quiet\">as seen at ", out);
    html_time(out, (double)time(NULL));
    fputs(" by kpropctl " KPC_VERSION "</p>\n", out);
    print_fleet(output);
    print_problems(output);
    print_histories(output);
    fputs("</body></html>\n", out);
    output_collect_free(output);
}

const struct output_backend output_report = {
    "report", output_collect_step, output_collect_progress, output_collect_end, report_finish,
};
