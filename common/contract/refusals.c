/* refusals - see refusals.h. */
#include "common/contract/refusals.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct refusal table[REFUSALS] = {
    [REFUSAL_SURPLUS] = { .id = "surplus",
                          .says = "that the primary does not have",
                          .why = "A host with principals or policies of its own, or with later "
                                 "ones, may be a "
                                 "primary itself; a propagation would take them away.",
                          .ways = { { "primary", "kpropctl setup-slave --overwrite REPLICA",
                                      "what REPLICA alone has",
                                      "test_the_replica_has_what_the_primary_has_not" } } },
    [REFUSAL_SHRUNK] = { .id = "shrunk",
                         .says = "the database has shrunk from",
                         .why = "A database that has lost many principals at once is damaged as a "
                                "rule, and its "
                                "replicas are what it can be restored from.",
                         .ways = { { "primary",
                                     "--allow-shrink with the same command: kpropctl propagate "
                                     "--allow-shrink",
                                     "the principals that are missing, on all replicas",
                                     "test_shrink_guard" } } },
    [REFUSAL_UNANNOUNCED] = { .id = "unannounced",
                              .says = "nobody announced it, and this host has verified",
                              .why = "Whoever is in kpropd.acl can send a dump. Once a load has "
                                     "been verified, one that "
                                     "no primary announced to the agent is old, foreign or forged "
                                     "as a rule.",
                              .ways = { { "primary", "kpropctl propagate REPLICA",
                                          "nothing, where that is the primary",
                                          "test_the_refused_primary_propagates" },
                                        { "replica", "kpropctl-agent accept-next REALM",
                                          "the proof that the next dump is the primary's",
                                          "test_accept_next" },
                                        { "replica",
                                          "unannounced = accept in /etc/kpropctl/agent.conf",
                                          "the same for every dump", "test_the_setting_accepts" },
                                        { "primary", "kpropctl remove-slave REPLICA",
                                          "all checks of what kpropd loads there",
                                          "test_remove_slave_releases" } } },
    [REFUSAL_UNANNOUNCED_PLAIN] = { .id = "unannounced-plain",
                                    .says = "nobody announced it, and it is a plain one",
                                    .why = "A plain dump on a host that kadmind keeps up to date "
                                           "incrementally makes its "
                                           "place in the update log void, and the next full resync "
                                           "takes the dump away again.",
                                    .ways = { { "replica",
                                                "sed -i '/REALM *= *{/,/}/s/iprop_enable "
                                                "*=.*/iprop_enable = false/' "
                                                "/etc/krb5kdc/kdc.conf /etc/krb5.conf; systemctl "
                                                "restart "
                                                "krb5-kpropd; then, on "
                                                "the primary: kpropctl setup-slave REPLICA",
                                                "increments from kadmind",
                                                "test_the_lines_that_end_it" },
                                              { "replica", "kpropctl-agent release-loader REALM",
                                                "all checks of what kpropd loads",
                                                "test_a_plain_dump_on_iprop" } } },
    [REFUSAL_DENIED] = { .id = "denied",
                         .says = "does not take this host for its",
                         .why = "The agent follows another primary. What the one that it denies "
                                "sends would take "
                                "away what the other one has changed since.",
                         .ways = { { "replica",
                                     "admin_server = PRIMARY in krb5.conf, or acl in "
                                     "/etc/kpropctl/agent.conf",
                                     "what the primary that it follows has changed since",
                                     "test_denied_is_not_absent" },
                                   { "replica", "kpropctl-agent release-loader REALM",
                                     "all checks of what kpropd loads: kprop then overwrites the "
                                     "database",
                                     "test_denied_is_not_absent" } } },
    [REFUSAL_JOBS] = { .id = "jobs",
                       .says = "of this host will fail from then on",
                       .why = "A replica that kpropctl manages refuses what jobs of old send it "
                              "with kprop.",
                       .ways = { { "primary", "kpropctl setup-slave --yes REPLICA",
                                   "what these jobs did: each of their runs fails from then on",
                                   "test_jobs_are_named_before" } } },
    [REFUSAL_FOREIGN_KEY] = { .id = "foreign-key",
                              .says = "opens nothing",
                              .why = "Who knows a key can forge a ticket for it in any name, the "
                                     "primary's too; so the agent takes tickets for host/ of this "
                                     "host alone, in a realm that it serves.",
                              .ways = { { "primary",
                                          "kpropctl enroll REPLICA | ssh root@REPLICA "
                                          "kpropctl-agent enroll",
                                          "nothing: it brings the key of this host, and its name",
                                          "test_name" },
                                        { "replica",
                                          "names = NAME (or realms = REALM) in agent.conf, then "
                                          "systemctl reload kpropctl-agent",
                                          "who knows that key may pass for the primary there",
                                          "test_another_name_of_this_host" } } },
    [REFUSAL_INCREMENTAL] = { .id = "incremental",
                              .says = "runs incrementally (iprop)",
                              .why = "A kpropd that runs incrementally takes no whole database "
                                     "from kprop, and fetches "
                                     "kadmind's over what was loaded past it, within a poll: what "
                                     "was verified would be "
                                     "gone.",
                              .ways = { { "replica",
                                          "sed -i '/REALM *= *{/,/}/s/iprop_enable "
                                          "*=.*/iprop_enable = false/' "
                                          "/etc/krb5kdc/kdc.conf /etc/krb5.conf; systemctl restart "
                                          "krb5-kpropd; then, on "
                                          "the primary: kpropctl setup-slave REPLICA",
                                          "increments from kadmind",
                                          "test_the_lines_that_end_it" } } },
    [REFUSAL_TIMELINE] = { .id = "timeline",
                           .says = "this host has not recorded",
                           .why = "A replica that holds what this primary never sent, or no longer "
                                  "knows of, may be the only place of the newest changes: the "
                                  "primary went back in time (a snapshot of its machine, an old "
                                  "backup), or another primary was at work.",
                           .ways = { { "primary", "kpropctl propagate --accept-timeline REPLICA",
                                       "the changes that REPLICA alone has, of which the message "
                                       "names up to ten",
                                       "test_a_snapshot_of_the_primary_is_put_back" },
                                     { "primary", "kpropctl setup-slave --accept-timeline REPLICA",
                                       "the same", "test_set_up_again_after_a_snapshot" } } },
    [REFUSAL_RENAMED] = { .id = "renamed",
                          .says = "it leads to another host",
                          .why = "A recorded replica keeps its name: where the resolver leads that "
                                 "to another host, by a mistake or a lie, that host would get the "
                                 "database.",
                          .ways = { { "primary", "kpropctl remove-slave REPLICA",
                                      "that REPLICA is propagated to, until setup-slave records "
                                      "the host under the name that it has now",
                                      "test_a_recorded_name_leads_elsewhere" } } },
    [REFUSAL_AGENTLESS] = { .id = "agentless",
                            .says = "nothing is sent to it without its agent",
                            .why = "An agent that does not answer may be another host's, or none; "
                                   "only its word says where a database goes, and what becomes of "
                                   "it.",
                            .ways = { { "primary", "kpropctl propagate --without-agent REPLICA",
                                        "that anything is verified; the loader there takes it only "
                                        "where its host allows an unannounced dump",
                                        "test_agent_down_is_refused_or_never_verified" } } },
    [REFUSAL_UNBOUND] = { .id = "unbound",
                          .says = "cannot hold kprop to that address",
                          .why = "kprop asks the resolver again, and takes the first address that "
                                 "accepts: it could be another host's.",
                          .ways = { { "primary",
                                      "give REPLICA that address alone in /etc/hosts, and this "
                                      "host the name that its own principal has (hostnamectl "
                                      "set-hostname)",
                                      "the further addresses of REPLICA",
                                      "test_kprop_cannot_be_held" } } },
    [REFUSAL_BUNDLE_PATH] = { .id = "bundle-path",
                              .says = "it is outside of this host's folders",
                              .why = "A primary that somebody has taken over must not choose which "
                                     "files of its replicas are written and read.",
                              .ways = { { "replica",
                                          "write the line that the message ends with into its "
                                          "kdc.conf, and enrol it again",
                                          "that file is the KDC's from then on",
                                          "test_a_path_of_the_primary_s_own" } } },
    [REFUSAL_BUNDLE_LIBRARY] = { .id = "bundle-library",
                                 .says = "it is neither db2 nor klmdb",
                                 .why = "krb5kdc runs whatever library kdc.conf names, as root.",
                                 .ways = { { "replica",
                                             "if the library is known to be good, write the line "
                                             "that the message ends with into its kdc.conf, and "
                                             "enrol it again",
                                             "krb5kdc runs that library's code",
                                             "test_a_library_of_another_name" } } },
    [REFUSAL_LMDB] = { .id = "lmdb",
                       .says = "keeps the realm in lmdb",
                       .why =
                           "A kdb5_util load that fails on a live lmdb database destroys it (the "
                           "map is full at half of its size), and one that succeeds clears its "
                           "lockouts. With db2 the new database is proved beside the old one, and "
                           "takes its place at once.",
                       .ways = { { "replica",
                                   "systemctl stop krb5-kdc; sed -i '/db_library/s/k*lmdb/db2/' "
                                   "/etc/krb5kdc/kdc.conf /etc/krb5.conf; then, on the primary: "
                                   "kpropctl setup-slave REPLICA",
                                   "what its KDC would answer until then, and its lockouts; the "
                                   "lmdb files stay",
                                   "test_db2_is_the_way_out" },
                                 { "replica", "kpropctl-agent release-loader REALM",
                                   "all checks of what kpropd loads, and the whole database there "
                                   "when a load fails",
                                   "test_the_stock_loader_is_the_other" } } },
};

