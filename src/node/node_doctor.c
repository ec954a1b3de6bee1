/* What is right and wrong with this machine, and what to do about it. Looks only; changes nothing. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <unistd.h>

#include "node_private.h"

#define NODE_CHECKS_MAX       40
#define NODE_LOW_DISK_BYTES   (UINT64_C(2) << 30)
#define NODE_LOW_DESCRIPTORS  1024
#define NODE_LOW_FILES        10000
#define NODE_LOW_MEMORY_BYTES (UINT64_C(1) << 30)

struct node_checks {
    struct hm_arena *arena;
    struct api_check items[NODE_CHECKS_MAX];
    size_t count;
};

__attribute__((format(printf, 5, 6))) static void node_check(struct node_checks *checks,
                                                             const char *name, const char *level,
                                                             const char *advice, const char *format,
                                                             ...)
{
    char text[NODE_TEXT_MAX_BYTES];
    va_list args;

    if (checks->count == NODE_CHECKS_MAX)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    struct api_check *check = &checks->items[checks->count];
    check->name = name;
    check->level = level;
    check->text = hm_arena_strdup(checks->arena, text);
    check->advice = advice;
    if (check->text != NULL)
        checks->count++;
}

static void node_check_sandbox(const struct node *node, struct node_checks *checks)
{
    static const char *const cgroups[] = {"none", "v1", "v2"};
    const struct runtime_machine *machine = &node->machine;

    if (!node->machine_known) {
        node_check(checks, "sandbox", "error",
                   "install crun or runc, or see in the node's log why they do not work here; then "
                   "restart the node",
                   "no container runtime works: this node runs no jobs");
        return;
    }
    node_check(checks, "sandbox", "ok", NULL, "%s %s, %s", machine->oci_name, machine->oci_version,
               machine->rootless ? "rootless" : "rootful");
    node_check(checks, "cgroup", machine->cgroup == RUNTIME_CGROUP_NONE ? "warning" : "ok",
               machine->cgroup == RUNTIME_CGROUP_NONE
                   ? "run the node as root, or delegate a cgroup v2 subtree to its user"
                   : NULL,
               "%s; enforced: cpu %s, memory %s, pids %s, io %s", cgroups[machine->cgroup],
               machine->limit_cpu ? "yes" : "no", machine->limit_memory ? "yes" : "no",
               machine->limit_pids ? "yes" : "no", machine->limit_io ? "yes" : "no");
    node_check(checks, "overlayfs", machine->overlayfs ? "ok" : "note",
               machine->overlayfs ? NULL : "nothing to do: images are copied for each job instead",
               machine->overlayfs ? "works" : "does not work for this user");
    for (size_t i = 0; i < machine->warning_count; i++)
        node_check(checks, "limits", "warning", NULL, "%s", machine->warnings[i]);
}

static void node_check_disk(const struct node *node, struct node_checks *checks)
{
    struct statvfs disk;
    char text[32];

    if (statvfs(node->data_dir, &disk) != 0) {
        node_check(checks, "disk", "error", "see that the data directory exists and is readable",
                   "%s cannot be looked at", node->data_dir);
        return;
    }
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    hm_size_format(free_bytes, text);
    bool low = free_bytes < NODE_LOW_DISK_BYTES;
    node_check(checks, "disk", low ? "warning" : "ok",
               low ? "make room: a full disk stops the node (nothing acknowledged is lost)" : NULL,
               "%s free at %s", text, node->data_dir);
}

/* The machine's clock beside the chain's, which never goes back. */
static void node_check_chain_clock(const struct node *node, struct node_checks *checks)
{
    uint64_t wall_ms = hm_wall_ms(node->options.clock), chain_ms = atomic_load(&node->chain_ms);
    struct engine_status engine;

    engine_get_status(node->engine, &engine);
    if (engine.clock_refused)
        node_check(checks, "chain clock", "error",
                   "set the clock right; if it is right now, restart the node",
                   "the machine's clock has gone far ahead at once: no blocks are made");
    else if (chain_ms > wall_ms + NODE_CLOCK_BEHIND_MS)
        node_check(checks, "chain clock", "error",
                   "set the clock right; if it is right now, leases and sessions last longer until "
                   "it has caught up",
                   "the machine's clock is %" PRIu64 " minutes behind the last block",
                   (chain_ms - wall_ms) / 60000);
    else
        node_check(checks, "chain clock", "ok", NULL, "the last block is not ahead of the clock");
}

