/* What a job's user is told when it has ended: lease, proofs, use, payment, blocks. */
#ifndef HM_NEXUS_REPORT_H
#define HM_NEXUS_REPORT_H

#include <jansson.h>

#include "base.h"

/* Appends the report. record: GET /jobs/ID; accounts: items of GET /accounts, for names; may be empty.
 * Shows what is there: a job that never got a lease has no payment. Pure. HM_ENOMEM. */
int nexus_report(const json_t *record, const json_t *accounts, bool color, struct hm_arena *arena,
                 struct hm_buf *out);

/* "finished, exit code 0", "timed out", "running": one phrase. In the arena. */
const char *nexus_report_outcome(const json_t *record, struct hm_arena *arena);
/* Sum of two amounts of tokens as text; the first when the second is no amount. */
const char *nexus_amount_add(const char *a, const char *b, struct hm_arena *arena);

#endif
