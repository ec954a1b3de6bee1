/* A job's log file: frames as runtime.h describes them, written whole. */
#ifndef HM_RUNTIME_LOG_H
#define HM_RUNTIME_LOG_H

#include "runtime.h"

#define RUNTIME_LOG_FRAME_MAX_BYTES ((size_t)64 << 10)

struct runtime_log {
    int fd;
    uint64_t bytes; /* of the file */
    uint64_t payload; /* of what the job wrote, dropped or not */
    bool dropped; /* RUNTIME_LOG_MAX_BYTES was reached */
};

int runtime_log_open(const char *path, struct runtime_log *out, struct hm_error *error);
void runtime_log_release(struct runtime_log *log);
/* stream 1 or 2; at most RUNTIME_LOG_FRAME_MAX_BYTES a frame. */
int runtime_log_append(struct runtime_log *log, uint8_t stream, const void *data, size_t len,
                       struct hm_error *error);

#endif
