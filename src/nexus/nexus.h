/* nexus: the command line. Each verb is one row of nexus_verbs.c and one file verb_NAME.c.
 *
 * Never: opens the node's files, its store or its keys; everything it knows it asks over the HTTP API.
 * Start reading with nexus_main, then verb_run.c (the main flow as the user sees it). */
#ifndef HM_NEXUS_H
#define HM_NEXUS_H

#include "base.h"

/* What nexus ends with; docs/man/nexus.1.scd says the same. `run` and `job wait` end with the job's own
 * exit code instead, and with the last four when there is none. */
enum nexus_exit {
    NEXUS_EXIT_OK = 0,
    NEXUS_EXIT_FAILED = 1,
    NEXUS_EXIT_USAGE = 2, /* a command line or a value that makes no sense */
    NEXUS_EXIT_UNREACHABLE = 3, /* no node answers */
    NEXUS_EXIT_NOT_FOUND = 4,
    NEXUS_EXIT_REFUSED = 5, /* permission, funds, a proof, or the present state */
    NEXUS_EXIT_TRUST_OLD = 6, /* verify --remote: the trusted block is too old to go on from */
    NEXUS_EXIT_STATE_OLD = 7, /* verify --remote: the value is right, but was so too long ago */
    NEXUS_EXIT_JOB_TIMED_OUT = 124,
    NEXUS_EXIT_JOB_NOT_RUN = 125, /* the mesh or nexus failed, not the command */
    NEXUS_EXIT_INTERRUPTED = 130, /* cancelled */
};

/* Code of an error besides those of HM_ERROR_TABLE: nobody answers. */
#define NEXUS_EUNREACHABLE (-100)

enum nexus_exit nexus_exit_of(int error_code);

/* argv as main gets it; returns the process's exit status. */
int nexus_main(int argc, char **argv);

#endif
