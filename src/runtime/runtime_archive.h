/* Archives from outside: tar, plain or compressed with gzip or zstd, walked entry by entry.
 *
 * The walk itself touches no file: a visitor decides what an entry becomes. Everything that is refused
 * is refused here, so that a fuzzer sees the same checks as an import: paths and hard links are
 * normal, devices, fifos and sockets end the walk, and a budget bounds bytes, files and the ratio. */
#ifndef HM_RUNTIME_ARCHIVE_H
#define HM_RUNTIME_ARCHIVE_H

#include "base.h"
#include "crypto.h"
#include "runtime_path.h"

/* Past RATIO_FREE_BYTES of output, output may be at most RATIO times the input. */
#define RUNTIME_ARCHIVE_RATIO_MAX        1000
#define RUNTIME_ARCHIVE_RATIO_FREE_BYTES ((uint64_t)32 << 20)
#define RUNTIME_ARCHIVE_MAX_ID           65535 /* owner and group */

enum runtime_entry_type {
    RUNTIME_ENTRY_FILE,
    RUNTIME_ENTRY_DIR,
    RUNTIME_ENTRY_SYMLINK,
    RUNTIME_ENTRY_HARDLINK
};

struct runtime_entry {
    enum runtime_entry_type type;
    const char *path; /* normal: relative, no "..", never empty except for the root folder itself */
    const char *link; /* symbolic: as written; hard: normal path in the archive; else "" */
    unsigned mode; /* 0777, and 01000 on folders: set-id bits are dropped */
    uint32_t uid, gid;
    uint64_t size; /* of a file */
    int64_t mtime_s;
};

struct runtime_archive_visitor {
    int (*entry)(void *ctx, const struct runtime_entry *entry, struct hm_error *error);
    /* Content of the file last visited; offsets rise, holes are not sent. */
    int (*data)(void *ctx, const void *data, size_t len, uint64_t offset, struct hm_error *error);
    /* After the last data of a file. */
    int (*end)(void *ctx, struct hm_error *error);
    void *ctx;
};

/* What may still come; shared by all archives of one image. */
struct runtime_archive_budget {
    uint64_t bytes;
    uint64_t files;
};

/* fd (borrowed, read from its present position), or memory when fd < 0. */
struct runtime_archive_source {
    int fd;
    struct hm_slice memory;
};

/* sha256 (nullable) receives the hash of the uncompressed tar: an OCI diff id. */
int runtime_archive_walk(const struct runtime_archive_source *source,
                         const struct runtime_archive_visitor *visitor,
                         struct runtime_archive_budget *budget, uint8_t sha256[CRYPTO_SHA256_BYTES],
                         struct hm_error *error);

#endif
