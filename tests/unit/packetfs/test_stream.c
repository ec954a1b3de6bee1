/* Snapshots made of entries that come one by one: the same root in any order, with any memory, and the one that a put of the same files
 * has; what cannot be is refused and leaves no snapshot. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "put/packetfs_stream_tree.h"
#include "store/packetfs_volume.h"

#define ENTRIES 2000

/* --- the tree, over the twin in memory ------------------------------------------------------------------------------------ */
static const uint8_t node_key[32] = {9};

struct scene {
    struct packetfs_memory *memory;
    struct packetfs_objects objects;
    struct packetfs_stream_tree tree;
};

static void scene_init(struct scene *scene, size_t memory_max)
{
    static const uint8_t key[32] = {5};

    assert_int_equal(packetfs_memory_new(key, &scene->memory), 0);
    scene->objects = packetfs_memory_objects(scene->memory);
    assert_int_equal(
        packetfs_stream_tree_init(&scene->tree, &scene->objects, node_key, memory_max, 7, NULL), 0);
}

static void scene_release(struct scene *scene)
{
    packetfs_stream_tree_release(&scene->tree);
    assert_int_equal(scene->tree.memory, 0);
    packetfs_memory_free(scene->memory);
}

static int set(struct packetfs_stream_tree *tree, const char *path, enum packetfs_entry_type type,
               unsigned mode, struct hm_error *error)
{
    const char *slash = strrchr(path, '/');
    struct packetfs_entry entry = {.name = hm_slice_str(slash != NULL ? slash + 1 : path),
                                   .type = type,
                                   .mode = mode,
                                   .user = hm_slice_str("user"),
                                   .mtime_s = 77};

    if (type == PACKETFS_SYMLINK)
        entry.target = hm_slice_str("somewhere");
    return packetfs_stream_tree_set(tree, hm_slice_str(path), &entry, error);
}

/* Entry i of a tree with folders within folders: the first ones are folders themselves. */
static void path_of(unsigned i, char out[64])
{
    if (i < 60)
        (void)snprintf(out, 64, i % 2 == 0 ? "d%u" : "d%u/s%u", i / 2, i);
    else if (i % 3 == 0)
        (void)snprintf(out, 64, "d%u/s%u/f%u", i % 30, (i % 30) * 2 + 1, i);
    else
        (void)snprintf(out, 64, "d%u/f%u", i % 30, i);
}

/* In an order made by dice; seed 0: as they are numbered. */
static void fill(struct packetfs_stream_tree *tree, uint64_t seed)
{
    unsigned order[ENTRIES];
    struct hm_random_seeded state;
    struct hm_random source = hm_random_seeded_source(&state, seed);
    char path[64];

    for (unsigned i = 0; i < ENTRIES; i++)
        order[i] = i;
    for (unsigned i = ENTRIES - 1; seed != 0 && i > 0; i--) {
        unsigned j = (unsigned)(hm_random_u64(&source) % (i + 1)), keep = order[i];
        order[i] = order[j];
        order[j] = keep;
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        path_of(order[i], path);
        assert_int_equal(set(tree, path, order[i] < 60 ? PACKETFS_FOLDER : PACKETFS_FIFO,
                             0700 + order[i] % 64, NULL),
                         0);
    }
}

static void any_order_and_any_memory_give_one_root(void **state)
{
    struct packetfs_id first = {0}, root;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        size_t memory = i % 2 == 0 ? PACKETFS_STREAM_MEMORY_BYTES : 40000;
        struct scene scene;
        scene_init(&scene, memory);
        fill(&scene.tree, i / 2);
        assert_int_equal(scene.tree.folders, 60);
        assert_int_equal(scene.tree.files, ENTRIES - 60);
        if (i % 2 == 0) {
            assert_int_equal(scene.tree.folds, 0);
        } else {
            assert_true(scene.tree.folds > 3);
            assert_true(scene.tree.memory < 2 * memory);
        }
        assert_int_equal(packetfs_stream_tree_finish(&scene.tree, &root, NULL), 0);
        if (i == 0)
            first = root;
        assert_true(packetfs_id_equal(&root, &first));
        scene_release(&scene);
    }
}

