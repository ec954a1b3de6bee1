#include "store_scene.h"

#include <fcntl.h>
#include <unistd.h>

void write_file(const char *path, struct hm_slice bytes)
{
    struct hm_error error;
    HM_AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_ok(hm_write_all(fd, bytes.data, bytes.len, &error));
}

int verdict(struct world *world, bool full)
{
    HM_CLEANUP(hm_buf) struct hm_buf findings = {0};

    return world_findings(world, full, &findings);
}

void find_packs(struct scene *scene)
{
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    struct packetfs_store *store = scene->world.store;
    struct hm_error error;
    size_t count = 0;

    assert_ok(packetfs_index_packs(store->index, &packs, &count, &error));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        enum packetfs_kind kind = packs[i].kind;
        HM_AUTOCLOSE int fd = -1;

        assert_ok(packetfs_store_pack_path(store, packs[i].name, scene->packs[kind], &error));
        assert_ok(hm_file_read(scene->packs[kind], SIZE_MAX / 2, &scene->bytes[kind], &error));
        fd = open(scene->packs[kind], O_RDONLY | O_CLOEXEC);
        assert_ok(packetfs_pack_read_folder(fd, &scene->world.keys, NULL, &scene->footers[kind],
                                            &scene->rows[kind], NULL, &error));
    }
}

void scene_init(struct scene *scene)
{
    struct packetfs_writer *writer = NULL;
    struct hm_error error;

    memset(scene, 0, sizeof(*scene));
    world_init(&scene->world);
    for (size_t i = 0; i < COUNT; i++)
        scene->numbers[i] = i;
    assert_ok(packetfs_writer_open(scene->world.store, &writer, &error));
    world_snapshot(&scene->world, writer, scene->numbers, COUNT, "scene", &scene->snapshot);
    packetfs_writer_close(writer);
    find_packs(scene);
}

void scene_release(struct scene *scene)
{
    for (int kind = 0; kind < PACKETFS_KINDS; kind++) {
        hm_buf_release(&scene->bytes[kind]);
        hm_free(scene->rows[kind]);
    }
    world_release(&scene->world);
}

void heal(struct scene *scene, enum packetfs_kind kind)
{
    write_file(scene->packs[kind], hm_buf_slice(&scene->bytes[kind]));
}

int get(struct scene *scene, uint64_t n, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct packetfs_id id;

    world_id(&scene->world, PACKETFS_PATTERN, n, world_len(n), &id);
    return packetfs_store_get(scene->world.store, PACKETFS_PATTERN, &id, &out, error);
}
