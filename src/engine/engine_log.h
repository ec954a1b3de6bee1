/* The block log: what makes a block durable, by one write and one sync in files that are laid out beforehand. The
 * ledger's store may then sync at checkpoints only. docs/formats-log.md describes the files. Private to this room.
 *
 * Two files are used in turn. Blocks go to the one in use; when a checkpoint of the store begins the log turns to
 * the other, and what the first holds is dropped when that checkpoint is done. */
#ifndef HM_ENGINE_LOG_H
#define HM_ENGINE_LOG_H

#include "base.h"
#include "ledger.h"

#define ENGINE_LOG_FILES      2
#define ENGINE_LOG_PAGE_BYTES ((size_t)4096) /* records begin at multiples of it */
/* A block's record, with what surrounds its items. */
#define ENGINE_LOG_RECORD_MAX_BYTES (LEDGER_BLOCK_MAX_BYTES + ((size_t)1 << 20))
#define ENGINE_LOG_ID_BYTES         32
#define ENGINE_LOG_MARK_BYTES       24

struct engine_log_file {
    int fd;
    char *name;
    uint8_t id[ENGINE_LOG_ID_BYTES]; /* random; part of every record's checksum */
    uint64_t laid_out; /* bytes that the file has on the disk */
    uint64_t end; /* the next record begins here */
};

struct engine_log {
    struct engine_log_file files[ENGINE_LOG_FILES];
    unsigned current;
    size_t step_bytes; /* by which a file grows */
    size_t limit_bytes; /* of one file; a single record may be longer */
    struct hm_buf record;
};

/* Opens PATH.0 and PATH.1. step_bytes: a multiple of ENGINE_LOG_PAGE_BYTES. expected: the mark (ENGINE_LOG_MARK_BYTES)
 * of the log that must be there, since something is only in it; NULL: what is not there is made. HM_EIO; HM_ECORRUPT
 * when they are not a block log's, or missing, or not the expected ones. */
int engine_log_open(const char *path, size_t step_bytes, size_t limit_bytes,
                    const uint8_t *expected, struct engine_log **out, struct hm_error *error);
/* Tells this log's two files from all others: the beginning of a hash of their ids. Never zeros. */
void engine_log_mark(const struct engine_log *log, uint8_t out[ENGINE_LOG_MARK_BYTES]);
void engine_log_close(struct engine_log *log); /* NULL is fine */

/* A block as it was handed to ledger_finalize, and what came of it. */
struct engine_log_block {
    struct ledger_proposal proposal;
    uint8_t state_root[CRYPTO_HASH_BYTES];
};
/* Gives the blocks after height `after` in order, until visit returns non-zero, which is returned; borrowed for the
 * call. What lies at the end torn, or from an earlier round, is no block. HM_ECORRUPT: a block is missing between
 * those that are there. After it engine_log_restart comes next. */
int engine_log_read(struct engine_log *log, uint64_t after,
                    int (*visit)(void *ctx, const struct engine_log_block *block,
                                 struct hm_error *error),
                    void *ctx, struct hm_error *error);
/* Everything in it is dropped: the store holds it, durably. */
void engine_log_restart(struct engine_log *log);

/* Durable when it returns 0. After a failure it may be there or not, and nothing may be appended any more. */
int engine_log_append(struct engine_log *log, const struct engine_log_block *block,
                      struct hm_error *error);
/* May the block go to the file in use? If not, the log must turn first. */
bool engine_log_has_room(const struct engine_log *log, const struct engine_log_block *block);
size_t engine_log_used(const struct engine_log *log); /* bytes of records in the file in use */
/* From now on the other file is in use, from its start: what it held must be under a finished checkpoint. */
void engine_log_turn(struct engine_log *log);

/* One record, for the log and its tests. Parsing is pure. */
int engine_log_pack(const uint8_t id[ENGINE_LOG_ID_BYTES], const struct engine_log_block *block,
                    struct hm_buf *out); /* padded; HM_ENOMEM, HM_ELIMIT */
/* Reads the record at the start of bytes. 0; HM_EPARSE: there is none, or it is torn. items: room for
 * LEDGER_BLOCK_MAX_ITEMS; slices of block point into bytes and items. */
int engine_log_unpack(const uint8_t id[ENGINE_LOG_ID_BYTES], struct hm_slice bytes,
                      struct engine_log_block *block, struct hm_slice *items, size_t *record_bytes);

#endif
