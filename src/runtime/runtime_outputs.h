/* What a job leaves: copied out of the folder it wrote to, and listed with its hashes on the way. */
#ifndef HM_RUNTIME_OUTPUTS_H
#define HM_RUNTIME_OUTPUTS_H

#include "runtime_result.h"

#define RUNTIME_OUTPUT_MAX_FILES  1000000
#define RUNTIME_OUTPUT_FILE_MODES 0777 /* set-id and sticky bits are dropped */

struct runtime_outputs {
    struct runtime_result result; /* what was copied so far; large, so not on the stack */
    uint64_t bytes; /* of file contents so far */
    uint64_t limit;
    uint64_t files;
};

void runtime_outputs_init(struct runtime_outputs *outputs, uint64_t limit_bytes);
/* Copies the content of folder `from` into folder target (made when missing); `source` is its path in the
 * container. Never follows a link of the job's; links are copied as links; other kinds than file, folder,
 * link are HM_EPARSE. HM_ELIMIT. */
int runtime_outputs_copy(struct runtime_outputs *outputs, const char *source, const char *from,
                         const char *target, struct hm_error *error);

#endif
