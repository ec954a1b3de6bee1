#include "tree/packetfs_tree_build.h"

#include "crypto.h"
#include "packetfs_varint.h"

/* A node is never cut before the first, then after BUILD_MEAN more in the mean: PACKETFS_NODE_BYTES together. */
#define BUILD_MIN_BYTES  (PACKETFS_NODE_BYTES / 2)
#define BUILD_MEAN_BYTES (PACKETFS_NODE_BYTES - BUILD_MIN_BYTES)
/* A branch with one child would not make the tree narrower. */
#define BUILD_CHILDREN_MIN 2
#define BUILD_CHILD_WEIGHT 36 /* an id and a short number */

_Static_assert((BUILD_MEAN_BYTES & (BUILD_MEAN_BYTES - 1)) == 0, "thresholds are exact");

void *packetfs_build_new(size_t size, const struct packetfs_objects *objects,
                         const uint8_t node_key[32], enum packetfs_node_what what,
                         struct hm_error *error)
{
    struct packetfs_build *build = hm_calloc(1, size);

    if (build == NULL) {
        (void)hm_fail(error, HM_ENOMEM, "no memory for a %s",
                      what == PACKETFS_NODE_LIST ? "list" : "folder");
        return NULL;
    }
    build->objects = *objects;
    build->what = what;
    memcpy(build->node_key, node_key, sizeof(build->node_key));
    return build;
}

void packetfs_build_free(void *builder)
{
    struct packetfs_build *build = builder;

    if (build == NULL)
        return;
    for (unsigned i = 0; i < PACKETFS_TREE_DEPTH_MAX; i++)
        hm_buf_release(&build->levels[i].node);
    hm_buf_release(&build->item);
    hm_buf_release(&build->deciding);
    hm_wipe(build->node_key, sizeof(build->node_key));
    hm_free(build);
}

static bool cuts(struct packetfs_build *build, unsigned level, size_t weight)
{
    const struct packetfs_build_level *at = &build->levels[level];
    uint8_t hash[CRYPTO_HASH_BYTES];

    if (at->weight < BUILD_MIN_BYTES || (level > 0 && at->items < BUILD_CHILDREN_MIN))
        return false;
    /* deciding begins with a byte for the level, so that levels decide apart. */
    build->deciding.data[0] = (uint8_t)((unsigned)build->what ^ level << 3);
    crypto_hash_keyed(build->node_key, build->deciding.data, build->deciding.len, hash);
    return hm_get_be64(hash) < (uint64_t)weight * (UINT64_MAX / BUILD_MEAN_BYTES);
}

static int add_item(struct packetfs_build *build, unsigned level, struct hm_slice item,
                    size_t weight, uint64_t len, struct hm_error *error);

/* The item by which the level above names the node of this id, whose last item was `deciding`. */
static int add_child(struct packetfs_build *build, unsigned level, const struct packetfs_id *id,
                     uint64_t len, struct hm_error *error)
{
    struct hm_slice last = hm_slice_of(build->deciding.data + 1, build->deciding.len - 1);
    size_t weight = BUILD_CHILD_WEIGHT + (build->what == PACKETFS_NODE_FOLDER ? last.len : 0);
    HM_CLEANUP(hm_buf) struct hm_buf item = {0};
    int rc = build->what == PACKETFS_NODE_FOLDER ? packetfs_node_folder_child(&item, last, id)
                                                 : packetfs_node_list_child(&item, id, len);

    if (rc != 0)
        return hm_fail(error, rc, "no memory for a tree's branch");
    return add_item(build, level, hm_buf_slice(&item), weight, len, error);
}

static int put_node(struct packetfs_build *build, unsigned level, struct packetfs_id *id,
                    struct hm_error *error)
{
    struct packetfs_build_level *at = &build->levels[level];

    if (build->objects.put == NULL)
        return hm_fail(error, HM_EINVAL, "trees cannot be built where nothing can be written");
    return build->objects.put(build->objects.ctx, PACKETFS_REFERENCE, hm_buf_slice(&at->node), id,
                              error);
}

