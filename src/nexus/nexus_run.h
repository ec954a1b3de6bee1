/* The specification that `run` sends. */
#ifndef HM_NEXUS_RUN_H
#define HM_NEXUS_RUN_H

#include "nexus_call.h"
#include "wire.h"

/* From --file and the options, which win; folders made absolute. In the call's arena. Errors of a file
 * read "FILE:LINE:COLUMN: field: what". */
int nexus_run_spec(struct nexus_call *call, Hypermesh__JobSpec **out);

#endif
