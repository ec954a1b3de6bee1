/* The two layers of a backup: chunks, each compressed and sealed; in them one stream of records. */
#ifndef HM_BACKUP_FORMAT_H
#define HM_BACKUP_FORMAT_H

#include "backup.h"

#define BACKUP_MAGIC       "HMBACKUP"
#define BACKUP_MAGIC_BYTES 8
#define BACKUP_VERSION     1
#define BACKUP_SALT_BYTES  16
/* Magic, be32 version, salt. */
#define BACKUP_HEAD_BYTES (BACKUP_MAGIC_BYTES + 4 + BACKUP_SALT_BYTES)

/* Records of the stream: a byte of kind, then
 *   FILE  be16 length of the name, the name
 *   DATA  be32 length (1..BACKUP_CHUNK_MAX_BYTES), bytes
 *   DONE  32 bytes: BLAKE3 of the file's bytes
 *   END   be32 number of files; nothing follows */
enum backup_record {
    BACKUP_RECORD_FILE = 1,
    BACKUP_RECORD_DATA = 2,
    BACKUP_RECORD_DONE = 3,
    BACKUP_RECORD_END = 4,
};

/* What a chunk's tag covers beside its bytes: the head, its number, and whether it is the last. */
#define BACKUP_ABOUT_BYTES (BACKUP_HEAD_BYTES + 8 + 1)
struct hm_slice backup_about(const uint8_t head[BACKUP_HEAD_BYTES], uint64_t number, bool last,
                             uint8_t out[BACKUP_ABOUT_BYTES]);

/* A sealed chunk's largest size: what zstd may add to what it can't compress, one byte of form, the seal. */
#define BACKUP_SEALED_MAX_BYTES (BACKUP_CHUNK_MAX_BYTES + 1 + CRYPTO_SEAL_OVERHEAD_BYTES)

/* Reads the stream of records as it comes; pure, fuzzed. */
struct backup_parser {
    uint8_t kind; /* of the record under way; 0: between two */
    bool in_file, ended;
    uint32_t files;
    uint32_t left; /* bytes of DATA still to come */
    uint8_t fixed[2 + BACKUP_NAME_MAX_BYTES + CRYPTO_HASH_BYTES];
    size_t fixed_len;
    char name[BACKUP_NAME_MAX_BYTES + 1];
    struct crypto_hasher hasher;
};
enum backup_found {
    BACKUP_FOUND_MORE, /* all bytes taken; nothing to tell yet */
    BACKUP_FOUND_FILE, /* name is the next file's */
    BACKUP_FOUND_DATA, /* *data is a part of it */
    BACKUP_FOUND_DONE, /* its end; the digest was right */
    BACKUP_FOUND_END,
};
void backup_parser_init(struct backup_parser *parser);
/* Takes from *bytes what it needs and stops at the next thing to tell. data points into bytes. HM_EPARSE,
 * HM_ELIMIT. */
int backup_parser_step(struct backup_parser *parser, struct hm_slice *bytes,
                       enum backup_found *found, struct hm_slice *data, struct hm_error *error);

#endif
