/* What the walk shows, turned into nodes: which files need reading, which are further names of one that was read. */
#include "put/packetfs_put.h"

#include <errno.h>
#include <stdatomic.h>

static int node_new(enum packetfs_put_event event, const char *name, const struct stat *st,
                    struct packetfs_put_node **out, struct hm_error *error)
{
    size_t len = strlen(name) + 1;
    struct packetfs_put_node *node = hm_calloc(1, sizeof(*node) + len);

    if (node == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %s", name);
    node->event = event;
    node->refs = 1;
    memcpy(node->name, name, len);
    if (st != NULL)
        node->st = *st;
    atomic_init(&node->done, true);
    *out = node;
    return 0;
}

static int left_out(struct packetfs_put *put, const struct packetfs_scan_folder *folder,
                    const char *name, const struct hm_error *why)
{
    atomic_fetch_add(&put->failed, 1);
    packetfs_report_finding(&put->report, "%s/%s: %s; it is left out", folder->place, name,
                            why->text);
    return 0;
}

static int visit_enter(void *ctx, struct packetfs_scan_folder *folder, const char *name,
                       const struct stat *st, struct hm_error *error)
{
    struct packetfs_put *put = ctx;
    struct packetfs_put_node *node = NULL;
    struct hm_error why;
    int result = node_new(PACKETFS_PUT_ENTER, name, st, &node, error);

    if (result != 0)
        return result;
    if (packetfs_xattrs_read_fd(folder->fd, &node->xattrs, &why) != 0)
        packetfs_report_finding(&put->report, "%s: %s; they are left out", folder->place, why.text);
    return packetfs_put_push(put, node, error);
}

static int visit_leave(void *ctx, struct hm_error *error)
{
    struct packetfs_put_node *node = NULL;
    int result = node_new(PACKETFS_PUT_LEAVE, "", NULL, &node, error);

    return result == 0 ? packetfs_put_push(ctx, node, error) : result;
}

static int visit_fault(void *ctx, const char *sentence, struct hm_error *error)
{
    struct packetfs_put *put = ctx;

    (void)error;
    atomic_fetch_add(&put->failed, 1);
    packetfs_report_finding(&put->report, "%s", sentence);
    return 0;
}

static int visit_drain(void *ctx, struct hm_error *error)
{
    struct packetfs_put *put = ctx;
    int result = packetfs_put_collect(put, true, error);

    if (result != 0)
        packetfs_put_abandon(put);
    return result;
}

/* --- hard links ----------------------------------------------------------------------------------------------------------- */
static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ (b * 0x9e3779b97f4a7c15U)) * 0xbf58476d1ce4e5b9U;

    return (x ^ x >> 29) * 0x94d049bb133111ebU;
}

static struct packetfs_put_link *link_slot(struct packetfs_put_link *links, size_t capacity,
                                           uint64_t device, uint64_t inode)
{
    size_t at = (size_t)(mix(device, inode) >> 17) & (capacity - 1);

    while (links[at].node != NULL && (links[at].device != device || links[at].inode != inode))
        at = (at + 1) & (capacity - 1);
    return &links[at];
}

