/* blame - see blame.h. */
#include "kpropctl/remote/blame.h"

#include "kpropctl/krb5/recorded.h"

/* What answers there as somebody else, or does not take us for its primary, may be another host. */
static bool
may_be_another(enum remote_fault fault)
{
    return fault == REMOTE_KEYTAB || fault == REMOTE_NOT_AGENT || fault == REMOTE_NOT_AUTHORISED;
}

void
blame_address(const struct configuration *configuration, const char *realm,
              const struct names *replica, enum remote_fault fault, struct error *err)
{
    char other[sizeof(replica->host)];
    struct error was = *err;

    if (!may_be_another(fault) || replica->addresses != 1 ||
        !recorded_at(configuration->state_dir, realm, replica->address, replica->host, other,
                     sizeof(other)))
        return;
    error_set(err, was.code, "%s and %s, both replicas, have one address here, %s: %s",
              replica->host, other, replica->address, was.text);
    error_hint(err,
               "give each its own address, in DNS or in /etc/hosts of this host: that of %s is "
               "wrong, if %s has none but this",
               replica->host, other);
}
