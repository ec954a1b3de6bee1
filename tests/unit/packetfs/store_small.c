#include "store_small.h"

struct packetfs_writer *writer_open(struct world *world)
{
    struct packetfs_writer *writer = NULL;
    struct hm_error error;

    assert_ok(packetfs_writer_open(world->store, &writer, &error));
    return writer;
}

void range(uint64_t *numbers, uint64_t from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        numbers[i] = WORLD_SMALL + from + i;
}

void snapshot(struct world *world, uint64_t from, size_t count, const char *label,
              struct packetfs_snapshot *out)
{
    struct packetfs_writer *writer = writer_open(world);
    uint64_t numbers[COUNT];

    range(numbers, from, count);
    world_snapshot(world, writer, numbers, count, label, out);
    packetfs_writer_close(writer);
}

void check_range(struct world *world, uint64_t from, size_t count)
{
    uint64_t numbers[COUNT];

    range(numbers, from, count);
    world_check_numbers(world, numbers, count);
}

void assert_clean(struct world *world)
{
    HM_CLEANUP(hm_buf) struct hm_buf findings = {0};

    if (world_findings(world, true, &findings))
        fail_msg("check found: %s", hm_buf_cstr(&findings));
}
