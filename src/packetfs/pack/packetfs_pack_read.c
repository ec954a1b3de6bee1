#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack/packetfs_pack.h"

int packetfs_pack_pread(int fd, void *out, size_t len, uint64_t offset, struct hm_error *error)
{
    uint8_t *at = out;

    while (len > 0) {
        ssize_t got = pread(fd, at, len, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) /* EIO is a bad sector: damage, as other damage */
            return hm_fail_errno(error, errno == EIO ? HM_ECORRUPT : HM_EIO,
                                 "cannot read %zu bytes at byte %llu", len,
                                 (unsigned long long)offset);
        if (got == 0)
            return hm_fail(error, HM_ECORRUPT, "the file ends at byte %llu",
                           (unsigned long long)offset);
        at += got;
        len -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

static int read_header(int fd, struct packetfs_pack_header *out, struct hm_error *error)
{
    uint8_t bytes[PACKETFS_PACK_HEADER_BYTES];
    int rc = packetfs_pack_pread(fd, bytes, sizeof(bytes), 0, error);

    if (!rc)
        rc = packetfs_pack_header_parse(hm_slice_of(bytes, sizeof(bytes)), out, error);
    return rc == HM_EPARSE ? hm_fail(error, HM_ECORRUPT, "its header is damaged") : rc;
}

static int read_footer(int fd, uint64_t file_bytes, struct packetfs_pack_key *key,
                       struct packetfs_pack_footer *out, struct hm_error *error)
{
    uint8_t sealed[PACKETFS_PACK_FOOTER_BYTES];
    uint8_t plain[PACKETFS_PACK_FOOTER_BYTES];
    uint64_t at = file_bytes - PACKETFS_PACK_FOOTER_BYTES;
    int rc;

    if (file_bytes < PACKETFS_PACK_HEADER_BYTES + PACKETFS_PACK_FOOTER_BYTES ||
        file_bytes % PACKETFS_UNIT_BYTES != 0 ||
        file_bytes / PACKETFS_UNIT_BYTES >= PACKETFS_PACK_MAX_UNITS)
        return hm_fail(error, HM_ECORRUPT, "%llu bytes are no pack's length: it was cut",
                       (unsigned long long)file_bytes);
    rc = packetfs_pack_pread(fd, sealed, sizeof(sealed), at, error);
    if (!rc)
        rc = packetfs_pack_open_part(key, PACKETFS_PART_FOOTER,
                                     (uint32_t)(at / PACKETFS_UNIT_BYTES),
                                     hm_slice_of(sealed, sizeof(sealed)), plain, error);
    return rc ? rc : packetfs_pack_footer_parse(plain, file_bytes, out, error);
}

static int read_rows(int fd, struct packetfs_pack_key *key,
                     const struct packetfs_pack_footer *footer, struct packetfs_pack_row **rows,
                     struct packetfs_pack_names *names, struct hm_error *error)
{
    size_t len = (size_t)footer->folder_length * PACKETFS_UNIT_BYTES;
    HM_AUTOFREE uint8_t *folder = hm_malloc(len);
    int rc;

    if (!folder)
        return hm_fail(error, HM_ENOMEM, "no memory for a pack's folder");
    rc = packetfs_pack_pread(fd, folder, len,
                             (uint64_t)footer->folder_position * PACKETFS_UNIT_BYTES, error);
    if (!rc)
        rc = packetfs_pack_open_part(key, PACKETFS_PART_FOLDER, footer->folder_position,
                                     hm_slice_of(folder, len), folder, error);
    if (!rc)
        rc = packetfs_pack_folder_parse(hm_slice_of(folder, len - CRYPTO_AEAD_TAG_BYTES), footer,
                                        rows, names, error);
    return rc;
}

int packetfs_pack_read_folder(int fd, const struct packetfs_keys *keys,
                              struct packetfs_pack_header *header,
                              struct packetfs_pack_footer *footer, struct packetfs_pack_row **rows,
                              struct packetfs_pack_names *names, struct hm_error *error)
{
    struct packetfs_pack_key key = {0};
    struct packetfs_pack_header head;
    struct packetfs_pack_footer foot;
    struct stat info;
    int rc = read_header(fd, &head, error);

    if (rc)
        return rc;
    if (fstat(fd, &info))
        return hm_fail_errno(error, HM_EIO, "cannot tell its length");
    rc = packetfs_pack_key_init(&key, keys, &head, error);
    if (!rc)
        rc = read_footer(fd, (uint64_t)info.st_size, &key, &foot, error);
    if (!rc)
        rc = read_rows(fd, &key, &foot, rows, names, error);
    packetfs_pack_key_release(&key);
    if (!rc && header)
        *header = head;
    if (!rc && footer)
        *footer = foot;
    return rc;
}

int packetfs_pack_check_filler(int fd, struct packetfs_pack_key *key,
                               const struct packetfs_pack_footer *footer, struct hm_error *error)
{
    HM_AUTOFREE uint8_t *piece = hm_malloc(PACKETFS_FILLER_BYTES);
    uint32_t position = footer->folder_position + footer->folder_length;
    uint32_t left = footer->file_length - PACKETFS_PACK_FOOTER_UNITS - position;
    int rc = 0;

    if (!piece)
        return hm_fail(error, HM_ENOMEM, "no memory to check a pack");
    while (left > 0 && !rc) {
        uint32_t units = packetfs_pack_filler_piece(left);
        size_t len = (size_t)units * PACKETFS_UNIT_BYTES;

        rc = packetfs_pack_pread(fd, piece, len, (uint64_t)position * PACKETFS_UNIT_BYTES, error);
        if (!rc)
            rc = packetfs_pack_open_part(key, PACKETFS_PART_FILLER, position,
                                         hm_slice_of(piece, len), piece, error);
        position += units;
        left -= units;
    }
    return rc;
}
