#include "put_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void put_world_init(struct put_world *world)
{
    static const uint8_t volume_key[PACKETFS_KEY_BYTES] = {7};
    static const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES]; /* as the twin in memory has it */
    const struct packetfs_chunk_limits limits = {1024, 4096, 16384};

    memset(world, 0, sizeof(*world));
    (void)snprintf(world->folder, sizeof(world->folder), "/tmp/pfs-put.XXXXXX");
    if (mkdtemp(world->folder) == NULL)
        abort();
    packetfs_keys_derive(volume_key, volume_id, &world->keys);
    if (packetfs_memory_new(volume_key, &world->memory) != 0 ||
        packetfs_cutter_new(PACKETFS_CHUNKER_FAST, world->keys.chunk, &limits, &world->cutter,
                            NULL) != 0)
        abort();
    world->threads = 1;
}

void put_world_release(struct put_world *world)
{
    packetfs_memory_free(world->memory);
    packetfs_cutter_free(world->cutter);
    packetfs_keys_release(&world->keys);
    (void)hm_remove_tree(world->folder, NULL);
}

const char *put_world_path(struct put_world *world, const char *name)
{
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", world->folder, name);
    return path;
}

void put_world_write(struct put_world *world, const char *name, const void *data, size_t len)
{
    int fd = open(put_world_path(world, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0 || hm_write_all(fd, data, len, NULL) != 0)
        abort();
    (void)close(fd);
}

static void finding(void *ctx, const char *sentence)
{
    struct put_world *world = ctx;

    world->findings++;
    (void)snprintf(world->finding, sizeof(world->finding), "%s", sentence);
}

int put_world_put(struct put_world *world, const char *name, const char *const *excludes,
                  size_t exclude_count, struct hm_error *error)
{
    struct packetfs_watch watch = {.finding = finding, .ctx = world};
    const char *path = put_world_path(world, name);
    struct packetfs_scan_options options = {.paths = &path,
                                            .path_count = 1,
                                            .contents_of = true,
                                            .excludes = excludes,
                                            .exclude_count = exclude_count};
    struct packetfs_put *put = calloc(1, sizeof(*put));
    struct packetfs_scan_visitor visitor = packetfs_put_visitor(put);

    put->objects = packetfs_memory_objects(world->memory);
    put->node_key = world->keys.node;
    put->keys = &world->keys;
    put->cutter = world->cutter;
    put->queue = calloc(PACKETFS_PUT_QUEUE, sizeof(*put->queue));
    packetfs_report_init(&put->report, &watch, "test");
    (void)pthread_mutex_init(&put->lock, NULL);
    int result = packetfs_pool_new(world->threads, &put->pool, error);
    if (result == 0)
        result = packetfs_names_new(&put->names, error);
    if (result == 0)
        result = packetfs_put_top(put, error);
    if (result == 0)
        result = packetfs_scan(&options, &visitor, error);
    if (result == 0)
        result = packetfs_put_top_finish(put, error);
    world->root = put->root;
    world->files = put->files;
    world->folders = put->folders;
    world->bytes = put->bytes;
    world->failed = atomic_load(&put->failed);
    world->bytes_read = atomic_load(&put->bytes_read);
    struct packetfs_put_node **queue = put->queue;
    if (put->pool != NULL)
        packetfs_put_abandon(put);
    put->queue = NULL;
    packetfs_put_tree_free(put);
    free(queue);
    packetfs_pool_free(put->pool);
    packetfs_put_parts_free(put);
    packetfs_names_free(put->names);
    packetfs_report_release(&put->report);
    free(put);
    return result;
}

int put_world_get(struct put_world *world, const char *target, bool overwrite,
                  struct hm_error *error)
{
    struct packetfs_watch watch = {.finding = finding, .ctx = world};
    struct packetfs_restore *restore = calloc(1, sizeof(*restore));
    const char *path = put_world_path(world, target);

    (void)mkdir(path, 0700);
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    restore->objects = packetfs_memory_objects(world->memory);
    restore->keys = &world->keys;
    restore->overwrite = overwrite;
    restore->rules.root = geteuid() == 0;
    packetfs_report_init(&restore->report, &watch, "test");
    (void)pthread_mutex_init(&restore->lock, NULL);
    int result = packetfs_pool_new(world->threads, &restore->pool, error);
    if (result == 0)
        result = packetfs_restore_run(restore, &world->root, NULL, fd, error);
    (void)close(fd);
    world->files = atomic_load(&restore->files);
    world->folders = atomic_load(&restore->folders);
    world->bytes = atomic_load(&restore->bytes);
    world->failed = atomic_load(&restore->failed);
    world->same = atomic_load(&restore->same);
    packetfs_pool_free(restore->pool);
    packetfs_report_release(&restore->report);
    free(restore);
    return result;
}

static bool differ(const char *path, const char *what)
{
    printf("%s: %s differs\n", path, what);
    return false;
}

static bool files_same(const char *a, const char *b)
{
    HM_CLEANUP(hm_buf) struct hm_buf one = {0};
    HM_CLEANUP(hm_buf) struct hm_buf two = {0};

    return hm_file_read(a, (size_t)1 << 30, &one, NULL) == 0 &&
           hm_file_read(b, (size_t)1 << 30, &two, NULL) == 0 &&
           hm_slice_equal(hm_buf_slice(&one), hm_buf_slice(&two));
}

static bool entries_same(const char *a, const char *b, bool top)
{
    struct stat one, two;

    if (lstat(a, &one) != 0 || lstat(b, &two) != 0)
        return differ(a, "presence");
    if (!top &&
        (one.st_mode != two.st_mode || one.st_uid != two.st_uid || one.st_gid != two.st_gid))
        return differ(a, "mode or owner");
    if (!top &&
        (one.st_mtim.tv_sec != two.st_mtim.tv_sec || one.st_mtim.tv_nsec != two.st_mtim.tv_nsec))
        return differ(a, "time");
    if (S_ISREG(one.st_mode))
        return one.st_size == two.st_size && one.st_nlink == two.st_nlink && files_same(a, b)
                   ? true
                   : differ(a, "content");
    if (!S_ISDIR(one.st_mode))
        return true;
    struct dirent **left = NULL, **right = NULL;
    int count = scandir(a, &left, NULL, alphasort), other = scandir(b, &right, NULL, alphasort);
    bool same = count == other || differ(a, "number of entries");
    for (int i = 0; i < count; i++) {
        if (same && strcmp(left[i]->d_name, ".") != 0 && strcmp(left[i]->d_name, "..") != 0) {
            HM_AUTOFREE char *x = hm_asprintf("%s/%s", a, left[i]->d_name);
            HM_AUTOFREE char *y = hm_asprintf("%s/%s", b, left[i]->d_name);
            same = entries_same(x, y, false);
        }
        free(left[i]);
    }
    for (int i = 0; i < other; i++)
        free(right[i]);
    free(left);
    free(right);
    return same;
}

bool put_world_same(struct put_world *world, const char *a, const char *b)
{
    return entries_same(put_world_path(world, a), put_world_path(world, b), true);
}
