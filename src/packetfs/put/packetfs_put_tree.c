/* What was seen, in the order of the walk, becomes folders. All of the calling thread. */
#include "put/packetfs_put.h"

#include <stdatomic.h>

void packetfs_put_node_drop(struct packetfs_put_node *node)
{
    if (node == NULL || --node->refs > 0)
        return;
    packetfs_put_node_drop(node->same);
    packetfs_scan_folder_drop(node->folder);
    hm_buf_release(&node->xattrs);
    hm_free(node->target);
    hm_free(node);
}

/* --- jobs of small files ----------------------------------------------------------------------------------------------- */
struct files_job {
    struct packetfs_job job;
    struct packetfs_put *put;
    struct packetfs_put_node *first;
};

static void files_run(struct packetfs_job *job, unsigned worker)
{
    struct files_job *files = (struct files_job *)(void *)job;
    struct packetfs_put *put = files->put;
    struct packetfs_put_node *node = files->first;

    (void)worker;
    hm_free(files);
    while (node != NULL) {
        struct packetfs_put_node *next = node->next; /* once done it is the caller's */
        packetfs_put_file(put, node);
        node = next;
    }
}

static int batch_flush(struct packetfs_put *put, struct hm_error *error)
{
    if (put->batch == NULL)
        return 0;
    struct files_job *job = hm_malloc(sizeof(*job));
    if (job == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to read files");
    *job = (struct files_job){.job = {.run = files_run}, .put = put, .first = put->batch};
    put->batch = NULL;
    put->batch_last = NULL;
    put->batch_count = 0;
    put->batch_bytes = 0;
    packetfs_pool_add(put->pool, &job->job);
    return 0;
}

static int batch_add(struct packetfs_put *put, struct packetfs_put_node *node,
                     struct hm_error *error)
{
    int result = 0;

    /* A large file does not keep small ones waiting, nor they it. */
    if (put->batch_count > 0 && (uint64_t)node->st.st_size > PACKETFS_PUT_JOB_BYTES)
        result = batch_flush(put, error);
    node->next = NULL;
    if (put->batch_last != NULL)
        put->batch_last->next = node;
    else
        put->batch = node;
    put->batch_last = node;
    put->batch_count++;
    put->batch_bytes += (uint64_t)node->st.st_size;
    if (result == 0 &&
        (put->batch_count >= PACKETFS_PUT_JOB_FILES || put->batch_bytes >= PACKETFS_PUT_JOB_BYTES ||
         packetfs_pool_threads(put->pool) == 1))
        result = batch_flush(put, error);
    return result;
}

/* --- folders ---------------------------------------------------------------------------------------------------------------- */
static int level_push(struct packetfs_put *put, struct packetfs_put_node *node,
                      struct hm_error *error)
{
    if (put->level_count == put->level_capacity) {
        size_t capacity = put->level_capacity == 0 ? 64 : put->level_capacity * 2;
        struct packetfs_put_level *grown = hm_realloc(put->levels, capacity * sizeof(*grown));
        if (grown == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for a folder");
        put->levels = grown;
        put->level_capacity = capacity;
    }
    struct packetfs_put_level *level = &put->levels[put->level_count];
    *level = (struct packetfs_put_level){.node = NULL};
    int result = packetfs_folder_new(&put->objects, put->node_key, &level->folder, error);
    if (result != 0)
        return result;
    put->level_count++;
    if (node != NULL) {
        node->refs++;
        level->node = node;
    }
    return 0;
}

static int entry_add(struct packetfs_put *put, const struct packetfs_put_node *node,
                     const struct packetfs_id *folder, struct hm_error *error)
{
    /* Further names of a file show what was read under its first. */
    const struct packetfs_put_node *file = node->same != NULL ? node->same : node;
    struct packetfs_entry entry = {.name = hm_slice_str(node->name)};
    struct packetfs_xattr *xattrs = NULL;

    packetfs_meta_fill(&file->st, &entry);
    entry.user = packetfs_names_user(put->names, entry.uid);
    entry.group = packetfs_names_group(put->names, entry.gid);
    entry.hard_link = file->hard_link;
    if (file->target != NULL)
        entry.target = hm_slice_str(file->target);
    if (entry.type == PACKETFS_FILE) {
        entry.content = file->content;
        put->files++;
        put->bytes += entry.content.bytes;
        put->unchanged += node->unchanged ? 1 : 0;
    } else if (entry.type == PACKETFS_FOLDER) {
        entry.folder = *folder;
        put->folders++;
    } else {
        put->files++;
    }
    int result = packetfs_xattrs_unpack(hm_buf_slice(&file->xattrs), &xattrs, &entry.xattr_count,
                                        error);
    entry.xattrs = xattrs;
    if (result == 0)
        result = packetfs_folder_add(put->levels[put->level_count - 1].folder, &entry, error);
    hm_free(xattrs);
    return result;
}

static int level_pop(struct packetfs_put *put, struct hm_error *error)
{
    struct packetfs_put_level level = put->levels[--put->level_count];
    struct packetfs_id root;
    int result = packetfs_folder_finish(level.folder, &root, error);

    packetfs_folder_free(level.folder);
    if (result == 0 && level.node != NULL)
        result = entry_add(put, level.node, &root, error);
    else if (result == 0)
        put->root = root;
    packetfs_put_node_drop(level.node);
    return result;
}

int packetfs_put_top(struct packetfs_put *put, struct hm_error *error)
{
    return level_push(put, NULL, error);
}

int packetfs_put_top_finish(struct packetfs_put *put, struct hm_error *error)
{
    return level_pop(put, error);
}

static bool content_same(const struct packetfs_content *a, const struct packetfs_content *b)
{
    return a->kind == b->kind && a->bytes == b->bytes &&
           (a->kind == PACKETFS_CONTENT_EMPTY || packetfs_id_equal(&a->id, &b->id));
}

static int entry_finish(struct packetfs_put *put, struct packetfs_put_node *node,
                        struct hm_error *error)
{
    const struct packetfs_put_node *file = node->same != NULL ? node->same : node;

    if (file->failed)
        return 0; /* told already; left out */
    if (node->checked && !content_same(&node->content, &node->before))
        packetfs_report_finding(
            &put->report,
            "%s changed, but not its times: run with all files read, and check the disk",
            node->name);
    if (put->cache != NULL && node->cacheable)
        packetfs_cache_add(put->cache, node->cache_key, &node->st, &node->content);
    return entry_add(put, node, NULL, error);
}

static int head_finish(struct packetfs_put *put, struct hm_error *error)
{
    struct packetfs_put_node *node = put->queue[put->queue_first];
    int result = 0;

    put->queue_first = (put->queue_first + 1) % PACKETFS_PUT_QUEUE;
    put->queue_count--;
    if (node->event == PACKETFS_PUT_ENTER)
        result = level_push(put, node, error);
    else if (node->event == PACKETFS_PUT_LEAVE)
        result = level_pop(put, error);
    else
        result = entry_finish(put, node, error);
    packetfs_put_node_drop(node);
    return result;
}

int packetfs_put_goes_on(struct packetfs_put *put, struct hm_error *error)
{
    int result = 0;

    if (atomic_load(&put->stop)) {
        (void)pthread_mutex_lock(&put->lock);
        result = put->fatal;
        if (error != NULL)
            *error = put->fatal_error;
        (void)pthread_mutex_unlock(&put->lock);
    }
    if (result == 0 && !packetfs_report_tick(&put->report))
        result = hm_fail(error, HM_ECANCELLED, "stopped on request");
    return result;
}

int packetfs_put_collect(struct packetfs_put *put, bool all, struct hm_error *error)
{
    size_t most = all ? 0 : PACKETFS_PUT_QUEUE * 3 / 4;
    int result = 0;

    if (put->queue_count > most)
        result = batch_flush(put, error);
    while (result == 0 && put->queue_count > 0) {
        struct packetfs_put_node *node = put->queue[put->queue_first];
        if (!atomic_load_explicit(&node->done, memory_order_acquire)) {
            if (put->queue_count <= most)
                break;
            packetfs_pool_wait(put->pool, false, &node->done);
        }
        result = head_finish(put, error);
    }
    return result == 0 ? packetfs_put_goes_on(put, error) : result;
}

int packetfs_put_push(struct packetfs_put *put, struct packetfs_put_node *node,
                      struct hm_error *error)
{
    int result = 0;

    if (put->queue_count == PACKETFS_PUT_QUEUE)
        result = packetfs_put_collect(put, false, error);
    if (result != 0) {
        packetfs_put_node_drop(node);
        return result;
    }
    put->queue[(put->queue_first + put->queue_count++) % PACKETFS_PUT_QUEUE] = node;
    if (!atomic_load_explicit(&node->done, memory_order_relaxed))
        result = batch_add(put, node, error);
    /* Now and then, so that what is done does not pile up. */
    if (result == 0 && put->queue_count % 256 == 0)
        result = packetfs_put_collect(put, false, error);
    return result;
}

void packetfs_put_abandon(struct packetfs_put *put)
{
    atomic_store(&put->stop, true);
    packetfs_pool_drain(put->pool);
    put->batch = NULL;
    put->batch_last = NULL;
    for (; put->queue_count > 0; put->queue_count--) {
        packetfs_put_node_drop(put->queue[put->queue_first]);
        put->queue_first = (put->queue_first + 1) % PACKETFS_PUT_QUEUE;
    }
}

void packetfs_put_tree_free(struct packetfs_put *put)
{
    if (put->pool != NULL && put->queue != NULL)
        packetfs_put_abandon(put);
    while (put->level_count > 0) {
        struct packetfs_put_level *level = &put->levels[--put->level_count];
        packetfs_folder_free(level->folder);
        packetfs_put_node_drop(level->node);
    }
    for (size_t i = 0; i < put->link_capacity; i++)
        packetfs_put_node_drop(put->links[i].node);
    hm_free(put->links);
    hm_free(put->levels);
    hm_free(put->queue);
}
