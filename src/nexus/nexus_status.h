/* What a node says of itself; shown by status and at the end of up. */
#ifndef HM_NEXUS_STATUS_H
#define HM_NEXUS_STATUS_H

#include "nexus_call.h"

/* nexus_table_form of GET /node. */
int nexus_table_status(struct nexus_call *call, const json_t *status, struct hm_buf *out);

#endif
