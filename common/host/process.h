/*
 * process - what a person wants to know of a process: program, command line, user, unit.
 *
 * Everything comes from /proc, is bounded, and is made valid UTF-8 without control characters,
 * since a process chooses its own name and arguments.
 */
#ifndef KPC_PROCESS_H
#define KPC_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum process_starter {
    STARTED_UNKNOWN,
    STARTED_BY_MANAGER, /* it is in a service of systemd's */
    STARTED_BY_PERSON,  /* it is in somebody's login session */
};

struct process_info {
    pid_t pid;
    pid_t ppid;
    int64_t uid;       /* effective; -1 if not known */
    char name[32];     /* the kernel's short name (comm) */
    char program[512]; /* path of its executable; the short name where that cannot be read */
    char command[1024];
    char user[64];  /* name of UID, or the number as text */
    char unit[256]; /* systemd unit, "" if none is known */
    enum process_starter starter;
};

/* Fill INFO with what can be seen of PID. False (and INFO empty but for pid) if it is gone. */
bool process_describe(pid_t pid, struct process_info *info);

/* True if INFO's executable, or its short name, is called NAME (the last part of the path). */
bool process_is(const struct process_info *info, const char *name);

/* The name of user UID into TEXT, or its number if it has none. */
void process_user(int64_t uid, char *text, size_t size);

/*
 * The unit that the text of /proc/PID/cgroup tells, into UNIT ("" if none), and who started what is
 * in it. The last part of the path that is a service, scope, socket or mount counts, of the line of
 * systemd's own hierarchy.
 */
enum process_starter process_unit(const char *cgroup, char *unit, size_t size);

/* Copy LEN bytes of DATA as a string: NUL becomes a space, what is no printable UTF-8 '?'. */
void text_clean(const char *data, size_t len, char *out, size_t size);

/*
 * Read at most SIZE - 1 bytes of a file of /proc into TEXT and end it with a NUL. Returns the
 * length or -1.
 */
ssize_t proc_read(const char *path, char *text, size_t size);

#endif