static void one_folder_past_all_memory_is_refused(void **state)
{
    struct hm_error error = {0};
    struct scene scene;
    char path[64];
    int result = 0;

    (void)state;
    scene_init(&scene, 4096);
    for (unsigned i = 0; i < 10000 && result == 0; i++) {
        (void)snprintf(path, sizeof(path), "one/%u", i);
        result = set(&scene.tree, path, PACKETFS_FIFO, 0600, &error);
    }
    assert_int_equal(result, HM_ELIMIT);
    assert_non_null(strstr(error.text, "more entries than fit"));
    assert_true(scene.tree.memory <= (size_t)4096 * PACKETFS_STREAM_MEMORY_FACTOR);
    scene_release(&scene);
}

static void what_gives_way_and_what_does_not(void **state)
{
    struct packetfs_stream_tree *tree;
    struct scene scene;
    struct packetfs_id root;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        scene_init(&scene, i == 0 ? 256 : PACKETFS_STREAM_MEMORY_BYTES);
        tree = &scene.tree;
        assert_int_equal(set(tree, "a", PACKETFS_FIFO, 0600, NULL), 0);
        assert_int_equal(set(tree, "b/c/d", PACKETFS_SYMLINK, 0777, NULL), 0);
        assert_int_equal(set(tree, "e", PACKETFS_FOLDER, 0700, NULL), 0);
        assert_int_equal(tree->folders, 3);
        assert_int_equal(set(tree, "a/b", PACKETFS_FIFO, 0600, NULL), HM_ECONFLICT);
        assert_int_equal(set(tree, "b/c/d/x", PACKETFS_FIFO, 0600, NULL), HM_ECONFLICT);
        assert_int_equal(set(tree, "b", PACKETFS_FIFO, 0600, NULL), HM_ECONFLICT);
        assert_int_equal(set(tree, "e", PACKETFS_FIFO, 0600, NULL), 0);
        assert_int_equal(set(tree, "a", PACKETFS_FOLDER, 0700, NULL), 0);
        assert_int_equal(set(tree, "b", PACKETFS_FOLDER, 0711, NULL), 0);
        assert_int_equal(tree->folders, 3);
        assert_int_equal(tree->files, 2);
        assert_int_equal(
            packetfs_stream_tree_link(tree, hm_slice_str("a/l"), hm_slice_str("b/c/d"), NULL), 0);
        assert_int_equal(
            packetfs_stream_tree_link(tree, hm_slice_str("l"), hm_slice_str("b/c"), NULL),
            HM_ECONFLICT);
        assert_int_equal(
            packetfs_stream_tree_link(tree, hm_slice_str("l"), hm_slice_str("no/where"), NULL),
            HM_ENOTFOUND);
        assert_int_equal(
            packetfs_stream_tree_link(tree, hm_slice_str("a/l"), hm_slice_str("a/l"), NULL), 0);
        assert_int_equal(packetfs_stream_tree_finish(tree, &root, NULL), 0);

        HM_CLEANUP(hm_buf) struct hm_buf one = {0};
        HM_CLEANUP(hm_buf) struct hm_buf two = {0};
        struct packetfs_entry x, y;
        assert_int_equal(
            packetfs_tree_find(&scene.objects, &root, hm_slice_str("a/l"), &x, &one, NULL), 0);
        assert_int_equal(
            packetfs_tree_find(&scene.objects, &root, hm_slice_str("b/c/d"), &y, &two, NULL), 0);
        assert_true(x.hard_link != 0 && x.hard_link == y.hard_link);
        assert_true(hm_slice_equal(x.target, y.target));
        assert_int_equal(
            packetfs_tree_find(&scene.objects, &root, hm_slice_str("b"), &x, &one, NULL), 0);
        assert_int_equal(x.mode, 0711);
        scene_release(&scene);
    }
}

