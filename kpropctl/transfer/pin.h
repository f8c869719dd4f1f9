/*
 * pin - hold the connections of a program to one address, whatever its resolver tells it.
 *
 * The kernel hands each connect(2) of the program, and of what it starts, to us (seccomp's user
 * notification with pidfd_getfd, Linux 5.6, 64-bit). A TCP connection to the port of the address is
 * then made to the address, wherever it was to go; all others go on as they are.
 */
#ifndef KPC_PIN_H
#define KPC_PIN_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

struct pin;

/*
 * Hold to ADDRESS, of IPv4 or IPv6, with its port. NULL without an error where this system cannot
 * do that; NULL with ERR on another failure. Free with pin_free.
 */
struct pin *pin_new(const struct sockaddr_storage *address, struct error *err);
void pin_free(struct pin *pin);

/* In the child, before it executes the program (subprocess.h): 0 or an errno. */
int pin_confine(void *pin);

/* In the parent, once the program was started, or was not: false where the kernel has refused to
 * hold it. The program is then to be ended, for it cannot connect. */
bool pin_begin(struct pin *pin, pid_t pid);

/* What to poll for input, -1 after the end of the program: then pin_serve. */
int pin_fd(const struct pin *pin);

/* Serve one connect(2), which may take until DEADLINE (clock_monotonic()). */
void pin_serve(struct pin *pin, double deadline);

#endif
