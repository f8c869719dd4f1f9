/*
 * commands - the table of subcommands. Help, usage and completion come from its rows.
 */
#ifndef KPC_COMMANDS_H
#define KPC_COMMANDS_H

#include "kpropctl/base/command_context.h"

enum command_needs {
    NEEDS_NOTHING = 0,
    NEEDS_REALM = 1, /* context->realm is loaded before */
    NEEDS_ROOT = 2,
};

struct command {
    const char *name;
    const char *alias; /* or NULL */
    const char *usage; /* arguments, as in the usage line */
    const char *summary;
    const char *options; /* lines for --help, or NULL */
    int needs;
    /*
     * ARGV[0] is "kpropctl", for what getopt says. Returns the exit status (enum error_code).
     * Errors of its own go into ERR with ERROR_* returned: main prints them.
     */
    int (*run)(struct command_context *context, int argc, char **argv, struct error *err);
    int trouble; /* exit status of usage, configuration and other errors of ours; 0: their code */
};

/* The table, ended by a NULL name. */
extern const struct command commands[];

int cmd_enroll(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_explain(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_port(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_check(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_history(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_list(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_remove(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_propagate(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_schedule(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_renew(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_rollback(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_status(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_report(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_setup(struct command_context *context, int argc, char **argv, struct error *err);
int cmd_watch(struct command_context *context, int argc, char **argv, struct error *err);

#endif
