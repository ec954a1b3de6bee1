/* Trees of references: a file's list of patterns, and folders. Both are prolly trees: nodes are cut by what is in them
 * (under the volume's node key), so that a change rewrites one path and equal parts are the same objects. Pure over
 * packetfs_objects.
 *
 * A *list* holds the patterns of one file in order. A *folder* holds entries sorted by the bytes of their names. */
#ifndef HM_PACKETFS_TREE_H
#define HM_PACKETFS_TREE_H

#include "packetfs_object.h"

#define PACKETFS_NAME_MAX_BYTES   255
#define PACKETFS_TARGET_MAX_BYTES 4095
#define PACKETFS_XATTRS_MAX_BYTES 65536 /* names and values of one entry together */
#define PACKETFS_TREE_DEPTH_MAX   16
#define PACKETFS_FOLDER_DEPTH_MAX 2048 /* folders within folders */
#define PACKETFS_NODE_BYTES       2048 /* in the mean */
#define PACKETFS_NODE_MAX_BYTES   131072 /* one entry with all its attributes fits */

/* What a file's bytes are: nothing (size 0), one pattern, or a list. Holes are runs without a pattern. */
enum packetfs_content_kind {
    PACKETFS_CONTENT_EMPTY = 0,
    PACKETFS_CONTENT_PATTERN = 1,
    PACKETFS_CONTENT_LIST = 2
};
struct packetfs_content {
    enum packetfs_content_kind kind;
    struct packetfs_id id;
    uint64_t bytes; /* holes counted */
};

struct packetfs_xattr {
    struct hm_slice name, value; /* name without NUL */
};

struct packetfs_entry {
    struct hm_slice name; /* any bytes but NUL and '/'; not "", ".", ".." */
    enum packetfs_entry_type type;
    uint32_t mode; /* 07777 */
    uint32_t uid, gid;
    struct hm_slice user, group; /* names, may be empty */
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint64_t device; /* of a device node: major << 32 | minor */
    uint64_t hard_link; /* 0, or the number that all names of one file share within this snapshot */
    struct hm_slice target; /* of a symbolic link */
    const struct packetfs_xattr *xattrs; /* sorted by name */
    size_t xattr_count;
    struct packetfs_content content; /* of a file */
    struct packetfs_id folder; /* of a folder: root of its entries; empty folders have one too */
};

/* --- building ---------------------------------------------------------------------------------------------------- */
struct packetfs_list_builder;
int packetfs_list_new(const struct packetfs_objects *objects, const uint8_t node_key[32],
                      struct packetfs_list_builder **out, struct hm_error *error);
void packetfs_list_free(struct packetfs_list_builder *list);
/* id NULL: a hole of any length; else len is the pattern's length. */
int packetfs_list_add(struct packetfs_list_builder *list, const struct packetfs_id *id,
                      uint64_t len, struct hm_error *error);
/* One pattern alone needs no list. */
int packetfs_list_finish(struct packetfs_list_builder *list, struct packetfs_content *out,
                         struct hm_error *error);

struct packetfs_folder_builder;
int packetfs_folder_new(const struct packetfs_objects *objects, const uint8_t node_key[32],
                        struct packetfs_folder_builder **out, struct hm_error *error);
void packetfs_folder_free(struct packetfs_folder_builder *folder);
/* In the order of names, each once: HM_EINVAL. The entry is copied. */
int packetfs_folder_add(struct packetfs_folder_builder *folder, const struct packetfs_entry *entry,
                        struct hm_error *error);
int packetfs_folder_finish(struct packetfs_folder_builder *folder, struct packetfs_id *root,
                           struct hm_error *error);

/* --- reading: hostile nodes give HM_ECORRUPT and the reason ------------------------------------------------------- */
struct packetfs_piece {
    bool hole;
    struct packetfs_id id;
    uint64_t offset, len;
};
struct packetfs_list_cursor;
int packetfs_list_open(const struct packetfs_objects *objects,
                       const struct packetfs_content *content, struct packetfs_list_cursor **out,
                       struct hm_error *error);
void packetfs_list_close(struct packetfs_list_cursor *cursor);
int packetfs_list_seek(struct packetfs_list_cursor *cursor, uint64_t offset,
                       struct hm_error *error); /* the next piece holds it */
int packetfs_list_next(struct packetfs_list_cursor *cursor, struct packetfs_piece *out,
                       struct hm_error *error); /* HM_ENOTFOUND: end */

struct packetfs_folder_cursor;
int packetfs_folder_open(const struct packetfs_objects *objects, const struct packetfs_id *root,
                         struct packetfs_folder_cursor **out, struct hm_error *error);
void packetfs_folder_close(struct packetfs_folder_cursor *cursor);
int packetfs_folder_seek(struct packetfs_folder_cursor *cursor, struct hm_slice name,
                         struct hm_error *error); /* next gives the first >= name */
/* The entry's slices are valid until the next call. HM_ENOTFOUND: end. */
int packetfs_folder_next(struct packetfs_folder_cursor *cursor, struct packetfs_entry *out,
                         struct hm_error *error);
/* From a snapshot's root down a path ("a/b/c", "" is the root). The entry and what it points to live in buf. HM_ENOTFOUND. */
int packetfs_tree_find(const struct packetfs_objects *objects, const struct packetfs_id *root,
                       struct hm_slice path, struct packetfs_entry *out, struct hm_buf *buf,
                       struct hm_error *error);

/* --- the objects behind an object ---------------------------------------------------------------------------------- */
/* For prune, check and sync: calls child for everything that this reference object names, in order. Pure, fuzzed. A non-zero answer
 * of child ends it and is returned. HM_ECORRUPT. */
int packetfs_node_children(struct hm_slice node,
                           int (*child)(void *ctx, enum packetfs_kind kind,
                                        const struct packetfs_id *id, uint64_t len),
                           void *ctx, struct hm_error *error);

/* --- differences ---------------------------------------------------------------------------------------------------- */
enum packetfs_change {
    PACKETFS_ADDED = 'A',
    PACKETFS_REMOVED = 'D',
    PACKETFS_CONTENT_CHANGED = 'M',
    PACKETFS_ATTRIBUTES_CHANGED = 'U',
    PACKETFS_TYPE_CHANGED = 'T'
};
/* Skips equal subtrees without reading them; before or after NULL: nothing was there. A folder comes before what is in it, names in
 * order; what is below a folder that came or went is reported, too. One report an entry: 'M' says nothing of attributes, and a
 * folder's own content is what its entries say. Paths without a leading '/'. A non-zero answer of report ends it and is returned.
 * HM_ELIMIT: folders too deep. */
int packetfs_tree_diff(const struct packetfs_objects *objects, const struct packetfs_id *before,
                       const struct packetfs_id *after,
                       int (*report)(void *ctx, enum packetfs_change change, struct hm_slice path,
                                     const struct packetfs_entry *before,
                                     const struct packetfs_entry *after),
                       void *ctx, struct hm_error *error);

#endif
