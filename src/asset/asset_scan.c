#include "asset_gpu.h"

int asset_scanner_new(struct asset_scanner **out, struct hm_error *error)
{
    struct asset_scanner *scanner = hm_calloc(1, sizeof(*scanner));

    if (scanner == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an asset scanner");
    *out = scanner;
    return 0;
}

void asset_scanner_release(struct asset_scanner *scanner)
{
    if (scanner->topology != NULL)
        hwloc_topology_destroy(scanner->topology);
    asset_nvml_close(scanner->nvml);
    scanner->topology = NULL;
    scanner->nvml = NULL;
}

void asset_scanner_free(struct asset_scanner *scanner)
{
    if (scanner == NULL)
        return;
    asset_scanner_release(scanner);
    hm_free(scanner);
}

static void scan_prepare(struct asset_builder *build, const struct asset_sources *sources,
                         struct hm_arena *arena)
{
    static const struct asset_sources real;

    if (sources == NULL)
        sources = &real;
    *build = (struct asset_builder){
        .sysfs = sources->sysfs == NULL ? "/sys" : sources->sysfs,
        .procfs = sources->procfs == NULL ? "/proc" : sources->procfs,
        .nvml = sources->nvml == NULL ? ASSET_NVML_LIBRARY : sources->nvml,
        .hwloc_xml = sources->hwloc_xml,
        .storage_dir = sources->storage_dir,
        .sysfs_is_real = sources->sysfs == NULL,
        .machine_is_real = sources->hwloc_xml == NULL,
        .scanner = sources->scanner,
        .arena = arena,
    };
}

static void scan_read_process(struct asset_builder *build)
{
    if (asset_read_prefix(build, &build->mountinfo, ASSET_MAX_TEXT_BYTES, "%s/self/mountinfo",
                          build->procfs) != 0)
        asset_build_note(build,
                         "%s/self/mountinfo cannot be read: file systems and limits of control "
                         "groups are not known",
                         build->procfs);
    if (asset_read_prefix(build, &build->cgroup, ASSET_MAX_TEXT_BYTES, "%s/self/cgroup",
                          build->procfs) != 0)
        asset_build_note(build,
                         "%s/self/cgroup cannot be read: limits of control groups are not known",
                         build->procfs);
}

int asset_scan(const struct asset_sources *sources, struct hm_arena *arena,
               struct asset_inventory *out, struct hm_error *error)
{
    HM_CLEANUP(asset_builder) struct asset_builder build;
    HM_CLEANUP(asset_scanner) struct asset_scanner own = {0};
    struct asset_cgroup_limits limits;

    scan_prepare(&build, sources, arena);
    if (build.scanner == NULL)
        build.scanner = &own;
    scan_read_process(&build);
    asset_cgroup_read(&build, &limits);
    asset_probe_cpu(&build, &limits);
    asset_probe_memory(&build, &limits);
    asset_probe_storage(&build);
    asset_probe_gpu(&build);
    asset_probe_network(&build);
    asset_probe_container(&build, &limits);
    return asset_builder_finish(&build, out, error);
}
