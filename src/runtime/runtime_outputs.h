/* What a job leaves: copied out of the folder it wrote to, and hashed on the way. */
#ifndef HM_RUNTIME_OUTPUTS_H
#define HM_RUNTIME_OUTPUTS_H

#include "crypto.h"
#include "base.h"

/* Digest: BLAKE3 in the context below. For every output in the spec's order "O", be32 length and text of
 * its path in the container; then every entry, folders before what they hold, names sorted by bytes:
 * one letter (d, f, l), be32 length and text of the path below the output, be32 mode & 0777, be64 size,
 * then the content (the target of a link). Folders have size 0. */
#define RUNTIME_RESULT_CONTEXT    "hypermesh 1 job outputs"
#define RUNTIME_OUTPUT_MAX_FILES  1000000
#define RUNTIME_OUTPUT_FILE_MODES 0777 /* set-id and sticky bits are dropped */

struct runtime_outputs {
    struct crypto_hasher hasher;
    uint64_t bytes; /* of file contents so far */
    uint64_t limit;
    uint64_t files;
};

void runtime_outputs_init(struct runtime_outputs *outputs, uint64_t limit_bytes);
/* Copies the content of folder `from` into folder target (made when missing). Never follows a link of
 * the job's; links are copied as links; other kinds than file, folder, link are HM_EPARSE. HM_ELIMIT. */
int runtime_outputs_copy(struct runtime_outputs *outputs, const char *source, const char *from,
                         const char *target, struct hm_error *error);
void runtime_outputs_final(const struct runtime_outputs *outputs,
                           uint8_t digest[CRYPTO_HASH_BYTES]);

#endif