static uint64_t number_of(struct scene *scene, const struct packetfs_id *root, const char *path)
{
    HM_CLEANUP(hm_buf) struct hm_buf keep = {0};
    struct packetfs_entry entry;

    assert_int_equal(
        packetfs_tree_find(&scene->objects, root, hm_slice_str(path), &entry, &keep, NULL), 0);
    return entry.hard_link;
}

static int link_to(struct packetfs_stream_tree *tree, const char *path, const char *existing)
{
    return packetfs_stream_tree_link(tree, hm_slice_str(path), hm_slice_str(existing), NULL);
}

/* As an archive has it that was added to: the name goes to another file, and that one gets a link as well. */
static void a_name_that_changes_hands_joins_no_two_files(void **state)
{
    struct packetfs_id roots[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct scene scene;
        scene_init(&scene, i == 1 ? 256 : PACKETFS_STREAM_MEMORY_BYTES);
        assert_int_equal(set(&scene.tree, "d/a", PACKETFS_FIFO, 0600, NULL), 0);
        assert_int_equal(link_to(&scene.tree, "b", "d/a"), 0);
        assert_int_equal(set(&scene.tree, "d/a", PACKETFS_FIFO, 0640, NULL), 0);
        assert_int_equal(link_to(&scene.tree, "c", "d/a"), 0);
        assert_int_equal(link_to(&scene.tree, "e", "b"), 0);
        assert_int_equal(packetfs_stream_tree_finish(&scene.tree, &roots[i], NULL), 0);
        uint64_t a = number_of(&scene, &roots[i], "d/a"), b = number_of(&scene, &roots[i], "b");
        assert_true(a != 0 && b != 0 && a != b);
        assert_int_equal(number_of(&scene, &roots[i], "c"), a);
        assert_int_equal(number_of(&scene, &roots[i], "e"), b);
        assert_true(packetfs_id_equal(&roots[i], &roots[0]));
        scene_release(&scene);
    }
}

#define FULL 60000 /* memory for some 400 entries */

/* Two folders, neither of which fits beside the other. */
static void turns_between_full_folders_fold_seldom(void **state)
{
    struct packetfs_id roots[2];
    uint64_t folds[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct scene scene;
        char path[64];
        scene_init(&scene, i == 0 ? FULL : PACKETFS_STREAM_MEMORY_BYTES);
        for (unsigned n = 0; n < 600; n++) {
            (void)snprintf(path, sizeof(path), "%s/%u", n < 300 ? "one" : "two", n);
            assert_int_equal(set(&scene.tree, path, PACKETFS_FIFO, 0600, NULL), 0);
        }
        for (unsigned n = 0; n < 400; n++) {
            (void)snprintf(path, sizeof(path), "%s/x%u", n % 2 == 0 ? "one" : "two", n);
            assert_int_equal(set(&scene.tree, path, PACKETFS_FIFO, 0600, NULL), 0);
            assert_true(i == 1 || scene.tree.memory < (size_t)FULL * PACKETFS_STREAM_MEMORY_FACTOR);
        }
        folds[i] = scene.tree.folds;
        assert_int_equal(packetfs_stream_tree_finish(&scene.tree, &roots[i], NULL), 0);
        scene_release(&scene);
    }
    assert_int_equal(folds[1], 0);
    if (folds[0] < 2 || folds[0] > 12)
        fail_msg("folded %llu times", (unsigned long long)folds[0]);
    assert_true(packetfs_id_equal(&roots[0], &roots[1]));
}

