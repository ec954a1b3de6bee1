/* Any bytes through every parser of kernel text. What comes out must be text of the promised length. */
#include <stdlib.h>

#include "asset_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_printable(const char *text, size_t most)
{
    check(strlen(text) < most);
    for (; *text != '\0'; text++)
        check(*text >= ' ' && *text <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const controllers[] = {NULL, "cpu", "memory", "pids"};
    struct hm_slice text = hm_slice_of(data, len), rest = text, line, value;
    struct asset_meminfo memory;
    struct asset_cpuinfo cpu;
    struct asset_mount mount;
    char out[64], path[ASSET_PATH_BYTES];
    uint64_t number;
    size_t lines = 0;

    if (asset_text_meminfo(text, &memory))
        check(memory.total > 0);
    asset_text_cpuinfo(text, &cpu);
    check_printable(cpu.model, sizeof(cpu.model));
    check_printable(cpu.flags, sizeof(cpu.flags));
    if (asset_text_mount_of(text, "/var/lib/node", &mount)) {
        check(mount.point[0] == '/' && strlen(mount.point) < sizeof(mount.point));
        check(strlen(mount.source) < sizeof(mount.source));
    }
    for (size_t i = 0; i < HM_COUNT_OF(controllers); i++) {
        asset_text_cgroup_mount(text, controllers[i], &mount);
        if (asset_text_cgroup_path(text, controllers[i], path, sizeof(path)))
            check(path[0] == '/' && strlen(path) < sizeof(path));
    }
    asset_text_u64(text, &number);
    asset_text_clean(text, out, sizeof(out));
    check_printable(out, sizeof(out));
    asset_text_id(text, out, sizeof(out));
    check_printable(out, sizeof(out));
    if (asset_text_field(text, "PCI_SLOT_NAME", '=', &value))
        check(value.len <= len);
    while (asset_text_line(&rest, &line))
        lines++;
    check(lines <= len);
    return 0;
}
