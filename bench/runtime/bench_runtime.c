/* What runtime_job_run adds to the bare OCI runtime: the same bundle, started by us and by itself.
 *
 *   bench_runtime [DIR [ROUNDS]]   DIR: an empty folder, default one of its own; ROUNDS: default 40.
 * As root with overlayfs and cgroups, as anybody else without. Ends with 77 where nothing runs.
 *
 * "bare" is `RUNTIME run` on a bundle whose config.json is the one our job had, with the same root file
 * system mounted all the time. "job" is everything from spec to clean-up. The two take turns, so that
 * what else the machine does falls on both alike. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_bundle.h"
#include "runtime_images.h"
#include "runtime_oci.h"
#include "runtime_rootfs.h"

#define ROUNDS_DEFAULT 40
#define ROUNDS_MAX     10000
#define WARM_ROUNDS    3
#define BARE_ID        "benchbare"
#define BARE_LIMIT_MS  20000

struct bench {
    char dir[256];
    struct runtime_machine machine;
    struct runtime_images *images;
    struct runtime_oci bare;
    char bare_dir[300];
    struct hm_error error;
};

static void must(int rc, const struct hm_error *error)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_runtime: %s\n", error->text);
    exit(1);
}

static double now_ms(void)
{
    return (double)hm_mono_ns(hm_clock_system()) / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static char *command[] = {(char *)(uintptr_t)("/bin/true")};

/* The bundle that stays: root mounted, config written as for a job. */
static void make_bare(struct bench *bench)
{
    static const char *const env[] = {"PATH=/bin"};
    static struct runtime_image_loaded loaded;
    struct runtime_limits limits = {.cpu_quota_us = 100000,
                                    .cpu_period_us = 100000,
                                    .memory_bytes = UINT64_C(64) << 20,
                                    .storage_bytes = UINT64_C(64) << 20,
                                    .pids = 64};
    const struct runtime_machine *machine = &bench->machine;
    char layer[RUNTIME_PATH_MAX_BYTES], rootfs[RUNTIME_PATH_MAX_BYTES];
    const char *layers[] = {layer};
    struct runtime_rootfs_plan plan = {
        BARE_ID, bench->bare_dir, machine->rootless, machine->overlayfs, machine->mapped, layers,
        1};
    struct runtime_bundle bundle = {
        .rootfs = rootfs,
        .argv = (const char *const *)command,
        .argc = 1,
        .env = env,
        .envc = 1,
        .workdir = "/",
        .hostname = "bench",
        .mapped = machine->mapped,
        .rootless = machine->rootless,
        .deny_devices = machine->cgroup == RUNTIME_CGROUP_V1,
        .limits = &limits,
        .cgroup = machine->cgroup != RUNTIME_CGROUP_NONE ? "/hypermesh/" BARE_ID "/c" : NULL};
    struct hm_arena arena;

    hm_arena_init(&arena, 0);
    must(hm_mkdir_all(bench->bare_dir, 0700, &bench->error), &bench->error);
    must(runtime_image_load(bench->images, "busybox", &arena, &loaded, &bench->error),
         &bench->error);
    must(runtime_image_layer(bench->images, &loaded, 0, machine->mapped, layer, &bench->error),
         &bench->error);
    must(runtime_rootfs_claim(BARE_ID, machine->rootless, &bench->error), &bench->error);
    must(runtime_rootfs_make(&plan, rootfs, &bench->error), &bench->error);
    must(runtime_oci_init(&bench->bare, machine, BARE_ID, bench->bare_dir, &bench->error),
         &bench->error);
    must(hm_mkdir_all(bench->bare.bundle, 0700, &bench->error), &bench->error);
    must(hm_mkdir_all(bench->bare.root, 0700, &bench->error), &bench->error);
    must(runtime_bundle_write(&bundle, bench->bare.bundle, &bench->error), &bench->error);
    hm_arena_release(&arena);
}

static double run_bare(struct bench *bench)
{
    struct runtime_child child = {.pidfd = -1, .out = -1, .err = -1};
    double start = now_ms();
    int status = 0;

    must(runtime_oci_run(&bench->bare, &child, &bench->error), &bench->error);
    must(runtime_child_wait(&child, BARE_LIMIT_MS, &status, NULL, &bench->error), &bench->error);
    if (status != 0) {
        fprintf(stderr, "bench_runtime: the bare container ended with %d\n", status);
        exit(1);
    }
    runtime_child_release(&child);
    return now_ms() - start;
}