/* One that fits only alone comes back though others are held. */
static void what_fits_alone_comes_back(void **state)
{
    struct scene scene;
    struct packetfs_id root;
    char path[64];
    size_t most = (size_t)4096 * PACKETFS_STREAM_MEMORY_FACTOR;

    (void)state;
    scene_init(&scene, 4096);
    for (unsigned n = 0; scene.tree.memory < most / 8 * 5; n++) {
        (void)snprintf(path, sizeof(path), "large/%u", n);
        assert_int_equal(set(&scene.tree, path, PACKETFS_FIFO, 0600, NULL), 0);
    }
    for (unsigned n = 0; n < 300; n++) {
        (void)snprintf(path, sizeof(path), "%s/x%u", n % 3 != 0 ? "other" : "large", n);
        assert_int_equal(set(&scene.tree, path, PACKETFS_FIFO, 0600, NULL), 0);
    }
    for (unsigned n = 0; n < 250; n++) {
        (void)snprintf(path, sizeof(path), "other/y%u", n);
        assert_int_equal(set(&scene.tree, path, PACKETFS_FIFO, 0600, NULL), 0);
    }
    assert_int_equal(set(&scene.tree, "large/z", PACKETFS_FIFO, 0600, NULL), 0);
    assert_int_equal(packetfs_stream_tree_finish(&scene.tree, &root, NULL), 0);
    scene_release(&scene);
}

static void paths_are_made_plain_or_refused(void **state)
{
    static const struct {
        const char *path, *plain; /* NULL: refused */
    } rows[] = {
        {"", ""},     {".", ""},      {"./a", "a"},       {"a//b/./c/", "a/b/c"},
        {"..", NULL}, {"a/..", NULL}, {"a/../b", NULL},   {"/a", NULL},
        {"/", NULL},  {"...", "..."}, {"a/..b", "a/..b"}, {"\xff/\x01", "\xff/\x01"},
    };
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    char deep[3 * PACKETFS_STREAM_DEPTH_MAX], name[300];

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        int result = packetfs_stream_path(hm_slice_str(rows[i].path), &out, NULL);
        assert_int_equal(result, rows[i].plain != NULL ? 0 : HM_EINVAL);
        if (rows[i].plain != NULL)
            assert_string_equal(hm_buf_cstr(&out), rows[i].plain);
    }
    assert_int_equal(packetfs_stream_path(hm_slice_of("a\0b", 3), &out, NULL), HM_EINVAL);
    memset(name, 'n', sizeof(name));
    assert_int_equal(packetfs_stream_path(hm_slice_of(name, 255), &out, NULL), 0);
    assert_int_equal(packetfs_stream_path(hm_slice_of(name, 256), &out, NULL), HM_EINVAL);
    for (size_t i = 0; i < sizeof(deep); i += 2)
        memcpy(deep + i, "d/", i + 1 < sizeof(deep) ? 2 : 1);
    size_t most = (size_t)2 * PACKETFS_STREAM_DEPTH_MAX;
    assert_int_equal(packetfs_stream_path(hm_slice_of(deep, most), &out, NULL), 0);
    assert_int_equal(packetfs_stream_path(hm_slice_of(deep, most + 1), &out, NULL), HM_ELIMIT);
}

/* --- the builder, over a volume ------------------------------------------------------------------------------------------------ */
struct world {
    char folder[64];
    char dir[96], keys[96], files[96];
    struct packetfs_unlock unlock;
    struct packetfs_volume *volume;
};