const struct refusal *
refusal_row(enum refusal_id id)
{
    return &table[id];
}

/* Append TEXT to OUT of SIZE bytes, with the names put in. */
static void
expand(const char *text, const struct refusal_names *names, char *out, size_t size)
{
    const char *const words[] = { "REALM", "REPLICA", "PRIMARY" };
    const char *values[] = { names == NULL ? NULL : names->realm,
                             names == NULL ? NULL : names->replica,
                             names == NULL ? NULL : names->primary };
    size_t used = strlen(out);

    while (*text != '\0' && used + 1 < size) {
        size_t i;

        for (i = 0; i < 3; i++) {
            if (values[i] != NULL && strncmp(text, words[i], strlen(words[i])) == 0)
                break;
        }
        if (i < 3) {
            snprintf(out + used, size - used, "%s", values[i]);
            used += strlen(out + used);
            text += strlen(words[i]);
        } else {
            out[used++] = *text++;
            out[used] = '\0';
        }
    }
}

char *
refusal_ways(enum refusal_id id, const struct refusal_names *names, char *text, size_t size)
{
    text[0] = '\0';
    for (const struct refusal_way *way = table[id].ways; way->command != NULL; way++) {
        if (way != table[id].ways)
            expand("; or ", NULL, text, size);
        expand(strcmp(way->where, "primary") == 0 ? "on the primary" : "on REPLICA, as root", names,
               text, size);
        expand(": ", NULL, text, size);
        expand(way->command, names, text, size);
        expand(" (gives up: ", NULL, text, size);
        expand(way->gives_up, names, text, size);
        expand(")", NULL, text, size);
    }
    return text;
}

bool
refusal_set(struct error *err, enum refusal_id id, const struct refusal_names *names,
            const char *fmt, ...)
{
    char text[sizeof(err->text)], ways[sizeof(err->hint)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    error_set(err, ERROR_REFUSED, "%s", text);
    return error_hint(err, "%s", refusal_ways(id, names, ways, sizeof(ways)));
}