/* Room in the file system's table of files, and the right to write at all. */
static void node_check_folder(const struct node *node, struct node_checks *checks)
{
    struct statvfs disk;

    if (statvfs(node->data_dir, &disk) != 0)
        return; /* said by the check of the disk */
    if ((disk.f_flag & ST_RDONLY) != 0)
        node_check(checks, "folder", "error", "mount it writable, then restart the node",
                   "%s lies on a read-only file system", node->data_dir);
    else if (disk.f_files > 0 && disk.f_favail < NODE_LOW_FILES)
        node_check(checks, "folder", "warning", "remove files: the file system can hold few more",
                   "%" PRIu64 " more files fit %s", (uint64_t)disk.f_favail, node->data_dir);
    else
        node_check(checks, "folder", "ok", NULL, "%s is writable", node->data_dir);
}

static void node_check_memory(struct node_checks *checks)
{
    struct sysinfo info;

    if (sysinfo(&info) != 0)
        return;
    uint64_t total = (uint64_t)info.totalram * info.mem_unit;
    char text[32];

    hm_size_format(total, text);
    bool low = total < NODE_LOW_MEMORY_BYTES;
    node_check(checks, "memory", low ? "warning" : "ok",
               low ? "give the machine 1 GiB or more: a sealed keystore alone needs 256 MiB to open"
                   : NULL,
               "%s in all, %u processors", text, (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
}

/* Who else could come in, and by which door. */
static void node_check_doors(const struct node *node, struct node_checks *checks)
{
    const char *tcp = api_server_listen(node->api);
    const char *kv = api_server_kv_listen(node->api);

    node_check(checks, "ports", "ok", NULL, "unix socket %s/%s; TCP %s", node->data_dir,
               NODE_SOCKET_NAME, tcp[0] != '\0' ? tcp : "none");
    if (kv[0] != '\0')
        node_check(checks, "ports", "note",
                   "start without --kv-listen unless programs written for etcd need it",
                   "%s serves the key-value store to every user of this machine, without a token",
                   kv);
}

static void node_check_clock(struct node_checks *checks)
{
    struct timex state = {0};
    bool synchronised = adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0;

    node_check(checks, "clock", synchronised ? "ok" : "note",
               synchronised
                   ? NULL
                   : "run an NTP client; transactions must be within a minute of block time",
               synchronised ? "synchronised" : "the kernel does not know of a time source");
}

static void node_check_keys(const struct node *node, struct node_checks *checks)
{
    bool sealed = trust_keystore_sealed(node->keystore);

    node_check(checks, "keys", sealed ? "ok" : "note",
               sealed ? NULL : "to seal the keys of a new node, start it with --passphrase-file",
               sealed ? "sealed under a passphrase" : "not sealed: files of mode 0600 guard them");
}

static void node_check_kvm(struct node_checks *checks)
{
    HM_AUTOCLOSE int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    node_check(checks, "kvm", "note", "nothing to do: microVM jobs are not supported yet",
               fd >= 0 ? "/dev/kvm opens" : "/dev/kvm does not open");
}

static void node_check_descriptors(struct node_checks *checks)
{
    struct rlimit limit = {0};

    getrlimit(RLIMIT_NOFILE, &limit);
    bool low = limit.rlim_cur < NODE_LOW_DESCRIPTORS;
    node_check(checks, "descriptors", low ? "warning" : "ok",
               low ? "raise the limit on open files (ulimit -n)" : NULL, "%" PRIu64 " at most",
               (uint64_t)limit.rlim_cur);
}

static int node_check_hardware(struct node *node, struct node_checks *checks,
                               struct hm_error *error)
{
    struct asset_inventory inventory;
    size_t gpus = 0;
    int rc = node_hardware_scan(node, checks->arena, &inventory, error);

    if (rc != 0)
        return rc;
    for (size_t i = 0; i < inventory.count; i++) {
        const struct asset_found *found = &inventory.items[i];

        gpus += found->kind == HYPERMESH__ASSET_KIND__GPU;
        if (!found->healthy)
            node_check(checks, "hardware", "warning", NULL, "%s: %s", found->hardware_id,
                       found->health);
    }
    node_check(checks, "gpu", gpus > 0 ? "ok" : "note", NULL, "%zu found", gpus);
    for (size_t i = 0; i < inventory.note_count; i++)
        node_check(checks, "discovery", "note", NULL, "%s", inventory.notes[i]);
    return 0;
}

static void node_check_chain(struct node *node, struct node_checks *checks)
{
    struct engine_status status;
    struct ledger_info info;

    engine_get_status(node->engine, &status);
    if (status.failed)
        node_check(checks, "engine", "error", "mend the cause, then restart the node", "%s",
                   status.failure);
    else if (ledger_info(node->ledger, &info, NULL) == 0)
        node_check(checks, "engine", "ok", NULL, "%s, height %" PRIu64, status.name, info.height);
}

static void node_check_vote(struct node *node, struct node_checks *checks)
{
    char why[HM_ERROR_TEXT_BYTES];

    if (node_validator_differs(node, why))
        node_check(checks, "validator", "error",
                   "stop the node, bring back its folder validator, start it again", "%s", why);
}

/* What challenges showed of this node. */
static void node_check_marks(struct node *node, struct node_checks *checks)
{
    Hypermesh__Account *account;
    struct ledger_view *view;

    if (ledger_view_open(node->ledger, &view, NULL) != 0)
        return;
    int rc = ledger_view_account(view, node->operator_id, checks->arena, &account, NULL);
    ledger_view_close(view);
    if (rc != 0)
        return;
    if (account->plot == NULL || atomic_load(&node->plot.damaged))
        node_check(checks, "plot", "error", "see the daemon's log; it is built and committed again",
                   account->plot == NULL ? "the node's plot is not committed"
                                         : "the node's plot is damaged");
    else
        node_check(checks, "plot", "ok", NULL, "committed");
    if (account->marks != NULL && account->marks->failed > 0)
        node_check(checks, "challenges", "warning",
                   "see the daemon's log for what could not be shown",
                   "%" PRIu64 " lost, %" PRIu64 " answered", account->marks->failed,
                   account->marks->answered);
}

int node_doctor(void *ctx, struct hm_arena *arena, struct api_check **out, size_t *count,
                struct hm_error *error)
{
    struct node *node = ctx;
    struct node_checks *checks = hm_arena_alloc(arena, sizeof(*checks));
    int rc = node_need_ledger(node, error);

    if (rc != 0)
        return rc;
    if (checks == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the checks");
    checks->arena = arena;
    node_check_chain(node, checks);
    node_check_vote(node, checks);
    node_check_sandbox(node, checks);
    node_check_disk(node, checks);
    node_check_folder(node, checks);
    node_check_memory(checks);
    node_check_doors(node, checks);
    node_check_clock(checks);
    node_check_chain_clock(node, checks);
    node_check_marks(node, checks);
    node_check_keys(node, checks);
    node_check_descriptors(checks);
    node_check_kvm(checks);
    rc = node_check_hardware(node, checks, error);
    if (rc != 0)
        return rc;
    *out = checks->items;
    *count = checks->count;
    return 0;
}
