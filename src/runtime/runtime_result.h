/* What a job left, as a manifest: one text of bounded length whose hash is the job's result on the ledger,
 * so that whoever is asked can show what the hash stands for.
 *
 * Lines end with a newline and hold only printable ASCII. The first is RUNTIME_MANIFEST_HEAD. Then follow the
 * outputs in the specification's order: each the line of its own folder, then those of its entries,
 * folders before what they hold, the names in one folder sorted by bytes:
 *
 *   d 0755 PATH                   a folder below an output; "o PATH": the output itself
 *   f 0644 SIZE CONTENT PATH      a file: bytes in decimal, crypto_hash of the content in hex
 *   l TARGET PATH                 a symbolic link
 *
 * PATH is absolute, as the job saw it; modes are four octal digits of mode & 0777. In paths and targets every
 * byte outside 0x21-0x7e, and "%", is written %XX (upper-case hex). Lines are kept as long as they fit
 * before the last RUNTIME_MANIFEST_TAIL_BYTES of RUNTIME_MANIFEST_MAX_BYTES; from the first that does not, all
 * that follow are folded into one last line:
 *
 *   + COUNT HASH                  number of lines, and crypto_hash_parts(RUNTIME_TAIL_CONTEXT, their bytes)
 *
 * So equal trees have equal manifests on every machine. */
#ifndef HM_RUNTIME_RESULT_H
#define HM_RUNTIME_RESULT_H

#include "runtime.h"
#include "runtime_path.h"

#define RUNTIME_MANIFEST_HEAD       "hypermesh job result 1\n"
#define RUNTIME_TAIL_CONTEXT        "hypermesh 1 job result tail"
#define RUNTIME_MANIFEST_TAIL_BYTES 88 /* "+ ", 20 digits, blank, 64 hex digits, newline */
/* Kind, mode, size and hash; a source and a path below it; a link's target. */
#define RUNTIME_MANIFEST_LINE_BYTES (128 + 3 * 3 * RUNTIME_PATH_MAX_BYTES)

/* Grows line by line; large, so not on the stack. Plain memory: nothing to release. */
struct runtime_result {
    size_t len;
    uint64_t tail_lines;
    struct crypto_hasher tail;
    size_t line_len; /* of the line being made */
    char line[RUNTIME_MANIFEST_LINE_BYTES];
    char text[RUNTIME_MANIFEST_MAX_BYTES];
};

void runtime_result_init(struct runtime_result *result);
/* `source` is the output's path in the container, `path` what is below it, both shorter than
 * RUNTIME_PATH_MAX_BYTES. */
void runtime_result_output(struct runtime_result *result, const char *source);
void runtime_result_folder(struct runtime_result *result, const char *source, const char *path,
                           unsigned mode);
void runtime_result_file(struct runtime_result *result, const char *source, const char *path,
                         unsigned mode, uint64_t size, const uint8_t content[CRYPTO_HASH_BYTES]);
void runtime_result_link(struct runtime_result *result, const char *source, const char *path,
                         const char *target);
/* Writes the tail, if there is one: the text is whole then. Gives the result's digest. */
void runtime_result_final(struct runtime_result *result, uint8_t digest[CRYPTO_HASH_BYTES]);

#endif
