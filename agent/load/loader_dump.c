/* loader_dump - what the loader does with the dump itself: prove it, feed it to kdb5_util. */
#include "agent/load/loader_job.h"

#include "common/base/files.h"
#include "common/base/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, LOAD_BASE_MS = 120 * 1000, LOAD_MS_PER_MB = 1000 };

/* What takes the bytes of the dump. */
typedef bool taker(void *arg, const void *data, size_t len, struct error *err);

static bool
read_dump(const struct loader_job *job, taker *take, void *arg, struct error *err)
{
    unsigned char *chunk = malloc(CHUNK);
    int fd = open(job->dump, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = false;
    ssize_t n = 1;

    if (chunk == NULL) {
        error_memory(err);
        goto cleanup;
    }
    if (fd < 0) {
        error_errno(err, ERROR_FAILED, errno, "cannot read dump %s", job->request->file);
        goto cleanup;
    }
    while (n != 0) {
        n = read(fd, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_errno(err, ERROR_FAILED, errno, "cannot read dump %s", job->request->file);
            goto cleanup;
        }
        if (n > 0 && !take(arg, chunk, (size_t)n, err))
            goto cleanup;
    }
    ok = true;

cleanup:
    if (chunk != NULL)
        explicit_bzero(chunk, CHUNK);
    free(chunk);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool
take_hash(void *arg, const void *data, size_t len, struct error *err)
{
    if (EVP_DigestUpdate(arg, data, len) == 1)
        return true;
    return error_set(err, ERROR_INTERNAL, "cannot hash the dump");
}

bool
loader_hash(struct loader_job *job, struct error *err)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool ok = false;

    if (hash == NULL || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1) {
        error_set(err, ERROR_INTERNAL, "cannot hash the dump");
    } else {
        ok = read_dump(job, take_hash, hash, err) &&
             EVP_DigestFinal_ex(hash, job->outcome->sha256, NULL) == 1;
        job->outcome->has_sha256 = ok;
    }
    EVP_MD_CTX_free(hash);
    return ok;
}

static bool
take_dump_bytes(void *arg, const void *data, size_t len, struct error *err)
{
    return dump_feed(arg, data, len, err);
}

/* Nobody said what is in it: it must at least be whole, and it is compared with itself. */
static bool
decode_dump(struct loader_job *job, struct error *err)
{
    struct outcome *o = job->outcome;
    struct dump *dump;
    bool ok;

    if (getrandom(o->nonce, sizeof(o->nonce), 0) != (ssize_t)sizeof(o->nonce))
        return error_errno(err, ERROR_INTERNAL, errno, "cannot make a nonce");
    dump = dump_new(job->request->realm->name, job->request->realm->master_key, o->nonce);
    if (dump == NULL)
        return error_memory(err);
    ok = read_dump(job, take_dump_bytes, dump, err) && dump_finish(dump, &job->info, err);
    dump_free(dump);
    if (!ok) {
        error_prefix(err, "cannot load dump %s", job->request->file);
        if (err->hint[0] == '\0')
            error_hint(err, "The dump is damaged: make it anew and send it again");
        return false;
    }
    memcpy(o->sha256, job->info.sha256, sizeof(o->sha256));
    o->has_sha256 = true;
    return true;
}

/* Counts that have halved are worth a word, but an administrator may well have deleted them. */
static void
note_shrinking(struct loader_job *job)
{
    const struct loader_request *request = job->request;
    json_t *last = announcement_last_good(request->state, request->realm->name, false);
    json_int_t before = json_integer_value(json_object_get(last, "principals"));

    if (before > 0 && (double)job->info.principals < 0.8 * (double)before)
        loader_note(job, "the dump has %llu principals, the last verified one had %lld",
                    (unsigned long long)job->info.principals, (long long)before);
    json_decref(last);
}

static bool
compare_announced(struct loader_job *job, struct error *err)
{
    const struct announcement *a = &job->announcement;
    const struct outcome *o = job->outcome;

    if (o->bytes == a->size && memcmp(o->sha256, a->sha256, sizeof(a->sha256)) == 0)
        return true;
    if (o->bytes != a->size)
        error_set(
            err, ERROR_REFUSED,
            "cannot load dump %s: it has %llu bytes, generation %llu announced by %s has %llu",
            job->request->file, (unsigned long long)o->bytes, (unsigned long long)a->generation,
            a->from, (unsigned long long)a->size);
    else
        error_set(err, ERROR_REFUSED,
                  "cannot load dump %s: it is not generation %llu, which %s announced",
                  job->request->file, (unsigned long long)a->generation, a->from);
    return error_hint(err, o->bytes < a->size
                               ? "The transfer was cut, or the disk of the replica is full; or "
                                 "another program runs kprop: end that, and send again"
                               : "Another program runs kprop: end that, and send again");
}

/* Is it the database that the KDC reads, by whatever path? */
static bool
is_the_kdcs(const struct loader_request *request)
{
    const char *kdcs = request->realm->database;
    struct stat ours, theirs;

    if (kdcs == NULL || strcmp(request->database, kdcs) == 0)
        return true;
    return stat(request->database, &ours) == 0 && stat(kdcs, &theirs) == 0 &&
           ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* kpropd has an option for another one (-F): what it held would be taken for what is served. */
static bool
refuse_other_database(const struct loader_job *job, struct error *err)
{
    error_set(err, ERROR_REFUSED,
              "cannot load generation %llu into %s: the KDC of realm %s reads %s",
              (unsigned long long)job->announcement.generation, job->request->database,
              job->request->realm->name, job->request->realm->database);
    return error_hint(err, "Start kpropd without -F, or set database_name of the realm on the "
                           "replica to the database that its KDC reads");
}

/* Nobody announced it, or another one: it must be admitted, and is compared with itself. */
static bool
validate_unannounced(struct loader_job *job, struct error *err)
{
    enum loader_admission how;

    if (!loader_admit(job, &how, err) || !decode_dump(job, err))
        return false;
    note_shrinking(job);
    return loader_use_admission(job, how, err);
}

static bool
validate_announced(struct loader_job *job, struct error *err)
{
    struct outcome *o = job->outcome;
    const struct announcement *a = &job->announcement;

    if (!loader_hash(job, err))
        return false;
    if ((o->bytes != a->size || memcmp(o->sha256, a->sha256, sizeof(a->sha256)) != 0) &&
        (a->live || loader_admits_other(job)))
        return validate_unannounced(job, err);
    o->announced = true;
    o->generation = a->generation;
    memcpy(o->nonce, a->nonce, sizeof(o->nonce));
    loader_stage(job, "validate");
    if (!is_the_kdcs(job->request))
        return refuse_other_database(job, err);
    return compare_announced(job, err);
}

bool
loader_validate(struct loader_job *job, struct error *err)
{
    const struct loader_request *request = job->request;
    bool found = request->again != NULL;

    if (found)
        job->announcement = *request->again;
    else if (!announcement_read(request->state, request->realm->name, &job->announcement, &found,
                                err))
        return false;
    return found ? validate_announced(job, err) : validate_unannounced(job, err);
}

bool
loader_header(const struct loader_job *job, char *line, size_t size, struct error *err)
{
    FILE *fp = fopen(job->dump, "re");
    bool ok = fp != NULL && fgets(line, (int)size, fp) != NULL;

    if (fp != NULL)
        fclose(fp);
    return ok ||
           error_set(err, ERROR_FAILED, "cannot read the header of dump %s", job->request->file);
}

static bool
is_incremental(const char *header)
{
    return strncmp(header, "iprop", 5) == 0;
}

/*
 * kdb5_util writes the update log that the profile names, before we know whether the new database
 * is good: let it write one of ours. Only where the profile is a file that can be read is this
 * possible, and needed.
 */
static bool
write_profile(const struct loader_job *job, char *variable, size_t size, struct error *err)
{
    const struct realm *realm = job->request->realm;
    const char *profile = getenv("KRB5_KDC_PROFILE"), *slash = strrchr(realm->kpropd_acl, '/');
    char original[PATH_MAX], name[PATH_MAX + 16], text[2 * PATH_MAX];

    if (profile != NULL)
        snprintf(original, sizeof(original), "%s", profile);
    else
        snprintf(original, sizeof(original), "%.*s/kdc.conf",
                 slash == NULL ? 0 : (int)(slash - realm->kpropd_acl), realm->kpropd_acl);
    snprintf(variable, size, "KRB5_KDC_PROFILE=%s", original);
    if (!realm->iprop || access(original, R_OK) != 0)
        return true;
    snprintf(name, sizeof(name), "%s/kdc.conf", job->staging_folder);
    snprintf(text, sizeof(text),
             "[realms]\n    %s = {\n        iprop_logfile = %s/update.log\n    }\ninclude %s\n",
             realm->name, job->staging_folder, original);
    snprintf(variable, size, "KRB5_KDC_PROFILE=%s", name);
    return file_replace(name, text, strlen(text), 0600, err);
}

static bool
judge_load(struct loader_job *job, const struct subprocess_result *result, struct error *err)
{
    char how[128], last[300];

    snprintf(job->outcome->kdb5_util_stderr, sizeof(job->outcome->kdb5_util_stderr), "%.*s",
             (int)(result->err.len < 2000 ? result->err.len : 2000),
             result->err.data == NULL ? "" : (const char *)result->err.data);
    if (subprocess_succeeded(result))
        return true;
    subprocess_last_line(result, last, sizeof(last));
    error_set(err, ERROR_FAILED, "cannot load: %s load: %s%s%s", job->request->kdb5_util,
              subprocess_describe(result, how, sizeof(how)), last[0] != '\0' ? ": " : "", last);
    return error_hint(err, "See the text of kdb5_util");
}

bool
loader_load(struct loader_job *job, const char *path, struct error *err)
{
    const struct loader_request *request = job->request;
    char profile[PATH_MAX + 64], config[PATH_MAX + 64], header[LOADER_HEADER_MAX];
    const char *environment[] = { profile, NULL, NULL };
    const char *argv[10];
    struct subprocess_result result;
    size_t n = 0;
    bool ok;

    if (!loader_header(job, header, sizeof(header), err) ||
        !write_profile(job, profile, sizeof(profile), err))
        return false;
    if (getenv("KRB5_CONFIG") != NULL) {
        snprintf(config, sizeof(config), "KRB5_CONFIG=%s", getenv("KRB5_CONFIG"));
        environment[1] = config;
    }
    argv[n++] = request->kdb5_util;
    argv[n++] = "-r";
    argv[n++] = request->realm->name;
    argv[n++] = "-d";
    argv[n++] = path;
    argv[n++] = "load";
    /* A plain dump is refused with -i, and without it makes the update log begin anew: right so. */
    if (request->incremental && is_incremental(header))
        argv[n++] = "-i";
    argv[n++] = job->dump;
    argv[n] = NULL;
    ok = subprocess_run(argv, environment,
                        LOAD_BASE_MS + (int)(job->outcome->bytes >> 20) * LOAD_MS_PER_MB, &result,
                        err) &&
         judge_load(job, &result, err);
    subprocess_result_free(&result);
    return ok;
}

bool
loader_ulog(struct loader_job *job, bool before, struct error *err)
{
    const struct realm *realm = job->request->realm;
    struct database_ulog_place place;
    char header[LOADER_HEADER_MAX];
    unsigned int version;
    bool placed;

    if (!realm->iprop || realm->iprop_log == NULL)
        return true;
    if (before)
        return database_ulog_set(realm->iprop_log, realm->iprop_log_entries, NULL, err);
    if (!job->request->incremental || !loader_header(job, header, sizeof(header), err))
        return true;
    /* As parse_iprop_header of kdb5_util reads it. */
    placed = sscanf(header, "ipropx %u %u %u %u", &version, &place.serial, &place.seconds,
                    &place.useconds) == 4 ||
             sscanf(header, "iprop %u %u %u", &place.serial, &place.seconds, &place.useconds) == 3;
    return !placed || database_ulog_set(realm->iprop_log, realm->iprop_log_entries, &place, err);
}
