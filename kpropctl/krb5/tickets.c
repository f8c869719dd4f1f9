/* tickets - see tickets.h. */
#include "kpropctl/krb5/tickets.h"

#include "common/base/subprocess.h"

#include <errno.h>
#include <krb5.h>
#include <profile.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIFETIME_LEFT = 600 };

static bool
failed(krb5_context context, krb5_error_code code, struct error *err, const char *verb,
       const char *object)
{
    const char *text = krb5_get_error_message(context, code);

    error_set(err, ERROR_FAILED, "cannot %s %s: %s", verb, object, text);
    krb5_free_error_message(context, text);
    return false;
}

/* Copy the TGT of PRINCIPAL in cache FROM to TO if it lasts LEFT seconds more. */
static krb5_error_code
copy_tgt(krb5_context context, krb5_ccache from, krb5_principal principal, int left, krb5_ccache to)
{
    krb5_data *realm = krb5_princ_realm(context, principal);
    krb5_creds match, creds;
    krb5_error_code code;

    memset(&match, 0, sizeof(match));
    match.client = principal;
    code = krb5_build_principal(context, &match.server, realm->length, realm->data, "krbtgt",
                                realm->data, NULL);
    if (code == 0)
        code = krb5_cc_retrieve_cred(context, from, 0, &match, &creds);
    krb5_free_principal(context, match.server);
    if (code != 0)
        return code;
    if ((time_t)(uint32_t)creds.times.endtime <= time(NULL) + left)
        code = KRB5KRB_AP_ERR_TKT_EXPIRED;
    if (code == 0)
        code = krb5_cc_initialize(context, to, principal);
    if (code == 0)
        code = krb5_cc_store_cred(context, to, &creds);
    krb5_free_cred_contents(context, &creds);
    return code;
}

/* Copy the TGT of PRINCIPAL in cache file CACHE to TO if it lasts long enough. */
static bool
take_cached(krb5_context context, const char *cache, krb5_principal principal, krb5_ccache to)
{
    krb5_ccache from = NULL;
    krb5_principal owner = NULL;
    char name[4096];
    bool good;

    snprintf(name, sizeof(name), "FILE:%s", cache);
    if (access(cache, R_OK) != 0 || krb5_cc_resolve(context, name, &from) != 0)
        return false;
    good = krb5_cc_get_principal(context, from, &owner) == 0 &&
           krb5_principal_compare(context, owner, principal) &&
           copy_tgt(context, from, principal, LIFETIME_LEFT, to) == 0;
    krb5_free_principal(context, owner);
    krb5_cc_close(context, from);
    return good;
}

/* Keep CREDS for the next run: a new file, renamed over the old. Failing to is no failure. */
static void
keep(krb5_context context, const char *cache, krb5_principal principal, krb5_creds *creds)
{
    char temp[4000], name[4096];
    krb5_ccache file = NULL;

    snprintf(temp, sizeof(temp), "%s.%ld", cache, (long)getpid());
    snprintf(name, sizeof(name), "FILE:%s", temp);
    if (krb5_cc_resolve(context, name, &file) != 0)
        return;
    if (krb5_cc_initialize(context, file, principal) != 0 ||
        krb5_cc_store_cred(context, file, creds) != 0 || rename(temp, cache) != 0)
        unlink(temp);
    krb5_cc_close(context, file);
}

static krb5_error_code
initial_ticket(krb5_context context, krb5_principal principal, const char *keytab,
               krb5_creds *creds)
{
    krb5_get_init_creds_opt *options = NULL;
    krb5_keytab kt = NULL;
    krb5_error_code code = krb5_kt_resolve(context, keytab, &kt);

    memset(creds, 0, sizeof(*creds));
    if (code == 0)
        code = krb5_get_init_creds_opt_alloc(context, &options);
    if (code == 0) {
        krb5_get_init_creds_opt_set_forwardable(options, 0);
        krb5_get_init_creds_opt_set_proxiable(options, 0);
        code = krb5_get_init_creds_keytab(context, creds, principal, kt, 0, NULL, options);
    }
    krb5_get_init_creds_opt_free(context, options);
    if (kt != NULL)
        krb5_kt_close(context, kt);
    return code;
}

static void
explain_initial(krb5_error_code code, const char *keytab, struct error *err)
{
    if (code == KRB5_KDC_UNREACH || code == KRB5_REALM_CANT_RESOLVE) {
        err->code = ERROR_UNREACHABLE;
        error_hint(err, "start the KDC of this primary: systemctl start krb5-kdc; and check the "
                        "realm's kdc lines in krb5.conf");
    } else if (code == KRB5KRB_AP_ERR_SKEW) {
        error_hint(err, "set the clocks: start chrony or systemd-timesyncd");
    } else {
        error_hint(err, "check %s: klist -kt, and 'kadmin.local ktadd -norandkey'", keytab);
    }
}