static int links_grow(struct packetfs_put *put, struct hm_error *error)
{
    size_t capacity = put->link_capacity == 0 ? 256 : put->link_capacity * 2;
    struct packetfs_put_link *grown = hm_calloc(capacity, sizeof(*grown));

    if (grown == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu files with several names", capacity);
    for (size_t i = 0; i < put->link_capacity; i++)
        if (put->links[i].node != NULL)
            *link_slot(grown, capacity, put->links[i].device, put->links[i].inode) = put->links[i];
    hm_free(put->links);
    put->links = grown;
    put->link_capacity = capacity;
    return 0;
}

/* The number that stands for the file in the snapshot: its inode number, which stays from put to put. */
static uint64_t link_number(const struct packetfs_put *put, const struct stat *st)
{
    uint64_t number = st->st_dev == put->first_device
                          ? (uint64_t)st->st_ino
                          : mix((uint64_t)st->st_dev, (uint64_t)st->st_ino) | UINT64_C(1) << 63;

    return number != 0 ? number : 1;
}

/* Sets node->same when the file was seen under another name. */
static int link_note(struct packetfs_put *put, struct packetfs_put_node *node,
                     struct hm_error *error)
{
    if (put->first_device == 0)
        put->first_device = node->st.st_dev;
    if (put->link_count * 2 >= put->link_capacity) {
        int result = links_grow(put, error);
        if (result != 0)
            return result;
    }
    struct packetfs_put_link *slot = link_slot(
        put->links, put->link_capacity, (uint64_t)node->st.st_dev, (uint64_t)node->st.st_ino);
    if (slot->node != NULL) {
        node->same = slot->node;
        node->same->refs++;
        return 0;
    }
    *slot = (struct packetfs_put_link){
        .device = (uint64_t)node->st.st_dev, .inode = (uint64_t)node->st.st_ino, .node = node};
    put->link_count++;
    node->refs++;
    node->hard_link = link_number(put, &node->st);
    return 0;
}

/* --- files that did not change --------------------------------------------------------------------------------------------- */
static int child_present(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                         uint64_t len);

/* Everything a list names, down to its patterns: parts of it may be gone although its root is there. */
static int list_present(const struct packetfs_objects *objects, const struct packetfs_id *id)
{
    HM_CLEANUP(hm_buf) struct hm_buf node = {0};
    int result = objects->has(objects->ctx, PACKETFS_REFERENCE, id);

    if (result == 0)
        result = objects->get(objects->ctx, PACKETFS_REFERENCE, id, &node, NULL);
    if (result == 0)
        result = packetfs_node_children(hm_buf_slice(&node), child_present,
                                        (void *)(uintptr_t)objects, NULL);
    return result;
}

static int child_present(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                         uint64_t len)
{
    const struct packetfs_objects *objects = ctx;

    (void)len;
    return kind == PACKETFS_REFERENCE ? list_present(objects, id)
                                      : objects->has(objects->ctx, kind, id);
}

static bool content_present(const struct packetfs_put *put, const struct packetfs_content *content)
{
    switch (content->kind) {
    case PACKETFS_CONTENT_EMPTY:
        return true;
    case PACKETFS_CONTENT_PATTERN:
        return put->objects.has(put->objects.ctx, PACKETFS_PATTERN, &content->id) == 0;
    case PACKETFS_CONTENT_LIST:
        return list_present(&put->objects, &content->id) == 0;
    default:
        return false;
    }
}

static uint64_t random_next(struct packetfs_put *put)
{
    put->random = put->random * 6364136223846793005U + 1442695040888963407U;
    return put->random >> 33;
}

/* true: its content is known without reading. */
static bool unchanged(struct packetfs_put *put, const struct packetfs_scan_folder *folder,
                      struct packetfs_put_node *node)
{
    struct packetfs_cache_seen seen;

    if (put->cache == NULL)
        return false;
    packetfs_cache_key(put->keys, folder->place, node->name, node->cache_key);
    if (!packetfs_cache_find(put->cache, node->cache_key, &node->st, &seen))
        return false;
    node->before = seen.content;
    node->had_before = true;
    if (!seen.same || put->read_all)
        return false;
    if (random_next(put) % PACKETFS_PUT_RECHECK == 0) {
        node->checked = true;
        return false;
    }
    /* Each time, all of it: a snapshot in the list does not mean that what it holds is there (damage, a prune beside). */
    if (!content_present(put, &seen.content))
        return false;
    node->content = seen.content;
    node->unchanged = true;
    return true;
}

static int visit_file(struct packetfs_put *put, struct packetfs_scan_folder *folder,
                      struct packetfs_put_node *node, struct hm_error *error)
{
    struct hm_error why;
    int result = 0;

    if (node->st.st_nlink > 1)
        result = link_note(put, node, error);
    if (result != 0) {
        packetfs_put_node_drop(node);
        return result;
    }
    if (node->same != NULL)
        return packetfs_put_push(put, node, error);
    if (unchanged(put, folder, node)) {
        if (packetfs_xattrs_read_at(folder->fd, node->name, &node->xattrs, &why) != 0) {
            node->failed = true;
            (void)left_out(put, folder, node->name, &why);
        }
        atomic_fetch_add_explicit(&put->report.files_done, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&put->report.bytes_done, node->content.bytes,
                                  memory_order_relaxed);
        return packetfs_put_push(put, node, error);
    }
    packetfs_scan_folder_hold(folder);
    node->folder = folder;
    atomic_store_explicit(&node->done, false, memory_order_relaxed);
    return packetfs_put_push(put, node, error);
}

static int visit_entry(void *ctx, struct packetfs_scan_folder *folder, const char *name,
                       const struct stat *st, struct hm_error *error)
{
    struct packetfs_put *put = ctx;
    struct packetfs_put_node *node = NULL;
    struct hm_error why;
    int result = node_new(PACKETFS_PUT_ENTRY, name, st, &node, error);

    if (result != 0)
        return result;
    enum packetfs_entry_type type = packetfs_meta_type(st->st_mode);
    if (type == PACKETFS_FILE)
        return visit_file(put, folder, node, error);
    if (st->st_nlink > 1)
        result = link_note(put, node, error);
    if (result == 0 && type == PACKETFS_SYMLINK) {
        char target[PACKETFS_TARGET_MAX_BYTES + 2];
        ssize_t len = readlinkat(folder->fd, name, target, sizeof(target));
        if (len < 0 || len > PACKETFS_TARGET_MAX_BYTES) {
            node->failed = true;
            if (len >= 0)
                errno = ENAMETOOLONG;
            (void)hm_fail_errno(&why, HM_EIO, "cannot read the link");
            (void)left_out(put, folder, name, &why);
        } else if ((node->target = hm_strndup(target, (size_t)len)) == NULL) {
            result = hm_fail(error, HM_ENOMEM, "no memory for %s", name);
        }
    }
    if (result == 0 && !node->failed &&
        packetfs_xattrs_read_at(folder->fd, name, &node->xattrs, &why) != 0) {
        node->failed = true;
        (void)left_out(put, folder, name, &why);
    }
    if (result != 0) {
        packetfs_put_node_drop(node);
        return result;
    }
    return packetfs_put_push(put, node, error);
}

struct packetfs_scan_visitor packetfs_put_visitor(struct packetfs_put *put)
{
    return (struct packetfs_scan_visitor){.ctx = put,
                                          .enter = visit_enter,
                                          .leave = visit_leave,
                                          .entry = visit_entry,
                                          .fault = visit_fault,
                                          .drain = visit_drain};
}
