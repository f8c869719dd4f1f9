/*
 * forked - run a function in a child of its own, with a deadline, because it may crash or spin.
 *
 * The child's core is never dumped, its standard descriptors are /dev/null, and it dies with its
 * parent. What it finds it sends as messages through a pipe.
 */
#ifndef KPC_FORKED_H
#define KPC_FORKED_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>

/* In the child: where messages go. */
struct forked_outlet;

/* Send LEN bytes (at most 64 KiB) as one message. False when the parent is gone or stopped. */
bool forked_send(struct forked_outlet *outlet, const void *data, size_t len);

/* In the child: end it with ERR (none: well) at once, wherever its work is. */
void forked_fail(struct forked_outlet *outlet, const struct error *err) __attribute__((noreturn));

/* What the child does with ARG. False with ERR set: forked_run fails with it. */
typedef bool forked_work(void *arg, struct forked_outlet *outlet, struct error *err);

/* What this process does with ARG and each message. False stops the child; ERR may say why. */
typedef bool forked_receive(void *arg, const void *data, size_t len, struct error *err);

/*
 * Run WORK to its end in a child and RECEIVE its messages. WHAT ("read database F") is for messages
 * such as "cannot WHAT: crashed (signal 11)" and "cannot WHAT: not finished after 60 s". False
 * with ERR when WORK or RECEIVE failed, the child died or TIMEOUT_MS passed; the child is then
 * gone.
 */
bool forked_run(forked_work *work, forked_receive *receive, void *arg, int timeout_ms,
                const char *what, struct error *err);

#endif
