/* A job's output as it comes, and its end. Shared by run, job logs and job wait. */
#ifndef HM_NEXUS_FOLLOW_H
#define HM_NEXUS_FOLLOW_H

#include "nexus_call.h"

struct nexus_follow {
    struct nexus_call *call;
    const char *id;
    bool grow; /* wait for more until the job has ended */
    bool cancels; /* the first Ctrl-C cancels the job (nexus_interrupt must be open) */
    bool ends_at_pipe; /* end when nobody reads standard output any more; else go on without */
    bool cancelled; /* out */
};

/* Writes the job's standard output and error to ours, byte for byte. */
int nexus_follow_output(struct nexus_follow *follow);
/* Waits until the job is done; *record is its JobRecord as GET /jobs/ID shows it, with lease and receipts.
 * deadline_ms of the monotonic clock, 0: none (HM_ETIMEOUT past it). */
int nexus_follow_end(struct nexus_follow *follow, uint64_t deadline_ms, json_t **record);

/* What nexus ends with after a job: the job's exit code, or NEXUS_EXIT_JOB_*. Pure. */
int nexus_job_status(const json_t *record);

#endif
