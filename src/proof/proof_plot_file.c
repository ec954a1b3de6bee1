#include <errno.h>
#include <unistd.h>

#include "proof_plot_file.h"

#define HEADER_VERSION 1

/* Byte offsets in the header page; numbers are big-endian. */
enum {
    HEADER_MAGIC = 0,
    HEADER_VERSION_AT = 8,
    HEADER_PAGE_AT = 12,
    HEADER_NODE = 16,
    HEADER_LABELS = 48,
    HEADER_SEGMENT = 56,
    HEADER_GROUP = 64,
    HEADER_FILE = 72,
    HEADER_ROOT = 80,
    HEADER_CHECKSUM = 112,
    HEADER_END = 144,
};
static const uint8_t header_magic[8] = {'H', 'M', '-', 'P', 'L', 'O', 'T', '\n'};

static uint64_t round_to_page(uint64_t bytes)
{
    return (bytes + PLOT_PAGE_BYTES - 1) / PLOT_PAGE_BYTES * PLOT_PAGE_BYTES;
}

int plot_layout_init(struct plot_layout *layout, uint64_t labels, uint64_t segment_labels,
                     struct hm_error *error)
{
    struct plot_layout l = {0};
    int rc = graph_shape_init(&l.shape, labels, segment_labels, error);

    if (rc != 0)
        return rc;
    /* The shape's limits keep every product below 2^47. */
    l.group_labels = segment_labels < PLOT_GROUP_LABELS ? segment_labels : PLOT_GROUP_LABELS;
    l.groups = segment_labels / l.group_labels;
    l.labels_bytes = segment_labels * PROOF_LABEL_BYTES;
    l.tree_bytes = plot_tree_nodes(l.groups) * CRYPTO_HASH_BYTES;
    l.segment_bytes = round_to_page(l.labels_bytes + l.tree_bytes);
    l.roots_offset = PLOT_PAGE_BYTES + l.shape.segments * l.segment_bytes;
    l.file_bytes = l.roots_offset + l.shape.segments * CRYPTO_HASH_BYTES;
    *layout = l;
    return 0;
}

uint64_t plot_layout_segment_offset(const struct plot_layout *layout, uint64_t segment)
{
    return PLOT_PAGE_BYTES + segment * layout->segment_bytes;
}

void plot_header_encode(const struct plot_layout *layout, const uint8_t node[CRYPTO_HASH_BYTES],
                        const uint8_t root[CRYPTO_HASH_BYTES], uint8_t page[PLOT_PAGE_BYTES])
{
    memset(page, 0, PLOT_PAGE_BYTES);
    memcpy(page + HEADER_MAGIC, header_magic, sizeof(header_magic));
    hm_put_be32(page + HEADER_VERSION_AT, HEADER_VERSION);
    hm_put_be32(page + HEADER_PAGE_AT, PLOT_PAGE_BYTES);
    memcpy(page + HEADER_NODE, node, CRYPTO_HASH_BYTES);
    hm_put_be64(page + HEADER_LABELS, layout->shape.labels);
    hm_put_be64(page + HEADER_SEGMENT, layout->shape.segment_labels);
    hm_put_be64(page + HEADER_GROUP, layout->group_labels);
    hm_put_be64(page + HEADER_FILE, layout->file_bytes);
    memcpy(page + HEADER_ROOT, root, CRYPTO_HASH_BYTES);
    crypto_hash(page, HEADER_CHECKSUM, page + HEADER_CHECKSUM);
}

int plot_header_decode(const uint8_t page[PLOT_PAGE_BYTES], struct plot_layout *layout,
                       uint8_t node[CRYPTO_HASH_BYTES], uint8_t root[CRYPTO_HASH_BYTES],
                       struct hm_error *error)
{
    struct plot_layout l;
    uint8_t checksum[CRYPTO_HASH_BYTES];
    uint8_t rest = 0;

    if (memcmp(page + HEADER_MAGIC, header_magic, sizeof(header_magic)) != 0)
        return hm_fail(error, HM_ECORRUPT, "it does not start like a plot");
    if (hm_get_be32(page + HEADER_VERSION_AT) != HEADER_VERSION)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "its format is version %u, this program reads version %d; build it again",
                       hm_get_be32(page + HEADER_VERSION_AT), HEADER_VERSION);
    crypto_hash(page, HEADER_CHECKSUM, checksum);
    for (size_t i = HEADER_END; i < PLOT_PAGE_BYTES; i++)
        rest |= page[i];
    if (memcmp(page + HEADER_CHECKSUM, checksum, sizeof(checksum)) != 0 || rest != 0)
        return hm_fail(error, HM_ECORRUPT, "its header's checksum is wrong");
    if (plot_layout_init(&l, hm_get_be64(page + HEADER_LABELS), hm_get_be64(page + HEADER_SEGMENT),
                         NULL) != 0 ||
        hm_get_be32(page + HEADER_PAGE_AT) != PLOT_PAGE_BYTES ||
        hm_get_be64(page + HEADER_GROUP) != l.group_labels ||
        hm_get_be64(page + HEADER_FILE) != l.file_bytes)
        return hm_fail(error, HM_ECORRUPT, "its header's sizes do not agree with each other");
    *layout = l;
    memcpy(node, page + HEADER_NODE, CRYPTO_HASH_BYTES);
    memcpy(root, page + HEADER_ROOT, CRYPTO_HASH_BYTES);
    return 0;
}

size_t plot_tree_nodes(size_t count)
{
    size_t nodes = count;

    while (count > 1) {
        count = count / 2 + count % 2;
        nodes += count;
    }
    return nodes;
}

void plot_tree_fill(uint8_t *tree, size_t count)
{
    while (count > 1) {
        uint8_t *above = tree + count * CRYPTO_HASH_BYTES;
        count = graph_level_up(tree, count, above);
        tree = above;
    }
}

int plot_read_at(int fd, void *data, size_t len, uint64_t offset, struct hm_error *error)
{
    uint8_t *to = data;

    while (len > 0) {
        ssize_t n = pread(fd, to, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hm_fail_errno(error, HM_EIO, "reading %zu bytes at %llu", len,
                                 (unsigned long long)offset);
        if (n == 0)
            return hm_fail(error, HM_ECORRUPT, "it ends before byte %llu",
                           (unsigned long long)(offset + len));
        to += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int plot_write_at(int fd, const void *data, size_t len, uint64_t offset, struct hm_error *error)
{
    const uint8_t *from = data;

    while (len > 0) {
        ssize_t n = pwrite(fd, from, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return hm_fail_errno(error, HM_EIO, "writing %zu bytes at %llu", len,
                                 (unsigned long long)offset);
        from += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}
