/* From the threads that make spans to the one that sends them. */
#ifndef HM_TRACE_QUEUE_H
#define HM_TRACE_QUEUE_H

#include "trace.h"

/* Copies the span; drops it when the queue is full or tracing has ended. */
void trace_queue_put(const struct trace_span *span);
uint64_t trace_queue_seed(void); /* never 0 */
const struct hm_clock *trace_queue_clock(void);
uint32_t trace_queue_sample_ppm(void);

#endif
