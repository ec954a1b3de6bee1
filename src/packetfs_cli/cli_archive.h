/* Tar archives, for export and import: written here (POSIX pax), read through libarchive. Neither knows of volumes. */
#ifndef HM_PACKETFS_CLI_ARCHIVE_H
#define HM_PACKETFS_CLI_ARCHIVE_H

#include "base.h"
#include "packetfs.h"

#define CLI_TAR_BLOCK_BYTES  ((size_t)512)
#define CLI_TAR_RECORD_BYTES ((size_t)10240) /* what an archive's length is a multiple of */

/* --- writing (cli_archive_pax.c): pure ------------------------------------------------------------------------------------ */
struct cli_pax {
    const struct packetfs_item *item; /* not a socket: tar has none */
    const struct packetfs_attribute *attributes;
    size_t count;
    struct packetfs_bytes
        link; /* the first name, when this is another one of the file; else empty */
    uint64_t stored; /* bytes that follow in the archive, without padding */
    bool sparse; /* GNU.sparse 1.0: what follows begins with a map */
};
/* Appends the headers of one entry, a multiple of 512 bytes. PACKETFS_ENOMEM, PACKETFS_ELIMIT. */
int cli_pax_header(const struct cli_pax *pax, struct hm_buf *out, struct hm_error *error);

/* --- ACLs (cli_archive_acl.c) -------------------------------------------------------------------------------------------------- */
#define CLI_ACL_MAX_BYTES (4 + 1024 * 8)
struct archive_entry; /* of libarchive */
/* "user::rw-,user:7:r--,…" of what the kernel keeps as system.posix_acl_*; false: it is none. */
bool cli_acl_text(struct packetfs_bytes acl, char *out, size_t room);
/* The length of what the kernel would keep, in out (CLI_ACL_MAX_BYTES); 0: the entry has no ACL of this kind. *mask (nullable) is set when it has one. *lost: who
 * a line is about that cannot be kept; valid until libarchive's next call. */
size_t cli_acl_read(struct archive_entry *entry, bool access, uint8_t *out, int *mask,
                    const char **lost);

/* --- reading (cli_archive_read.c) ------------------------------------------------------------------------------------------ */
#define CLI_ARCHIVE_PLAIN_MAX_BYTES  ((uint64_t)16 << 40) /* unpacked, headers counted */
#define CLI_ARCHIVE_RATIO_MAX        1000 /* times what came, once more than the next was unpacked */
#define CLI_ARCHIVE_RATIO_FREE_BYTES ((uint64_t)1 << 30)
#define CLI_ARCHIVE_ENTRIES_MAX      ((uint64_t)1 << 32)
#define CLI_ARCHIVE_NAME_MAX_BYTES   ((size_t)1 << 20)

struct cli_archive;
struct cli_archive_entry { /* valid until the next one */
    struct packetfs_item item;
    const struct packetfs_attribute *attributes;
    size_t count;
    bool is_link;
    struct packetfs_bytes link; /* then: the name that came before */
    const char *warning; /* what of it could not be read, or NULL */
};
/* Reads fd from where it stands, compressed (gzip, bzip2, xz, zstd, compress) or not. plain_max 0: the limits above; else this one in place of the
 * first two. */
int cli_archive_open(int fd, uint64_t plain_max, struct cli_archive **out, struct hm_error *error);
/* HM_ENOTFOUND: the end, whole and checked. HM_EPARSE: damaged, cut off, no tar. HM_ELIMIT. */
int cli_archive_next(struct cli_archive *archive, struct cli_archive_entry *out,
                     struct hm_error *error);
/* The next bytes of a file, in order; between them are holes. HM_ENOTFOUND: all were given. */
int cli_archive_data(struct cli_archive *archive, const void **data, size_t *len, uint64_t *offset,
                     struct hm_error *error);
void cli_archive_close(struct cli_archive *archive);

#endif
