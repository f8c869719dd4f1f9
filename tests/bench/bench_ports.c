/*
 * Naming who holds a port without listening, on a host with 2,000 processes and 50,000 descriptors,
 * by each way, beside `lsof -nP -i :754`, which does not find it. Target: at most a tenth.
 *
 * All in pid, mount and network namespaces of its own, so that both programs see these processes
 * and no others; all are in one control group, so that this does not tell where to look. The holder
 * is started last. What counts is one with the few descriptors of a small daemon, as portreserve
 * is; the worst case is told too: a holder with more descriptors than all others, which is looked
 * at last.
 */
#include "tests/unit/holders.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

enum { PROCESSES = 2000, DESCRIPTORS = 25, ROUNDS = 5, TARGET = 10 };

static double
seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Files, pipes and sockets, as servers have them; the three standard ones count too. */
static bool
open_descriptors(void)
{
    int pair[2];

    for (int have = 3; have < DESCRIPTORS; have += 2) {
        bool ok = have % 3 == 0 ? pipe(pair) == 0
                  : have % 3 == 1
                      ? socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0
                      : open("/etc/services", O_RDONLY) >= 0 && socket(AF_INET, SOCK_DGRAM, 0) >= 0;

        if (!ok)
            return false;
    }
    return true;
}

static bool
open_more_descriptors(void)
{
    return open_descriptors() && open("/etc/services", O_RDONLY) >= 0;
}

/* Run ARGV with its output dropped; the time it took, its exit status into *STATUS. */
static double
time_one(const char *const *argv, int *status)
{
    double start = seconds();
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    waitpid(pid, status, 0);
    *status = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128;
    return seconds() - start;
}

static double
median(const char *const *argv, int *status)
{
    double times[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        times[i] = time_one(argv, status);
        for (int j = i; j > 0 && times[j] < times[j - 1]; j--) {
            double swap = times[j];

            times[j] = times[j - 1];
            times[j - 1] = swap;
        }
    }
    return times[ROUNDS / 2];
}

/* Beside THEIRS (lsof's time): each way, and whether the first meets the target. */
static int
measure(const char *program, double theirs, const char *who, bool judged)
{
    const char *ways[] = { "sock_diag", "pidfd", "proc" };
    int status, result = 0;

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        const char *argv[] = { program, "port", "--way", ways[i], NULL };
        double ours = median(argv, &status);
        bool good = ours * TARGET <= theirs, counts = judged && i == 0;

        if (status != 1) {
            fprintf(stderr, "ports: kpropctl port --way %s: exit %d\n", ways[i], status);
            return 5;
        }
        printf("ports: %s, way %-9s %4.0f ms, 1/%.1f of lsof%s\n", who, ways[i], ours * 1e3,
               theirs / ours,
               !counts ? ""
               : good  ? " (target 1/10: met)"
                       : " (target 1/10: MISSED)");
        if (counts && !good)
            result = 1;
    }
    return result;
}

static int
measure_all(const char *program)
{
    struct holder small = { .address = "0.0.0.0" };
    struct holder large = { .address = "0.0.0.0", .more = open_more_descriptors };
    const char *lsof[] = { "lsof", "-nP", "-i", ":754", NULL };
    pid_t pid = holder_start(&small);
    int status, result;
    double theirs = median(lsof, &status);

    if (pid < 0 || status > 1) {
        fprintf(stderr, "ports: cannot hold port %d, or run lsof\n", PORT);
        return 5;
    }
    printf("ports: %d processes, %d descriptors: lsof -nP -i :754 takes %.0f ms and finds %s\n",
           PROCESSES, PROCESSES * DESCRIPTORS, theirs * 1e3, status == 0 ? "it" : "nothing");
    result = measure(program, theirs, "a small holder", true);
    holder_end(pid);
    pid = holder_start(&large);
    if (pid < 0)
        return 5;
    return measure(program, theirs, "the worst case", false) != 0 ? 5 : result;
}

/* Pid 1 of the namespaces: when it ends, all the others do. */
static int
inside(const char *program)
{
    struct holder idle = { .more = open_descriptors };

    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("proc", "/proc", "proc", 0, NULL) != 0 || !own_network()) {
        perror("ports: cannot make namespaces");
        return 5;
    }
    for (int i = 0; i < PROCESSES - 1; i++) {
        if (holder_start(&idle) < 0) {
            perror("ports: cannot start processes");
            return 5;
        }
    }
    return measure_all(program);
}

int
main(void)
{
    char self[PATH_MAX] = "", program[PATH_MAX + 16];
    int status;
    pid_t pid;

    if (geteuid() != 0) {
        fprintf(stderr, "ports: this figure needs root\n");
        return 5;
    }
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 5;
    snprintf(program, sizeof(program), "%s/kpropctl", dirname(dirname(self)));
    if (access(program, X_OK) != 0) {
        snprintf(program, sizeof(program), "%s/kpropctl", dirname(self));
        if (access(program, X_OK) != 0) {
            fprintf(stderr, "ports: %s is not built\n", program);
            return 5;
        }
    }
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) {
        perror("ports: cannot make namespaces");
        return 5;
    }
    pid = fork();
    if (pid == 0)
        _exit(fflush(stdout) == 0 ? (status = inside(program), fflush(stdout), status) : 5);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 5;
    return WEXITSTATUS(status);
}
