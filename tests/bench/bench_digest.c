/*
 * bench_digest [PRINCIPALS]: what the digest of a database costs, against `kdb5_util dump` of the
 * same. Target: at most a quarter. Exit status 1 if it is more.
 *
 * A realm of its own in a temporary folder; the database is loaded from a dump that is made up of
 * one real principal. Dump and digest take turns, the least time of each counts. Both run as in
 * production: kdb5_util as a program writing a file, the digest in the child of common/database.
 */
#include "common/kdb/backend.h"
#include "common/kdb/database.h"
#include "common/kdb/dump.h"
#include "tests/unit/throwaway_realm.h"

#include <fcntl.h>
#include <time.h>

#define TARGET 0.25
#define ROUNDS 5

struct bench {
    struct realm realm;
    unsigned long principals;
    char database[128];
    char small[128]; /* the dump that the large one is made of */
    char large[128];
    double dump;   /* seconds: kdb5_util dump, */
    double digest; /* our walk with the digest, */
    double decode; /* our decoder over the dump (processor time) */
    uint64_t bytes;
    unsigned char of_dump[DIGEST_SIZE];
    unsigned char of_database[DIGEST_SIZE];
};

static const unsigned char nonce[DIGEST_NONCE_SIZE] = "a benchmark needs no secret";

static double
now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
least(double *best, double seconds)
{
    if (*best == 0 || seconds < *best)
        *best = seconds;
}

static bool
make_database(struct bench *b)
{
    char count[32];
    const char *dump[] = { "/usr/sbin/kdb5_util", "-r", REALM, "dump", b->small, NULL };
    const char *make[] = { "/usr/bin/python3",
                           TEST_SOURCE_DIR "/lib/make_dump.py",
                           b->small,
                           b->large,
                           "-n",
                           count,
                           "-p",
                           "20",
                           NULL };
    const char *load[] = { "/usr/sbin/kdb5_util", "-r", REALM, "load", b->large, NULL };

    snprintf(count, sizeof(count), "%lu", b->principals);
    return realm_admin(&b->realm, "addprinc -randkey user") && realm_run(&b->realm, dump) &&
           realm_run(&b->realm, make) && realm_run(&b->realm, load);
}

static bool
time_dump(struct bench *b)
{
    const char *dump[] = { "/usr/sbin/kdb5_util", "-r", REALM, "dump", b->large, NULL };
    double start = now(CLOCK_MONOTONIC);

    if (!realm_run(&b->realm, dump))
        return false;
    least(&b->dump, now(CLOCK_MONOTONIC) - start);
    return true;
}

static bool
time_digest(struct bench *b, struct error *err)
{
    struct database db = { .backend = backend_find(NULL), .realm = REALM, .path = b->database };
    struct database_question question = { .nonce = nonce };
    struct database_answer answer;
    double start = now(CLOCK_MONOTONIC);

    if (!database_examine(&db, &question, 60000, &answer, err))
        return false;
    least(&b->digest, now(CLOCK_MONOTONIC) - start);
    memcpy(b->of_database, answer.digest, DIGEST_SIZE);
    return true;
}

static bool
time_decode(struct bench *b, struct error *err)
{
    struct dump *decoder = dump_new(REALM, NULL, nonce);
    double start = now(CLOCK_PROCESS_CPUTIME_ID);
    int fd = open(b->large, O_RDONLY | O_CLOEXEC);
    static char data[65536];
    struct dump_info info;
    bool ok = decoder != NULL && fd >= 0;
    ssize_t n = 0;

    error_clear(err);
    while (ok && (n = read(fd, data, sizeof(data))) > 0)
        ok = dump_feed(decoder, data, (size_t)n, err);
    ok = ok && n == 0 && dump_finish(decoder, &info, err);
    if (ok) {
        least(&b->decode, now(CLOCK_PROCESS_CPUTIME_ID) - start);
        memcpy(b->of_dump, info.digest, DIGEST_SIZE);
        b->bytes = info.bytes;
    }
    if (fd >= 0)
        close(fd);
    dump_free(decoder);
    return ok;
}

static bool
run(struct bench *b, struct error *err)
{
    error_clear(err);
    if (!make_database(b))
        return error_set(err, ERROR_FAILED, "cannot make the database");
    for (int i = 0; i < ROUNDS; i++) {
        if (!time_dump(b))
            return error_set(err, ERROR_FAILED, "cannot dump the database");
        if (!time_digest(b, err) || !time_decode(b, err))
            return false;
    }
    if (memcmp(b->of_dump, b->of_database, DIGEST_SIZE) != 0)
        return error_set(err, ERROR_FAILED, "the digests of dump and database differ");
    return true;
}

int
main(int argc, char **argv)
{
    struct bench b = { .principals = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000 };
    struct error err;
    bool ok;

    if (!realm_up(&b.realm)) {
        fprintf(stderr, "bench_digest: cannot make a realm\n");
        return 5;
    }
    realm_path(&b.realm, "principal", b.database, sizeof(b.database));
    realm_path(&b.realm, "small", b.small, sizeof(b.small));
    realm_path(&b.realm, "large", b.large, sizeof(b.large));
    ok = run(&b, &err);
    realm_down(&b.realm);
    if (!ok) {
        fprintf(stderr, "bench_digest: %s\n", err.text);
        return 5;
    }
    printf("digest of %lu principals (%.1f MB as a dump), best of %d\n", b.principals,
           (double)b.bytes / 1e6, ROUNDS);
    printf("  kdb5_util dump            %7.3f s\n", b.dump);
    printf("  digest of the database    %7.3f s   ratio %.3f, at most %.2f: %s\n", b.digest,
           b.digest / b.dump, TARGET, b.digest <= TARGET * b.dump ? "met" : "MISSED");
    printf("  decoding the dump (CPU)   %7.3f s   ratio %.3f\n", b.decode, b.decode / b.dump);
    return b.digest <= TARGET * b.dump ? 0 : 1;
}
