/*
 * portreserve - what portreserve (EL6, EL7) holds, as it reads its own files, and how to ask it to
 * let go.
 *
 * The facts are those of portreserve 0.0.4 and 0.0.5: every file of /etc/portreserve whose name has
 * neither '.' nor '~' holds lines of SERVICE or SERVICE/PROTO; a release names the file, goes to
 * a datagram socket, and gets no answer.
 */
#ifndef KPC_PORTRESERVE_H
#define KPC_PORTRESERVE_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PORTRESERVE_FOLDER "/etc/portreserve"
#define PORTRESERVE_SOCKET "/var/run/portreserve/socket"
#define PORTRESERVE_PIDFILE "/var/run/portreserve.pid"

enum {
    PORTRESERVE_FILES_MAX = 64,
    PORTRESERVE_PORTS_MAX = 32, /* of one file */
    PORTRESERVE_NAME_MAX = 99,  /* bytes of a name that the daemon receives */
};

struct portreserve_port {
    uint16_t port;
    bool udp;
};

struct portreserve_file {
    char name[256]; /* also what releases it */
    struct portreserve_port ports[PORTRESERVE_PORTS_MAX];
    size_t count;
};

/* Does releasing one name drop every reservation (0.0.4 as EL6 first shipped it)? */
enum portreserve_age { PORTRESERVE_UNKNOWN, PORTRESERVE_OLD, PORTRESERVE_FIXED };

struct portreserve {
    char folder[256];                                     /* as asked for, without the root */
    struct portreserve_file files[PORTRESERVE_FILES_MAX]; /* in the order of the folder */
    size_t count;
    size_t left_out;   /* more files than fit */
    pid_t pid;         /* the daemon, 0 if it is not seen running */
    char problem[256]; /* a file that cannot be read or is none, "" if all are good */
};

/*
 * The ports that LEN bytes of one file reserve, at most MAX into PORTS, with all that portreserve
 * misreads: lines break after 99 bytes, '754 # note' is 754, ' 754/TCP' is TCP. Returns how many.
 */
size_t portreserve_parse(const char *data, size_t len, struct portreserve_port *ports, size_t max);

/*
 * Read the files of FOLDER (NULL: /etc/portreserve) and the pid file, both below ROOT (NULL: the
 * host's own), into OUT. A folder that is missing is no error. Never waits on a fifo.
 */
bool portreserve_read(const char *root, const char *folder, struct portreserve *out,
                      struct error *err);

/* The first file from index *AT on that reserves PORT for TCP (*AT is moved past it), or NULL. */
const struct portreserve_file *portreserve_find(const struct portreserve *reserve, uint16_t port,
                                                size_t *at);

/*
 * The reservations other than PORT/tcp, of file NAME or (NULL) of all files, as "749/tcp, 750/udp"
 * into TEXT. Returns how many.
 */
size_t portreserve_others(const struct portreserve *reserve, const char *name, uint16_t port,
                          char *text, size_t size);

/*
 * Ask the daemon below ROOT to release NAME. True only means that it was sent. Errors:
 * ERROR_FAILED: it does not run or does not read; ERROR_REFUSED: the socket is a link, a fifo or
 * someone else's, or NAME would release something else ('*', or too long).
 */
bool portreserve_send(const char *root, const char *name, struct error *err);

/* Which one is installed, as rpm tells. */
enum portreserve_age portreserve_installed_age(void);

/* As above, of the text "VERSION-RELEASE". */
enum portreserve_age portreserve_age_of(const char *version);

#endif
