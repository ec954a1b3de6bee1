/* backup: one encrypted file that holds named files, written as a stream and read as a stream. What the files
 * mean is their owner's affair.
 *
 * Never: knows what a node keeps, follows a name out of its place, gives out a byte that it has not
 * authenticated. Start reading with backup_writer_open. Format: docs/formats-backup.md. */
#ifndef HM_BACKUP_H
#define HM_BACKUP_H

#include "base.h"
#include "crypto.h"

#define BACKUP_NAME_MAX_BYTES  200 /* of one file in it: parts of [A-Za-z0-9._-] joined by '/' */
#define BACKUP_FILES_MAX       100000
#define BACKUP_CHUNK_MAX_BYTES ((size_t)1 << 20) /* before compression: what one tag covers */

/* --- writing ------------------------------------------------------------------------------------
 * Files one after the other: begin, data as often as wanted, end. A failure is remembered: every later call
 * fails with HM_ECONFLICT, and nothing is left behind by free. One thread. */
struct backup_writer;

/* Writes to path.partial (0600) beside the place where the backup will be. passphrase is text without NUL;
 * random is borrowed until finish or free. HM_EEXIST: path is there already; HM_EINVAL: an empty
 * passphrase; HM_EIO, HM_ENOMEM (the passphrase's key takes 256 MiB). */
int backup_writer_open(const char *path, const char *passphrase, const struct hm_random *random,
                       struct backup_writer **out, struct hm_error *error);
/* HM_EINVAL: a name that is not allowed; HM_ELIMIT: too many files. */
int backup_writer_begin(struct backup_writer *writer, const char *name, struct hm_error *error);
int backup_writer_data(struct backup_writer *writer, struct hm_slice bytes, struct hm_error *error);
int backup_writer_end(struct backup_writer *writer, struct hm_error *error);
/* Ends the backup: durable under its name when this returns 0 (size in *bytes, may be NULL). HM_EEXIST when
 * another was put there meanwhile. The writer is to be freed in any case. */
int backup_writer_finish(struct backup_writer *writer, uint64_t *bytes, struct hm_error *error);
void backup_writer_free(
    struct backup_writer *writer); /* NULL is fine; takes back what is not finished */

/* --- reading ------------------------------------------------------------------------------------ */
struct backup_reader;

/* HM_EAUTH: the passphrase is wrong, or the beginning was changed; HM_EPARSE: no backup; HM_EUNSUPPORTED: of a
 * later version. */
int backup_reader_open(const char *path, const char *passphrase, struct backup_reader **out,
                       struct hm_error *error);
/* The next file's name, valid until the next call; what is left of the one before is read and checked. *name
 * is NULL at the end, which only a whole backup has. HM_EAUTH: bytes were changed, moved or cut off;
 * HM_EPARSE, HM_EIO. */
int backup_reader_next(struct backup_reader *reader, const char **name, struct hm_error *error);
/* Up to size bytes of the present file; 0 bytes: its end, and its digest was right. */
int backup_reader_read(struct backup_reader *reader, uint8_t *out, size_t size, size_t *got,
                       struct hm_error *error);
void backup_reader_close(struct backup_reader *reader); /* NULL is fine */

/* Is this a name that a backup may hold? Pure. */
bool backup_name_ok(const char *name);

#endif
