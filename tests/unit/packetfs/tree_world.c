#include "tree_world.h"

const uint8_t tree_node_key[32] = {1, 2, 3, 4, 5, 6, 7, 8};

static int count_has(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id)
{
    struct tree_world *world = ctx;

    return world->inner.has(world->inner.ctx, kind, id);
}

static int count_get(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                     struct hm_buf *out, struct hm_error *error)
{
    struct tree_world *world = ctx;

    world->reads++;
    return world->inner.get(world->inner.ctx, kind, id, out, error);
}

static int count_put(void *ctx, enum packetfs_kind kind, struct hm_slice bytes,
                     struct packetfs_id *id, struct hm_error *error)
{
    struct tree_world *world = ctx;

    return world->inner.put(world->inner.ctx, kind, bytes, id, error);
}

void tree_world_init(struct tree_world *world, uint64_t seed)
{
    static const uint8_t key[32] = {9, 9, 9};

    memset(world, 0, sizeof(*world));
    assert_int_equal(packetfs_memory_new(key, &world->memory), 0);
    world->inner = packetfs_memory_objects(world->memory);
    world->objects = (struct packetfs_objects){world, count_has, count_get, count_put};
    world->dice = hm_random_seeded_source(&world->dice_state, seed);
}

void tree_world_release(struct tree_world *world)
{
    packetfs_memory_free(world->memory);
}

uint64_t tree_die(struct tree_world *world, uint64_t sides)
{
    return hm_random_u64(&world->dice) % sides;
}

struct packetfs_id tree_id(uint64_t number)
{
    struct packetfs_id id = {{0}};

    for (size_t i = 0; i < 4; i++) {
        number = (number + 1) * 6364136223846793005u + 1442695040888963407u;
        number ^= number >> 29;
        hm_put_be64(id.bytes + 8 * i, number);
    }
    return id;
}

int tree_list_build(struct tree_world *world, const struct model_list *model,
                    struct packetfs_content *out)
{
    struct packetfs_list_builder *list = NULL;
    int rc = packetfs_list_new(&world->objects, tree_node_key, &list, NULL);

    for (size_t i = 0; i < model->count && rc == 0; i++) {
        const struct model_piece *piece = &model->pieces[i];
        rc = packetfs_list_add(list, piece->hole ? NULL : &piece->id, piece->len, NULL);
    }
    if (rc == 0)
        rc = packetfs_list_finish(list, out, NULL);
    packetfs_list_free(list);
    return rc;
}

struct packetfs_entry tree_entry(const struct model_entry *model)
{
    struct packetfs_entry entry = {
        .name = hm_slice_str(model->name),
        .type = PACKETFS_FILE,
        .mode = model->mode,
        .uid = 1000,
        .gid = 100,
        .user = hm_slice_str("ada"),
        .group = hm_slice_str("users"),
        .mtime_s = -1,
        .mtime_ns = 999999999,
    };

    if (model->content != 0)
        entry.content = (struct packetfs_content){PACKETFS_CONTENT_PATTERN, tree_id(model->content),
                                                  1 + model->content % 1000};
    return entry;
}

int tree_folder_build(struct tree_world *world, const struct model_folder *model,
                      struct packetfs_id *root)
{
    struct packetfs_folder_builder *folder = NULL;
    int rc = packetfs_folder_new(&world->objects, tree_node_key, &folder, NULL);

    for (size_t i = 0; i < model->count && rc == 0; i++) {
        struct packetfs_entry entry = tree_entry(&model->entries[i]);
        rc = packetfs_folder_add(folder, &entry, NULL);
    }
    if (rc == 0)
        rc = packetfs_folder_finish(folder, root, NULL);
    packetfs_folder_free(folder);
    return rc;
}