bool
tickets_obtain(const char *principal, const char *keytab, const char *cache, bool fresh,
               struct error *err)
{
    krb5_context context = NULL;
    krb5_principal parsed = NULL;
    krb5_ccache memory = NULL;
    krb5_creds creds;
    krb5_error_code code;
    bool ok = false;

    memset(&creds, 0, sizeof(creds));
    if (krb5_init_context(&context) != 0)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf");
    setenv("KRB5CCNAME", "MEMORY:kpropctl", 1);
    if ((code = krb5_parse_name(context, principal, &parsed)) != 0 ||
        (code = krb5_cc_resolve(context, "MEMORY:kpropctl", &memory)) != 0) {
        failed(context, code, err, "prepare credentials of", principal);
        goto cleanup;
    }
    ok = !fresh && take_cached(context, cache, parsed, memory);
    if (ok)
        goto cleanup;
    code = initial_ticket(context, parsed, keytab, &creds);
    if (code != 0) {
        failed(context, code, err, "get a ticket for", principal);
        explain_initial(code, keytab, err);
        goto cleanup;
    }
    code = krb5_cc_initialize(context, memory, parsed);
    if (code == 0)
        code = krb5_cc_store_cred(context, memory, &creds);
    if (code != 0) {
        failed(context, code, err, "keep the ticket of", principal);
        goto cleanup;
    }
    keep(context, cache, parsed, &creds);
    ok = true;

cleanup:
    krb5_free_cred_contents(context, &creds);
    if (memory != NULL)
        krb5_cc_close(context, memory);
    krb5_free_principal(context, parsed);
    krb5_free_context(context);
    return ok;
}

bool
tickets_use(const char *ccache, char *client, size_t size, struct error *err)
{
    krb5_context context = NULL;
    krb5_ccache from = NULL, memory = NULL;
    krb5_principal owner = NULL;
    krb5_error_code code;
    char *name = NULL;

    if (krb5_init_context(&context) != 0)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf");
    code = krb5_cc_resolve(context, ccache, &from);
    if (code == 0)
        code = krb5_cc_get_principal(context, from, &owner);
    if (code == 0)
        code = krb5_unparse_name(context, owner, &name);
    if (code == 0)
        code = krb5_cc_resolve(context, "MEMORY:kpropctl", &memory);
    if (code == 0)
        code = copy_tgt(context, from, owner, 0, memory);
    if (code == 0) {
        snprintf(client, size, "%s", name);
        setenv("KRB5CCNAME", "MEMORY:kpropctl", 1);
    } else {
        failed(context, code, err, "use credential cache", ccache);
        error_hint(err, "get a ticket into it: kinit -c %s", ccache);
    }
    krb5_free_unparsed_name(context, name);
    krb5_free_principal(context, owner);
    if (memory != NULL)
        krb5_cc_close(context, memory);
    if (from != NULL)
        krb5_cc_close(context, from);
    krb5_free_context(context);
    return code == 0;
}

bool
tickets_keytab_principal(const char *keytab, char *name, size_t size, struct error *err)
{
    krb5_context context = NULL;
    krb5_keytab kt = NULL;
    krb5_keytab_entry entry;
    krb5_kt_cursor cursor;
    krb5_error_code code;
    char *text = NULL;

    if (krb5_init_context(&context) != 0)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf");
    code = krb5_kt_resolve(context, keytab, &kt);
    if (code == 0)
        code = krb5_kt_start_seq_get(context, kt, &cursor);
    if (code == 0) {
        code = krb5_kt_next_entry(context, kt, &entry, &cursor);
        if (code == 0) {
            code = krb5_unparse_name(context, entry.principal, &text);
            krb5_free_keytab_entry_contents(context, &entry);
        }
        krb5_kt_end_seq_get(context, kt, &cursor);
    }
    if (code == 0)
        snprintf(name, size, "%s", text);
    else
        failed(context, code, err, "read keytab", keytab);
    krb5_free_unparsed_name(context, text);
    if (kt != NULL)
        krb5_kt_close(context, kt);
    krb5_free_context(context);
    return code == 0;
}

bool
tickets_kvno(const char *target, int *kvno, struct error *err)
{
    krb5_context context = NULL;
    krb5_ccache cache = NULL;
    krb5_ticket *ticket = NULL;
    krb5_creds match, *creds = NULL;
    krb5_error_code code;

    *kvno = 0;
    memset(&match, 0, sizeof(match));
    if (krb5_init_context(&context) != 0)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf");
    code = krb5_cc_default(context, &cache);
    if (code == 0)
        code = krb5_cc_get_principal(context, cache, &match.client);
    if (code == 0)
        code = krb5_parse_name(context, target, &match.server);
    if (code == 0)
        code = krb5_get_credentials(context, KRB5_GC_CACHED, cache, &match, &creds);
    if (code == 0)
        code = krb5_decode_ticket(&creds->ticket, &ticket);
    if (code == 0)
        *kvno = (int)ticket->enc_part.kvno;
    else
        failed(context, code, err, "look at the ticket for", target);
    krb5_free_ticket(context, ticket);
    krb5_free_creds(context, creds);
    krb5_free_cred_contents(context, &match);
    if (cache != NULL)
        krb5_cc_close(context, cache);
    krb5_free_context(context);
    return code == 0;
}

