/* GPU meter beside a running job: samples every half second on a thread that ends with the job. Leases without GPUs,
 * the common case, start nothing. */
#include <poll.h>
#include <sys/eventfd.h>

#include "node_private.h"

#define NODE_GPU_SAMPLE_MS 500

struct node_gpu_watch {
    const struct hm_clock *clock;
    struct asset_gpu_meter *meter;
    pthread_t thread;
    int stop_fd;
};

static void *node_gpu_main(void *arg)
{
    struct node_gpu_watch *watch = arg;
    struct pollfd stop = {.fd = watch->stop_fd, .events = POLLIN};

    while (poll(&stop, 1, NODE_GPU_SAMPLE_MS) == 0)
        asset_gpu_meter_sample(watch->meter, hm_mono_ns(watch->clock));
    return NULL;
}

/* Hardware ids of the lease's GPUs, in the arena; at most ASSET_GPU_METER_MAX. */
static size_t node_gpu_ids(struct node *node, const Hypermesh__Lease *lease, struct hm_arena *arena,
                           const char **ids)
{
    struct ledger_view *view;
    size_t count = 0;

    if (ledger_view_open(node->ledger, &view, NULL) != 0)
        return 0;
    for (size_t i = 0; i < lease->n_items && count < ASSET_GPU_METER_MAX; i++) {
        Hypermesh__Asset *asset;

        if (lease->items[i]->kind == HYPERMESH__ASSET_KIND__GPU &&
            ledger_view_asset(view, lease->items[i]->asset.data, arena, &asset, NULL) == 0)
            ids[count++] = asset->hardware_id;
    }
    ledger_view_close(view);
    return count;
}

static void node_gpu_watch_free(struct node_gpu_watch *watch)
{
    hm_fd_release(&watch->stop_fd);
    hm_free(watch);
}

struct node_gpu_watch *node_gpu_watch_start(struct node *node, const Hypermesh__Lease *lease)
{
    const struct asset_sources sources = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    const char *ids[ASSET_GPU_METER_MAX];
    struct hm_error error = {0};

    hm_arena_init(&arena, 0);
    size_t count = node_gpu_ids(node, lease, &arena, ids);
    if (count == 0)
        return NULL;
    struct node_gpu_watch *watch = hm_calloc(1, sizeof(*watch));
    if (watch == NULL)
        return NULL;
    watch->clock = node->options.clock;
    watch->stop_fd = eventfd(0, EFD_CLOEXEC);
    int rc = asset_gpu_meter_start(&sources, ids, count, hm_mono_ns(watch->clock), &watch->meter,
                                   &error);
    if (rc != 0)
        hm_log(HM_LOG_WARN, "node", "GPU use is not measured: %s", error.text);
    if (rc != 0 || watch->stop_fd < 0 ||
        pthread_create(&watch->thread, NULL, node_gpu_main, watch) != 0) {
        uint64_t busy_ns;

        asset_gpu_meter_stop(watch->meter, hm_mono_ns(watch->clock), &busy_ns, NULL);
        node_gpu_watch_free(watch);
        return NULL;
    }
    return watch;
}

uint64_t node_gpu_watch_stop(struct node_gpu_watch *watch)
{
    const uint64_t one = 1;
    struct hm_error error = {0};
    uint64_t busy_ns = 0;

    if (watch == NULL)
        return 0;
    hm_write_all(watch->stop_fd, &one, sizeof(one), NULL);
    pthread_join(watch->thread, NULL);
    if (asset_gpu_meter_stop(watch->meter, hm_mono_ns(watch->clock), &busy_ns, &error) != 0)
        hm_log(HM_LOG_WARN, "node", "GPU use is a lower bound: %s", error.text);
    node_gpu_watch_free(watch);
    return busy_ns;
}
