/* asset: what this machine has, and what a share of it means. Discovery reads hwloc, sysfs, procfs and
 * NVML; adapters turn a leased share into limits and measured use into ledger records.
 *
 * Never: talks to the ledger, starts jobs, writes to the host.
 * Start reading with asset_scan, then asset_adapter_of. */
#ifndef HM_ASSET_H
#define HM_ASSET_H

#include "base.h"
#include "wire.h"

/* --- discovery --------------------------------------------------------------------------------------- */
/* What is dear to open and is kept from one scan to the next: the processor topology (loaded again when
 * processors come or go), NVML, and the storage capacity last offered, which then moves only when free space
 * really moves. Used by one thread at a time. */
struct asset_scanner;
int asset_scanner_new(struct asset_scanner **out, struct hm_error *error); /* HM_ENOMEM */
void asset_scanner_free(struct asset_scanner *scanner);

struct asset_sources { /* NULL: the real ones; tests point them at fakes */
    const char *sysfs; /* "/sys" */
    const char *procfs; /* "/proc" */
    const char *nvml; /* "libnvidia-ml.so.1" */
    const char *hwloc_xml; /* a topology in hwloc's XML instead of this machine */
    const char *storage_dir; /* folder whose file system offers storage (the node's data dir) */
    struct asset_scanner *scanner; /* NULL: everything is opened for this scan and closed again */
};

struct asset_attribute {
    const char *name; /* [a-z0-9._-] */
    const char *value;
};

struct asset_found {
    Hypermesh__AssetKind kind;
    /* Stable over reboots: "cpu-package-0", "memory", "disk-<id>", a GPU's UUID. */
    const char *hardware_id;
    const char *title; /* for people: "AMD EPYC 9B45, 2 cores" */
    /* Unit of kind; what may be leased, not necessarily all there is. > 0 when offered. */
    uint64_t capacity;
    struct asset_attribute *attributes; /* sorted; fit for the ledger: facts that rarely change */
    size_t attribute_count;
    struct asset_attribute *live; /* sorted; load, free bytes, frequency, temperature */
    size_t live_count;
    bool healthy;
    const char *health; /* sentence when not healthy; no figures that move by themselves */
    /* Fit to be registered: shares of it can be enforced. false: for people only (disks that do not
     * hold storage_dir, network links, GPUs without driver). */
    bool offered;
};

struct asset_inventory {
    struct asset_found *items; /* sorted by kind, then hardware id */
    size_t count;
    const char **notes; /* what could not be read, and why: sentences */
    size_t note_count;
};

#define ASSET_MAX_FOUND 1024

/* Everything lives in the arena. Fails only when memory is out: what can't be read becomes a note.
 * CPU: packages, cores, threads, caches, flags, frequency, load. Memory: bytes, NUMA nodes, huge
 * pages. Storage: block devices and the file systems on them, free space. GPU: NVIDIA by NVML, AMD and
 * Intel by DRM in sysfs. Network: links and speed. Container: one asset whose capacity is slots. */
int asset_scan(const struct asset_sources *sources, struct hm_arena *arena,
               struct asset_inventory *out, struct hm_error *error);

enum asset_change_kind { ASSET_APPEARED, ASSET_CHANGED, ASSET_GONE };
struct asset_change {
    enum asset_change_kind kind;
    const struct asset_found *before; /* NULL: appeared */
    const struct asset_found *after; /* NULL: gone */
};
/* Compares what the ledger would care about (capacity, attributes, health; not live). In the arena. */
int asset_diff(const struct asset_inventory *before, const struct asset_inventory *after,
               struct hm_arena *arena, struct asset_change **out, size_t *count,
               struct hm_error *error);

/* --- adapters ------------------------------------------------------------------------------------------ */
struct asset_share {
    const char *hardware_id;
    const Hypermesh__Asset *asset; /* as on the ledger */
    uint32_t share_ppm;
};

struct asset_adapter {
    Hypermesh__AssetKind kind;
    /* Adds this share's limits to *limits (strings in the arena), to what earlier shares of the lease put
     * there. HM_EUNAVAILABLE when the hardware the asset names is not on this machine any more or is not
     * healthy; HM_ERANGE when the share is too small to mean anything. */
    int (*limit)(const struct asset_inventory *machine, const struct asset_share *share,
                 struct hm_arena *arena, Hypermesh__SandboxLimits *limits, struct hm_error *error);
    /* Appends this share's usage lines (kind, amount, unit, duration; parties, price and time are filled in
     * by the caller) to records[*count], at most ASSET_USAGE_MAX per share. `used` is of the whole job: the
     * first share of a kind carries it, later ones carry 0, so that lines add up. */
    int (*usage)(const struct asset_share *share, const Hypermesh__JobUsage *used,
                 struct hm_arena *arena, Hypermesh__ResourceTransaction **records, size_t *count,
                 struct hm_error *error);
    /* The smallest share that holds `amount` of the unit of kind: ceil(amount / capacity). */
    int (*share_for)(const Hypermesh__Asset *asset, uint64_t amount, uint32_t *share_ppm,
                     struct hm_error *error);
};
#define ASSET_USAGE_MAX 4
/* Processes and threads that one container slot allows. */
#define ASSET_SLOT_PIDS 512
/* The kernel takes no CPU quota under 1 ms of 100 ms. */
#define ASSET_CPU_PERIOD_US      100000
#define ASSET_CPU_MIN_MILLICORES 10
/* cpu, memory, storage, gpu, container; NULL for others ("not supported yet" is the caller's to say). */
const struct asset_adapter *asset_adapter_of(Hypermesh__AssetKind kind);

/* --- GPU meter ------------------------------------------------------------------------------------------
 * Busy time of whole devices, integrated from their utilisation: NVIDIA by NVML, AMD by sysfs. A step
 * function without a thread: its owner calls asset_gpu_meter_sample from a timer, each 100-1000 ms (drivers
 * average over 1/6 to 1 s), and passes monotonic nanoseconds. Between two samples the later figure counts for
 * the whole time. Other users of the same device are counted too. */
struct asset_gpu_meter;
/* HM_EUNAVAILABLE when a device has no utilisation counter here, HM_EINVAL for count 0 or over
 * ASSET_GPU_METER_MAX. */
#define ASSET_GPU_METER_MAX 64
int asset_gpu_meter_start(const struct asset_sources *sources, const char *const *hardware_ids,
                          size_t count, uint64_t now_ns, struct asset_gpu_meter **out,
                          struct hm_error *error);
/* A device that does not answer adds nothing for this span; asset_gpu_meter_stop then says so. */
void asset_gpu_meter_sample(struct asset_gpu_meter *meter, uint64_t now_ns);
/* Samples once more, frees the meter (NULL is fine: 0 ns), and yields busy nanoseconds summed over the
 * devices. HM_EIO when a device did not answer at some sample: *busy_ns then is a lower bound, and set. */
int asset_gpu_meter_stop(struct asset_gpu_meter *meter, uint64_t now_ns, uint64_t *busy_ns,
                         struct hm_error *error);

#endif