/* A context that knows one KDC alone. The profile comes from memory: no file is left behind. */
static krb5_error_code
lone_context(const char *realm, const char *address, int port, krb5_context *context)
{
    bool ipv6 = strchr(address, ':') != NULL;
    char path[64];
    const_profile_filespec_t files[] = { path, NULL };
    profile_t profile = NULL;
    krb5_error_code code;
    int fd = memfd_create("krb5.conf", MFD_CLOEXEC);

    if (fd < 0)
        return ENOMEM;
    dprintf(fd,
            "[libdefaults]\ndefault_realm = %s\ndns_lookup_kdc = false\ndns_lookup_realm = false\n"
            "[realms]\n%s = {\nkdc = %s%s%s:%d\n}\n",
            realm, realm, ipv6 ? "[" : "", address, ipv6 ? "]" : "", port);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    code = (krb5_error_code)profile_init(files, &profile);
    if (code == 0)
        code = krb5_init_context_profile(profile, 0, context);
    profile_release(profile);
    /* It stays open until this process ends: libprofile looks at the file again each second, and
       would find another one, or none, behind that name. */
    return code;
}

struct proof_message {
    krb5_error_code code;
    int kvno;
    char text[512];
};

/* In the child: libkrb5 has no deadline of its own that one could set from outside. */
static void
exchange(const char *principal, const char *keytab, const char *realm, const char *address,
         int port, struct proof_message *message)
{
    krb5_context context = NULL;
    krb5_principal parsed = NULL;
    krb5_ticket *ticket = NULL;
    krb5_creds creds;
    const char *text;

    memset(&creds, 0, sizeof(creds));
    message->code = lone_context(realm, address, port, &context);
    if (message->code == 0)
        message->code = krb5_parse_name(context, principal, &parsed);
    if (message->code == 0)
        message->code = initial_ticket(context, parsed, keytab, &creds);
    if (message->code == 0 && krb5_decode_ticket(&creds.ticket, &ticket) == 0) {
        message->kvno = (int)ticket->enc_part.kvno;
        krb5_free_ticket(context, ticket);
    }
    if (message->code != 0) {
        text = krb5_get_error_message(context, message->code);
        snprintf(message->text, sizeof(message->text), "%s", text);
        krb5_free_error_message(context, text);
    }
}

static bool
is_of_master_key(const struct proof_message *message)
{
    return message->code == KRB5KRB_AP_ERR_BAD_INTEGRITY || message->code == KRB5KRB_ERR_GENERIC;
}

static void
explain_proof(const struct proof_message *message, const char *address, int port, struct error *err)
{
    if (message->code == KRB5_KDC_UNREACH)
        error_hint(err,
                   "krb5kdc does not answer on %s port %d (UDP and TCP): look at systemctl status "
                   "krb5-kdc there, and at firewalls in between",
                   address, port);
    else if (is_of_master_key(message))
        error_hint(err, "its KDC cannot decrypt its own database: the stash there is of another "
                        "master key; bring the primary's stash over and restart krb5kdc there");
    else
        error_hint(err, "look at the log of krb5kdc there");
}

bool
tickets_prove(const char *principal, const char *keytab, const char *realm, const char *address,
              int port, int timeout, struct ticket_proof *proof, struct error *err)
{
    struct proof_message message = { .code = -1 };
    struct subprocess child = { .pid = -1, .out = -1, .err = -1 };
    struct subprocess_result result;
    struct timespec start, end;
    pid_t parent = getpid();
    int fds[2];

    memset(proof, 0, sizeof(*proof));
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (pipe(fds) != 0 || (child.pid = fork()) < 0)
        return error_memory(err);
    if (child.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        exchange(principal, keytab, realm, address, port, &message);
        _exit(write(fds[1], &message, sizeof(message)) == (ssize_t)sizeof(message) ? 0 : 1);
    }
    close(fds[1]);
    subprocess_result_init(&result);
    subprocess_wait(&child, timeout * 1000, &result);
    if (!subprocess_succeeded(&result) ||
        read(fds[0], &message, sizeof(message)) != (ssize_t)sizeof(message)) {
        message.code = KRB5_KDC_UNREACH;
        snprintf(message.text, sizeof(message.text), "no answer within %d s", timeout);
    }
    close(fds[0]);
    clock_gettime(CLOCK_MONOTONIC, &end);
    proof->seconds =
        (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    proof->kvno = message.kvno;
    if (message.code == 0)
        return true;
    error_set(err, message.code == KRB5_KDC_UNREACH ? ERROR_UNREACHABLE : ERROR_FAILED,
              "cannot get a ticket from the KDC at %s port %d: %s", address, port, message.text);
    proof->other_master_key = is_of_master_key(&message);
    explain_proof(&message, address, port, err);
    return false;
}
