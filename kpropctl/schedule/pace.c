/* pace - see pace.h. */
#include "kpropctl/schedule/pace.h"

#include <math.h>
#include <string.h>

static const double rest_factor = 9, retry_least = 5, retry_most = 900;

static double
later(double a, double b)
{
    return a > b ? a : b;
}

static double
sooner(double a, double b)
{
    return a < b ? a : b;
}

void
pace_init(struct pace *pace, double settle, double interval)
{
    memset(pace, 0, sizeof(*pace));
    pace->rest_until = -INFINITY;
    pace->retry_at = INFINITY;
    pace_set(pace, settle, interval);
}

void
pace_set(struct pace *pace, double settle, double interval)
{
    pace->settle = settle;
    pace->interval = interval;
}

void
pace_change(struct pace *pace, double now)
{
    if (pace->changed)
        return;
    pace->changed = true;
    pace->changed_at = now;
}

void
pace_start(struct pace *pace, double now)
{
    pace->running = true;
    pace->started = now;
    pace->changed = false;
}

static double
retry_delay(const struct pace *pace)
{
    double delay = later(pace->interval, retry_least);

    for (unsigned i = 0; i < pace->failures && delay < retry_most; i++)
        delay *= 2;
    return sooner(delay, later(retry_most, pace->interval));
}

void
pace_end(struct pace *pace, double now, const struct pace_outcome *outcome)
{
    double rest = (now - pace->started) * rest_factor;

    pace->running = false;
    pace->rest_until =
        outcome->sent ? pace->started + pace->interval : now + sooner(rest, pace->interval);
    if (outcome->good) {
        pace->failures = 0;
        pace->retry_at = INFINITY;
    } else {
        pace->retry_at = now + retry_delay(pace);
        pace->failures++;
    }
    if (outcome->changed)
        pace_change(pace, now);
}

double
pace_due(const struct pace *pace)
{
    double due = INFINITY;

    if (pace->running)
        return INFINITY;
    if (pace->changed)
        due = later(pace->changed_at + pace->settle, pace->rest_until);
    return sooner(due, pace->retry_at);
}