static int flush(struct packetfs_build *build, unsigned level, struct hm_error *error)
{
    struct packetfs_build_level *at = &build->levels[level];
    struct packetfs_id id;
    int rc = put_node(build, level, &id, error);

    if (rc != 0)
        return rc;
    if (level + 1 == PACKETFS_TREE_DEPTH_MAX)
        return hm_fail(error, HM_ELIMIT, "a tree would be deeper than %u levels",
                       PACKETFS_TREE_DEPTH_MAX);
    uint64_t len = at->len;
    hm_buf_clear(&at->node);
    at->items = at->weight = 0;
    at->len = 0;
    return add_child(build, level + 1, &id, len, error);
}

static int add_item(struct packetfs_build *build, unsigned level, struct hm_slice item,
                    size_t weight, uint64_t len, struct hm_error *error)
{
    struct packetfs_build_level *at = &build->levels[level];
    int rc = 0;

    if (at->items == 0)
        rc = packetfs_node_head(&at->node, build->what, level);
    if (rc == 0)
        rc = hm_buf_append(&at->node, item.data, item.len);
    if (rc != 0)
        return hm_fail(error, rc, "no memory for a tree's node");
    at->items++;
    at->weight += weight;
    at->len += len;
    return cuts(build, level, weight) ? flush(build, level, error) : 0;
}

/* The longest item of a branch. */
#define BUILD_CHILD_MAX_BYTES \
    (PACKETFS_VARINT_MAX_BYTES + PACKETFS_NAME_MAX_BYTES + PACKETFS_ID_BYTES)

/* Nodes that are full end here, behind the item that was added last. From the top down, so that the level above has room; twice a child's
 * length, because the next item may end a node, too. */
static int make_room(struct packetfs_build *build, size_t item_len, struct hm_error *error)
{
    int rc = 0;

    for (unsigned i = PACKETFS_TREE_DEPTH_MAX; i-- > 0 && rc == 0;) {
        const struct packetfs_build_level *at = &build->levels[i];
        size_t need = i == 0 ? item_len : 2 * BUILD_CHILD_MAX_BYTES;
        if (at->items > 0 && at->node.len + need > PACKETFS_NODE_MAX_BYTES)
            rc = flush(build, i, error);
    }
    return rc;
}

int packetfs_build_add(struct packetfs_build *build, struct hm_slice item, struct hm_slice deciding,
                       size_t weight, uint64_t len, struct hm_error *error)
{
    static const uint8_t level_byte;
    int rc;

    if (item.len > PACKETFS_NODE_MAX_BYTES - PACKETFS_NODE_HEAD_BYTES)
        return hm_fail(error, HM_ELIMIT, "an entry of %zu bytes does not fit in a node", item.len);
    rc = make_room(build, item.len, error);
    if (rc != 0)
        return rc;
    hm_buf_clear(&build->deciding);
    rc = hm_buf_append(&build->deciding, &level_byte, 1);
    if (rc == 0)
        rc = hm_buf_append(&build->deciding, deciding.data, deciding.len);
    if (rc != 0)
        return hm_fail(error, rc, "no memory for a tree");
    return add_item(build, 0, item, weight, len, error);
}

/* The highest level with an item; -1: none. */
static int top_level(const struct packetfs_build *build)
{
    int top = -1;

    for (unsigned i = 0; i < PACKETFS_TREE_DEPTH_MAX; i++)
        if (build->levels[i].items > 0)
            top = (int)i;
    return top;
}

/* The only child of the topmost level, which needs no branch then. */
static void only_child(const struct packetfs_build_level *at, struct packetfs_id *id)
{
    memcpy(id->bytes, at->node.data + at->node.len - PACKETFS_ID_BYTES, PACKETFS_ID_BYTES);
}

int packetfs_build_finish(struct packetfs_build *build, struct packetfs_id *root,
                          struct hm_error *error)
{
    int rc = 0;

    if (top_level(build) < 0) {
        rc = packetfs_node_head(&build->levels[0].node, build->what, 0);
        if (rc != 0)
            return hm_fail(error, rc, "no memory for an empty folder");
        return put_node(build, 0, root, error);
    }
    for (unsigned i = 0; rc == 0; i++) {
        const struct packetfs_build_level *at = &build->levels[i];
        if ((int)i == top_level(build)) {
            if (i > 0 && at->items == 1) {
                only_child(at, root);
                return 0;
            }
            return put_node(build, i, root, error);
        }
        if (at->items > 0)
            rc = flush(build, i, error);
    }
    return rc;
}
