/*
 * via - a program of the administrator's that runs a command on another host: ssh, or whatever is
 * trusted to.
 *
 * No shell is called here. The command's words go behind the program's own; they have nothing in
 * them that a shell reads otherwise, so that ssh, which hands them to one, and programs that
 * execute them as they are do the same.
 */
#ifndef KPC_VIA_H
#define KPC_VIA_H

#include "common/base/errors.h"
#include "common/base/subprocess.h"

#include <stdbool.h>
#include <stddef.h>

enum { VIA_WORDS_MAX = 64 };

struct via;

/*
 * TEXT ("ssh root@%h") as words: blanks separate them, '…' and "…" keep blanks, a backslash takes
 * the next character as it is (not within '…'). %h is the host, %% a percent sign. The program
 * (first word) must be there. What of this process's environment such programs need is remembered
 * as it is now. ERROR_USAGE for anything else. Free *OUT with via_free.
 */
bool via_new(const char *text, struct via **out, struct error *err);
void via_free(struct via *via);

/* Does a word name the host? Without, it is always the same one. */
bool via_names_host(const struct via *via);

/* The program and its words for HOST, as told to a person. */
const char *via_describe(const struct via *via, const char *host, char *text, size_t size);

struct via_job {
    const char *const *command; /* words of letters, digits and "-_./=:+,@" alone; ended by NULL */
    const void *data;           /* its standard input; NULL: */
    size_t len;
    int in;      /* this descriptor is; 0: nothing */
    int timeout; /* seconds */
    bool last;   /* goes on although a signal has come: to clean up */
};

/*
 * While held, SIGINT, SIGTERM and SIGHUP wait: the job at work is ended by them and fails, and what
 * is to be cleaned up can be, before they are let through.
 */
void via_hold_signals(sigset_t *before);
void via_release_signals(const sigset_t *before);

/*
 * Run JOB on HOST. True with RESULT (initialised here, freed by the caller in every case; at most 1
 * MiB of standard output) when the command has ended there by itself, whatever its status. Else
 * ERR: ERROR_UNREACHABLE when the program says that it cannot reach HOST (status 255, as ssh does)
 * or when the time is over, ERROR_FAILED after a signal. Nothing of ours is left running here.
 */
bool via_run(const struct via *via, const char *host, const struct via_job *job,
             struct subprocess_result *result, struct error *err);

/* The last line of what a job has written, printable. */
const char *via_last_words(const struct subprocess_result *result, char *text, size_t size);

#endif
