/* An archive from anywhere, through libarchive and what stands around it. What is shown of it keeps what cli_archive.h says, and can be
 * written as a header again, whole blocks of it. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli_archive.h"

#define PLAIN_MAX_BYTES ((uint64_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void written_again(const struct cli_archive_entry *entry)
{
    HM_CLEANUP(hm_buf) struct hm_buf header = {0};
    struct cli_pax pax = {.item = &entry->item,
                          .attributes = entry->attributes,
                          .count = entry->count,
                          .link = entry->link,
                          .stored = entry->item.bytes,
                          .sparse = entry->item.type == PACKETFS_FILE && entry->item.uid % 2 == 1};

    if (cli_pax_header(&pax, &header, NULL) != 0 || header.len == 0 ||
        header.len % CLI_TAR_BLOCK_BYTES != 0)
        abort();
}

static void bytes_read(struct cli_archive *archive)
{
    const void *data;
    uint64_t offset, end = 0;
    size_t len;

    while (cli_archive_data(archive, &data, &len, &offset, NULL) == 0) {
        if (offset < end)
            abort();
        end = offset + len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HM_AUTOCLOSE int fd = memfd_create("archive", MFD_CLOEXEC);
    struct cli_archive *archive = NULL;
    struct cli_archive_entry entry;
    struct hm_error error;
    char acl[4096];

    (void)cli_acl_text((struct packetfs_bytes){data, size}, acl, sizeof(acl));
    if (fd < 0 || hm_write_all(fd, data, size, NULL) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    if (cli_archive_open(fd, PLAIN_MAX_BYTES, &archive, &error) != 0)
        return 0;
    while (cli_archive_next(archive, &entry, &error) == 0) {
        written_again(&entry);
        if (!entry.is_link && entry.item.type == PACKETFS_FILE)
            bytes_read(archive);
    }
    cli_archive_close(archive);
    return 0;
}