static void world_init(struct world *world)
{
    const struct packetfs_parameters parameters = {
        .chunk_min_bytes = 1024, .chunk_average_bytes = 4096, .chunk_max_bytes = 16384};

    (void)snprintf(world->folder, sizeof(world->folder), "/tmp/pfs-stream.XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->dir, sizeof(world->dir), "%s/v", world->folder);
    (void)snprintf(world->keys, sizeof(world->keys), "%s/k", world->folder);
    (void)snprintf(world->files, sizeof(world->files), "%s/f", world->folder);
    assert_int_equal(mkdir(world->keys, 0700), 0);
    assert_int_equal(mkdir(world->files, 0700), 0);
    (void)setenv("XDG_CACHE_HOME", world->keys, 1);
    world->unlock = (struct packetfs_unlock){.key_dir = world->keys};
    assert_int_equal(packetfs_volume_create(world->dir, &parameters, &world->unlock, NULL), 0);
    assert_int_equal(packetfs_volume_open(world->dir, &world->unlock, false, &world->volume, NULL),
                     0);
}

static void world_release(struct world *world)
{
    packetfs_volume_close(world->volume);
    (void)hm_remove_tree(world->folder, NULL);
}

static struct packetfs_bytes bytes(const char *text)
{
    return (struct packetfs_bytes){(const uint8_t *)text, strlen(text)};
}

static size_t snapshots(struct world *world)
{
    struct packetfs_snapshot *list = NULL;
    size_t count = 0;

    assert_int_equal(packetfs_log(world->volume, &list, &count, NULL), 0);
    packetfs_free(list);
    return count;
}

#define DATA_BYTES (3u << 20)
#define TAIL_BYTES (17u * 4096) /* as file systems have holes: whole pages */

/* A file with data, a hole, data of another length and a hole at its end. */
static void file_make(struct world *world, const uint8_t *data)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/holes", world->files);
    HM_AUTOCLOSE int fd = open(path, O_RDWR | O_CREAT, 0640);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, DATA_BYTES, 0), DATA_BYTES);
    assert_int_equal(pwrite(fd, data, TAIL_BYTES, DATA_BYTES + (1 << 20)), TAIL_BYTES);
    assert_int_equal(ftruncate(fd, DATA_BYTES + (4 << 20)), 0);
}

static void write_pieces(struct packetfs_builder *builder, const uint8_t *data, size_t len,
                         uint64_t seed)
{
    struct hm_random_seeded state;
    struct hm_random source = hm_random_seeded_source(&state, seed);

    while (len > 0) {
        size_t n = (size_t)(hm_random_u64(&source) % 200000) + 1;
        n = n < len ? n : len;
        assert_int_equal(packetfs_builder_write(builder, data, n, NULL), 0);
        data += n;
        len -= n;
    }
}

