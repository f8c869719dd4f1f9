/* enrollment - see enrollment.h. */
#include "kpropctl/enroll/enrollment.h"

#include "common/base/files.h"
#include "kpropctl/enroll/profile_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static bool
set_string(struct bundle *out, enum bundle_part part, const char *text, struct error *err)
{
    return bundle_set(out, part, text, strlen(text), err);
}

static bool
set_names(const struct enrollment *e, struct bundle *out, struct error *err)
{
    char created[32], acl[600];

    snprintf(created, sizeof(created), "%lld", (long long)time(NULL));
    snprintf(acl, sizeof(acl), "%s\n", e->primary->principal);
    return set_string(out, BUNDLE_REALM, e->realm->name, err) &&
           set_string(out, BUNDLE_HOST, e->replica->host, err) &&
           set_string(out, BUNDLE_PRIMARY, e->primary->principal, err) &&
           set_string(out, BUNDLE_CREATED, created, err) &&
           set_string(out, BUNDLE_DATA_DIR, e->realm->data_dir, err) &&
           set_string(out, BUNDLE_CONF_DIR, e->realm->conf_dir, err) &&
           set_string(out, BUNDLE_KPROPD_ACL, acl, err) &&
           set_string(out, BUNDLE_AGENT_ACL, acl, err);
}

static bool
set_configuration(const struct enrollment *e, struct bundle *out, struct error *err)
{
    struct buffer client, kdc;
    bool ok;

    buffer_init(&client, BUNDLE_PART_MAX);
    buffer_init(&kdc, BUNDLE_PART_MAX);
    ok = profile_text_client(&client, err) && profile_text_kdc(e->realm->name, &kdc, err) &&
         bundle_set(out, BUNDLE_KRB5_CONF, client.data, client.len, err) &&
         bundle_set(out, BUNDLE_KDC_CONF, kdc.data, kdc.len, err);
    buffer_free(&client);
    buffer_free(&kdc);
    return ok;
}

static bool
set_keys(const struct enrollment *e, struct bundle *out, struct error *err)
{
    struct buffer keytab, stash;
    bool ok;

    buffer_init(&keytab, BUNDLE_PART_MAX);
    buffer_init(&stash, BUNDLE_PART_MAX);
    ok = principals_keytab(e->principals, e->replica->principal, &keytab, err) &&
         bundle_set(out, BUNDLE_KEYTAB, keytab.data, keytab.len, err);
    if (ok && e->with_stash)
        ok = file_read(e->realm->stash, &stash, err) &&
             bundle_set(out, BUNDLE_STASH, stash.data, stash.len, err);
    buffer_free_secret(&keytab);
    buffer_free_secret(&stash);
    return ok;
}

bool
enrollment_bundle(const struct enrollment *e, struct bundle *out, struct error *err)
{
    return set_names(e, out, err) && set_configuration(e, out, err) && set_keys(e, out, err);
}