static double run_job(struct bench *bench, unsigned round)
{
    Hypermesh__JobSpec spec = HYPERMESH__JOB_SPEC__INIT;
    struct runtime_job_request request = {.spec = &spec, .cancel_fd = -1};
    struct runtime_job_result result;
    char id[24], dir[320];
    double start, took;

    snprintf(id, sizeof(id), "bench%u", round);
    snprintf(dir, sizeof(dir), "%s/jobs/%s", bench->dir, id);
    spec.image = (char *)(uintptr_t)("busybox");
    spec.command = command;
    spec.n_command = 1;
    spec.memory_bytes = UINT64_C(64) << 20;
    request.id = id;
    request.dir = dir;
    start = now_ms();
    must(runtime_job_run(bench->images, &bench->machine, &request, &result, &bench->error),
         &bench->error);
    took = now_ms() - start;
    if (result.outcome != HYPERMESH__JOB_OUTCOME__FINISHED) {
        fprintf(stderr, "bench_runtime: the job ended badly: %s\n", result.reason);
        exit(1);
    }
    return took;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    static double bare[ROUNDS_MAX], job[ROUNDS_MAX];
    const char *base = getenv("TMPDIR");
    const char *busybox = getenv("HYPERMESH_BUSYBOX");
    uint64_t rounds = ROUNDS_DEFAULT;
    struct runtime_image image;

    if (argc > 2)
        must(hm_u64_parse(argv[2], &rounds, &bench.error), &bench.error);
    if (rounds == 0 || rounds > ROUNDS_MAX)
        rounds = ROUNDS_DEFAULT;
    must(crypto_setup(&bench.error), &bench.error);
    if (argc > 1)
        snprintf(bench.dir, sizeof(bench.dir), "%s", argv[1]);
    else
        snprintf(bench.dir, sizeof(bench.dir), "%s/hm-bench-runtime-XXXXXX",
                 base != NULL && base[0] == '/' ? base : "/tmp");
    if (argc <= 1 && mkdtemp(bench.dir) == NULL)
        must(hm_fail_errno(&bench.error, HM_EIO, "cannot make %s", bench.dir), &bench.error);
    snprintf(bench.bare_dir, sizeof(bench.bare_dir), "%s/bare", bench.dir);
    if (runtime_probe(bench.dir, NULL, &bench.machine, &bench.error) != 0) {
        printf("bench_runtime: %s\n", bench.error.text);
        return 77;
    }
    must(runtime_images_open(bench.dir, &bench.images, &bench.error), &bench.error);
    must(runtime_image_build_base(bench.images, busybox != NULL && *busybox != 0 ? busybox : NULL,
                                  &image, &bench.error),
         &bench.error);
    make_bare(&bench);
    for (unsigned i = 0; i < rounds + WARM_ROUNDS; i++) {
        double a = run_bare(&bench), b = run_job(&bench, i);

        if (i >= WARM_ROUNDS) {
            bare[i - WARM_ROUNDS] = a;
            job[i - WARM_ROUNDS] = b;
        }
    }
    qsort(bare, rounds, sizeof(*bare), compare);
    qsort(job, rounds, sizeof(*job), compare);
    printf("runtime: %s %s, %s, %s root, %" PRIu64 " rounds of /bin/true\n", bench.machine.oci_name,
           bench.machine.oci_version, bench.machine.rootless ? "rootless" : "rootful",
           bench.machine.overlayfs ? "overlayfs" : "copied", rounds);
    printf("  bare %s run       median %6.1f ms   p90 %6.1f ms\n", bench.machine.oci_name,
           bare[rounds / 2], bare[rounds * 9 / 10]);
    printf("  runtime_job_run     median %6.1f ms   p90 %6.1f ms\n", job[rounds / 2],
           job[rounds * 9 / 10]);
    printf("  added               median %6.1f ms   ratio %.2f\n",
           job[rounds / 2] - bare[rounds / 2], job[rounds / 2] / bare[rounds / 2]);
    (void)runtime_job_reap(&bench.machine, BARE_ID, bench.bare_dir, NULL);
    runtime_images_close(bench.images);
    if (argc <= 1)
        (void)hm_remove_tree(bench.dir, NULL);
    return 0;
}