static void bytes_in_any_pieces_give_the_root_of_a_put(void **state)
{
    uint8_t *data = malloc(DATA_BYTES);
    struct hm_random_seeded random;
    struct hm_random source = hm_random_seeded_source(&random, 3);
    struct packetfs_put_result put, built;
    struct stat st;
    struct world world;
    char path[128];

    (void)state;
    world_init(&world);
    assert_non_null(data);
    assert_int_equal(source.fill(source.ctx, data, DATA_BYTES), 0);
    file_make(&world, data);
    const char *const paths[] = {world.files};
    struct packetfs_put_options options = {
        .paths = paths, .path_count = 1, .label = "put", .contents_of = true};
    assert_int_equal(packetfs_put(world.volume, &options, NULL, &put, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/holes", world.files);
    assert_int_equal(stat(path, &st), 0);
    if ((uint64_t)st.st_blocks * 512 < (uint64_t)st.st_size)
        for (unsigned threads = 1; threads < 4; threads++) {
            struct packetfs_builder_options o = {.label = "built", .threads = threads};
            struct packetfs_builder *builder = NULL;
            struct packetfs_item seen = {.path = bytes("holes"),
                                         .type = PACKETFS_FILE,
                                         .mode = st.st_mode & 07777,
                                         .uid = st.st_uid,
                                         .gid = st.st_gid,
                                         .mtime_s = st.st_mtim.tv_sec,
                                         .mtime_ns = (uint32_t)st.st_mtim.tv_nsec};
            HM_CLEANUP(hm_buf) struct hm_buf keep = {0};
            struct packetfs_objects objects = packetfs_store_objects(world.volume->store);
            struct packetfs_entry entry;
            assert_int_equal(packetfs_tree_find(&objects, &put.snapshot.root, hm_slice_str("holes"),
                                                &entry, &keep, NULL),
                             0);
            seen.user = (struct packetfs_bytes){entry.user.data, entry.user.len};
            seen.group = (struct packetfs_bytes){entry.group.data, entry.group.len};
            assert_int_equal(packetfs_builder_open(world.volume, &o, NULL, &builder, NULL), 0);
            assert_int_equal(packetfs_builder_entry(builder, &seen, NULL, 0, NULL), 0);
            write_pieces(builder, data, DATA_BYTES, threads);
            assert_int_equal(packetfs_builder_hole(builder, 1 << 19, NULL), 0);
            assert_int_equal(packetfs_builder_hole(builder, 1 << 19, NULL), 0);
            write_pieces(builder, data, TAIL_BYTES, threads);
            assert_int_equal(packetfs_builder_hole(builder, (3 << 20) - TAIL_BYTES, NULL), 0);
            assert_int_equal(packetfs_builder_finish(builder, &built, NULL), 0);
            packetfs_builder_close(builder);
            assert_true(packetfs_id_equal(&put.snapshot.root, &built.snapshot.root));
            assert_int_equal(built.bytes_new, 0);
            assert_int_equal(built.snapshot.bytes, put.snapshot.bytes);
        }
    free(data);
    world_release(&world);
}

/* What packetfs_walk shows of the file above and of what stands around it. */
struct seen {
    unsigned folders, pipes, files, attributes;
};

static int extent_is(struct packetfs_file *file, uint64_t from, uint64_t begin, uint64_t len)
{
    uint64_t b = 1, l = 1;
    int rc = packetfs_file_extent(file, from, &b, &l, NULL);

    if (rc == 0)
        assert_true(b == begin && l == len);
    return rc;
}

static int look(void *ctx, const struct packetfs_item *item,
                const struct packetfs_attribute *attributes, size_t count,
                struct packetfs_file *file)
{
    struct seen *seen = ctx;

    seen->folders += item->type == PACKETFS_FOLDER;
    seen->pipes += item->type == PACKETFS_FIFO;
    seen->attributes += count == 2 && attributes[0].name.data[5] == 'a' &&
                        attributes[1].value.len == 1;
    assert_true((file != NULL) == (item->type == PACKETFS_FILE));
    if (file == NULL)
        return 0;
    seen->files++;
    uint64_t end = item->bytes;
    static const struct {
        uint64_t from, begin, len;
    } rows[] = {{0, 10000, 5},     {10002, 10002, 3}, {0, 10000, 5},
                {10005, 50000, 7}, {40000, 50000, 7}, {50007, 0, 0},
                {60000, 0, 0},     {1 << 20, 0, 0},   {3, 10000, 5}};
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        int rc = extent_is(file, rows[i].from, rows[i].len > 0 ? rows[i].begin : end, rows[i].len);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void a_walk_shows_all_there_is(void **state)
{
    const struct packetfs_attribute two[] = {{bytes("user.b"), bytes("2")},
                                             {bytes("user.a"), bytes("1")}};
    struct packetfs_item file = {.path = bytes("d/e/holes"), .type = PACKETFS_FILE, .mode = 0600};
    struct packetfs_item pipe = {.path = bytes("d/p"), .type = PACKETFS_FIFO, .mode = 0600};
    struct packetfs_builder_options options = {.label = "x"};
    struct packetfs_builder *builder = NULL;
    struct packetfs_put_result made;
    unsigned long nth = 0, failures;
    struct world world;

    (void)state;
    world_init(&world);
    assert_int_equal(packetfs_builder_open(world.volume, &options, NULL, &builder, NULL), 0);
    assert_int_equal(packetfs_builder_entry(builder, &file, two, 2, NULL), 0);
    assert_int_equal(packetfs_builder_hole(builder, 10000, NULL), 0);
    assert_int_equal(packetfs_builder_write(builder, "12345", 5, NULL), 0);
    assert_int_equal(packetfs_builder_hole(builder, 50000 - 10005, NULL), 0);
    assert_int_equal(packetfs_builder_write(builder, "1234567", 7, NULL), 0);
    assert_int_equal(packetfs_builder_hole(builder, 20000, NULL), 0);
    assert_int_equal(packetfs_builder_entry(builder, &pipe, two, 1, NULL), 0);
    assert_int_equal(packetfs_builder_finish(builder, &made, NULL), 0);
    packetfs_builder_close(builder);
    static const struct {
        const char *path;
        unsigned folders, pipes, files;
    } rows[] = {{"", 2, 1, 1},    {NULL, 2, 1, 1},  {"/d/", 2, 1, 1},
                {"d/e", 1, 0, 1}, {"d/p", 0, 1, 0}, {"d/e/holes", 0, 0, 1}};
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        struct seen seen = {0};
        assert_int_equal(
            packetfs_walk(world.volume, &made.snapshot, rows[i].path, look, &seen, NULL), 0);
        assert_int_equal(seen.folders, rows[i].folders);
        assert_int_equal(seen.pipes, rows[i].pipes);
        assert_int_equal(seen.files, rows[i].files);
        assert_int_equal(seen.attributes, rows[i].files);
    }
    assert_int_equal(packetfs_walk(world.volume, &made.snapshot, "d/none", look, NULL, NULL),
                     PACKETFS_ENOTFOUND);
    do {
        struct seen seen = {0};
        failures = hm_alloc_failures();
        hm_alloc_fail_at(++nth);
        int rc = packetfs_walk(world.volume, &made.snapshot, "d", look, &seen, NULL);
        hm_alloc_fail_at(0);
        assert_int_equal(rc, hm_alloc_failures() > failures ? PACKETFS_ENOMEM : 0);
    } while (hm_alloc_failures() > failures);
    assert_true(nth > 10);
    world_release(&world);
}

static void a_failure_makes_no_snapshot(void **state)
{
    struct packetfs_item file = {.path = bytes("a"), .type = PACKETFS_FILE, .mode = 0600};
    struct packetfs_item pipe = {.path = bytes("p"), .type = PACKETFS_FIFO, .mode = 0600};
    struct packetfs_builder_options options = {.label = "x"};
    struct packetfs_builder *builder = NULL;
    struct packetfs_put_result result;
    struct world world;

    (void)state;
    world_init(&world);
    options.label = NULL;
    assert_int_equal(packetfs_builder_open(world.volume, &options, NULL, &builder, NULL),
                     PACKETFS_EINVAL);
    options.label = "x";
    for (unsigned i = 0; i < 6; i++) {
        struct packetfs_attribute twice[2] = {{bytes("user.a"), bytes("1")},
                                              {bytes("user.a"), bytes("2")}};
        int failed = 0;
        assert_int_equal(packetfs_builder_open(world.volume, &options, NULL, &builder, NULL), 0);
        assert_int_equal(packetfs_builder_entry(builder, &file, NULL, 0, NULL), 0);
        assert_int_equal(packetfs_builder_write(builder, "abc", 3, NULL), 0);
        if (i == 0)
            failed = packetfs_builder_link(builder, bytes("b"), bytes("none"), NULL);
        else if (i == 1)
            failed = packetfs_builder_hole(builder, UINT64_MAX, NULL);
        else if (i == 2)
            failed = packetfs_builder_entry(builder, &pipe, twice, 2, NULL);
        else if (i == 3)
            failed = packetfs_builder_link(builder, bytes("../b"), bytes("a"), NULL);
        else if (i == 4)
            failed = packetfs_builder_entry(
                builder, &(struct packetfs_item){.path = bytes("a/b"), .type = PACKETFS_FIFO}, NULL,
                0, NULL);
        else if (packetfs_builder_entry(builder, &pipe, NULL, 0, NULL) == 0)
            failed = packetfs_builder_write(builder, "x", 1, NULL);
        assert_int_equal(failed, i == 0   ? PACKETFS_ENOTFOUND
                                 : i == 1 ? PACKETFS_ELIMIT
                                 : i == 4 ? PACKETFS_ECONFLICT
                                          : PACKETFS_EINVAL);
        assert_int_equal(packetfs_builder_entry(builder, &pipe, NULL, 0, NULL), failed);
        assert_int_equal(packetfs_builder_finish(builder, &result, NULL), failed);
        packetfs_builder_close(builder);
    }
    /* Left without finish, in the middle of a file. */
    assert_int_equal(packetfs_builder_open(world.volume, &options, NULL, &builder, NULL), 0);
    assert_int_equal(packetfs_builder_entry(builder, &file, NULL, 0, NULL), 0);
    assert_int_equal(packetfs_builder_write(builder, "abc", 3, NULL), 0);
    packetfs_builder_close(builder);
    packetfs_builder_close(NULL);
    assert_int_equal(snapshots(&world), 0);
    world_release(&world);
}

static int small_build(struct packetfs_volume *volume, struct packetfs_id *root)
{
    static const struct packetfs_attribute attribute = {{(const uint8_t *)"user.a", 6},
                                                        {(const uint8_t *)"v", 1}};
    struct packetfs_builder_options options = {
        .label = "small", .threads = 1, .memory_max_bytes = 600};
    struct packetfs_builder *builder = NULL;
    struct packetfs_put_result result = {0};
    int rc = packetfs_builder_open(volume, &options, NULL, &builder, NULL);

    for (unsigned i = 0; i < 6 && rc == 0; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "d%u/e/f", i);
        struct packetfs_item item = {.path = bytes(path), .type = PACKETFS_FILE, .mode = 0644};
        rc = packetfs_builder_entry(builder, &item, &attribute, 1, NULL);
        if (rc == 0)
            rc = packetfs_builder_write(builder, "some bytes", 10, NULL);
        if (rc == 0)
            rc = packetfs_builder_hole(builder, 9000 * i, NULL);
    }
    if (rc == 0)
        rc = packetfs_builder_link(builder, bytes("again"), bytes("d0/e/f"), NULL);
    if (rc == 0)
        rc = packetfs_builder_finish(builder, &result, NULL);
    packetfs_builder_close(builder);
    if (rc == 0)
        *root = result.snapshot.root;
    return rc;
}

static void every_failing_allocation_ends_cleanly(void **state)
{
    struct packetfs_id right, root;
    struct packetfs_check_result found;
    struct world world;
    unsigned long nth = 0, failures;
    size_t count = 1;

    (void)state;
    world_init(&world);
    assert_int_equal(small_build(world.volume, &right), 0);
    do {
        failures = hm_alloc_failures();
        hm_alloc_fail_at(++nth);
        int rc = small_build(world.volume, &root);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == PACKETFS_ENOMEM);
        if (rc == 0) { /* or what failed was not needed, such as the name of an owner */
            count++;
            assert_true(packetfs_id_equal(&root, &right));
        }
        assert_int_equal(snapshots(&world), count);
    } while (hm_alloc_failures() > failures);
    assert_true(nth > 60);
    assert_int_equal(packetfs_check(world.volume, true, NULL, &found, NULL), 0);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_and_any_memory_give_one_root),
        cmocka_unit_test(one_folder_past_all_memory_is_refused),
        cmocka_unit_test(what_gives_way_and_what_does_not),
        cmocka_unit_test(a_name_that_changes_hands_joins_no_two_files),
        cmocka_unit_test(turns_between_full_folders_fold_seldom),
        cmocka_unit_test(what_fits_alone_comes_back),
        cmocka_unit_test(paths_are_made_plain_or_refused),
        cmocka_unit_test(bytes_in_any_pieces_give_the_root_of_a_put),
        cmocka_unit_test(a_walk_shows_all_there_is),
        cmocka_unit_test(a_failure_makes_no_snapshot),
        cmocka_unit_test(every_failing_allocation_ends_cleanly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
