/* How snapshots become folders of a mount, and which snapshot a path is in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "verb_mount.h"

#define S UINT64_C(1000000000)

static struct packetfs_snapshot snapshots[32];
static size_t count;

static void add(const char *label, uint64_t time_ns)
{
    struct packetfs_snapshot *snapshot = &snapshots[count++];

    memset(snapshot, 0, sizeof(*snapshot));
    snapshot->time_ns = time_ns;
    snapshot->sequence = count;
    snapshot->id[0] = (uint8_t)(0xa0 + count);
    (void)snprintf(snapshot->label, sizeof(snapshot->label), "%s", label);
}

static void world_init(struct mount_world *world)
{
    assert_int_equal(mount_world_init(world, NULL, NULL, NULL), 0);
    assert_int_equal(mount_names_make(snapshots, count, &world->names), 0);
}

static void test_names(void **state)
{
    struct mount_names names;
    size_t of_label;
    (void)state;

    count = 0;
    add("docs", 86400 * S);
    add("a/b", 0);
    add("docs", 5 * S);
    add("", 1);
    add("..", 1);
    add("latest", 1);
    assert_int_equal(mount_names_make(snapshots, count, &names), 0);
    assert_int_equal(names.count, 6);
    size_t first = mount_names_label(&names, "docs", &of_label);
    assert_int_equal(of_label, 2);
    assert_string_equal(names.names[first].time, "1970-01-01T00:00:05Z");
    assert_string_equal(names.names[first + 1].time, "1970-01-02T00:00:00Z");
    (void)mount_names_label(&names, "a_b", &of_label);
    assert_int_equal(of_label, 1);
    (void)mount_names_label(&names, "unnamed", &of_label);
    assert_int_equal(of_label, 1);
    (void)mount_names_label(&names, "_..", &of_label);
    assert_int_equal(of_label, 1);
    (void)mount_names_label(&names, "_latest", &of_label);
    assert_int_equal(of_label, 1);
    (void)mount_names_label(&names, "doc", &of_label);
    assert_int_equal(of_label, 0);
    assert_int_equal(mount_names_newest(&names)->snapshot.sequence, 6);
    mount_names_release(&names);
}

/* All in one second: every one has a name of its own. */
static void test_same_second(void **state)
{
    struct mount_names names;
    (void)state;

    count = 0;
    for (size_t i = 0; i < 20; i++)
        add("x", 7 * S + i);
    assert_int_equal(mount_names_make(snapshots, count, &names), 0);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(names.names[i].time, names.names[j].time);
    mount_names_release(&names);
}

static void found(struct mount_world *world, const char *path, enum mount_place_kind kind,
                  uint64_t sequence, const char *rest)
{
    struct mount_place place;

    assert_true(mount_place_find(world, path, &place));
    assert_int_equal(place.kind, kind);
    if (sequence != 0)
        assert_int_equal(place.snapshot.sequence, sequence);
    if (kind == MOUNT_ENTRY)
        assert_string_equal(place.path, rest);
    if (kind == MOUNT_LATEST)
        assert_string_equal(place.target, rest);
}

static void test_places(void **state)
{
    static const char *const missing[] = {"/nobody", "/docs/latest/x", "/latest/x",
                                          "/docs/1970-01-01T00:00:06Z", "/nobody/latest"};
    struct mount_world world;
    struct mount_place place;
    char long_name[700] = "/";
    (void)state;

    count = 0;
    add("docs", 5 * S);
    add("docs", 86400 * S);
    add("more", 3 * S);
    world_init(&world);
    found(&world, "/", MOUNT_ROOT, 0, NULL);
    found(&world, "/docs", MOUNT_LABEL, 2, NULL);
    found(&world, "/docs/latest", MOUNT_LATEST, 0, "1970-01-02T00:00:00Z");
    found(&world, "/latest", MOUNT_LATEST, 0, "more/1970-01-01T00:00:03Z");
    found(&world, "/docs/1970-01-01T00:00:05Z", MOUNT_ENTRY, 1, "");
    found(&world, "/docs/1970-01-01T00:00:05Z/a/latest", MOUNT_ENTRY, 1, "a/latest");
    for (size_t i = 0; i < HM_COUNT_OF(missing); i++)
        assert_false(mount_place_find(&world, missing[i], &place));
    memset(long_name + 1, 'n', sizeof(long_name) - 2);
    assert_false(mount_place_find(&world, long_name, &place));
    world.one = true;
    world.only = snapshots[1];
    found(&world, "/", MOUNT_ENTRY, 2, "");
    found(&world, "/docs/latest", MOUNT_ENTRY, 2, "docs/latest");
    mount_world_release(&world);
}

static void test_nothing(void **state)
{
    struct mount_world world;
    struct mount_place place;
    (void)state;

    count = 0;
    world_init(&world);
    assert_true(mount_place_find(&world, "/", &place));
    assert_false(mount_place_find(&world, "/latest", &place));
    mount_world_release(&world);
    add("a", 1);
    hm_alloc_fail_at(1);
    struct mount_names names;
    assert_int_equal(mount_names_make(snapshots, count, &names), PACKETFS_ENOMEM);
    hm_alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_same_second),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
