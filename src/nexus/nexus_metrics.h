/* The node's figures as it gives them to Prometheus. */
#ifndef HM_NEXUS_METRICS_H
#define HM_NEXUS_METRICS_H

#include "nexus_call.h"

#define NEXUS_METRICS_MAX_BYTES ((size_t)4 << 20)

int nexus_metrics_get(struct nexus_call *call, struct hm_buf *out);
/* Sum of all series of one name in the text format (Prometheus exposition format 0.0.4); 0 when there is
 * none. Pure. */
double nexus_metric_sum(const char *text, const char *name);

#endif
