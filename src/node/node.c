/* Start and stop. The API opens first, so that a waiting client hears what the node is doing; everything that takes
 * time happens on the bootstrap thread. */
#include "node.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "node_anew.h"

#define NODE_PASSPHRASE_MAX_BYTES 1024
/* Leaves room for names below it. */
#define NODE_DATA_DIR_MAX_BYTES 4000

/* --- opening ----------------------------------------------------------------------------------------------- */

static void node_init_locks(struct node *node)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&node->state_lock, NULL);
    pthread_mutex_init(&node->jobs.lock, NULL);
    pthread_cond_init(&node->jobs.changed, &attr);
    pthread_cond_init(&node->jobs.room, &attr);
    pthread_mutex_init(&node->jobs.placing, NULL);
    pthread_mutex_init(&node->answers.lock, NULL);
    join_tickets_init(&node->tickets, node->tickets_path);
    pthread_mutex_init(&node->hardware.lock, NULL);
    pthread_mutex_init(&node->hardware.scan_lock, NULL);
    pthread_condattr_destroy(&attr);
    node_wallet_init(&node->wallet);
    node_news_init(node);
    node_plot_init(node);
    hm_arena_init(&node->hardware.arena, 0);
}

static int node_open_dir(struct node *node, struct hm_error *error)
{
    const char *dir = node->options.data_dir;

    if (dir[0] != '/')
        return hm_fail(error, HM_EINVAL, "the data directory '%s' is not an absolute path", dir);
    if (strlen(dir) > NODE_DATA_DIR_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the data directory's path is longer than %d bytes",
                       NODE_DATA_DIR_MAX_BYTES);
    snprintf(node->data_dir, sizeof(node->data_dir), "%s", dir);
    snprintf(node->tickets_path, sizeof(node->tickets_path), "%.*s/tickets",
             NODE_DATA_DIR_MAX_BYTES, dir);
    return hm_mkdir_all(node->data_dir, 0700, error);
}

/* CometBFT's data go first: a marked ledger has no block that they could be of, and what is cut off is done again. */
static int node_drop_ledger(struct node *node, struct hm_error *error)
{
    char path[NODE_PATH_MAX_BYTES];
    int rc = node_path(node, "engine/data", path, error);

    if (rc == 0)
        rc = hm_remove_tree(path, error);
    if (rc == 0)
        rc = ledger_restore_drop(node->store, error);
    return rc != 0 ? rc : ledger_open(node->store, &node->ledger, error);
}

/* Did a snapshot bring all that the ledger shows, and can it be had again? */
static bool node_has_only_snapshot(struct node *node)
{
    char sync_path[NODE_PATH_MAX_BYTES];
    struct ledger_info info = {0};
    struct ledger_view *view;
    uint64_t first = 0;

    if (!node->options.cluster || node_path(node, "engine/sync.json", sync_path, NULL) != 0 ||
        access(sync_path, F_OK) != 0 || ledger_view_open(node->ledger, &view, NULL) != 0)
        return false;
    int rc = ledger_view_info(view, &info, NULL);
    if (rc == 0)
        rc = ledger_view_first_height(view, &first, NULL);
    ledger_view_close(view);
    return rc == 0 && first > 1 && first == info.height + 1;
}

/* Killed between a snapshot's last piece and the first block after it the node cannot go on with what it has: CometBFT asks for a
 * snapshot again, and the others' may be newer; or it has saved that it has one, and does not start over that (v0.38.25 panics
 * where its state is not at the height of its blocks, of which it has none). */
static int node_undo_snapshot(struct node *node, struct hm_error *error)
{
    const struct engine_options log = {
        .ledger = node->ledger, .store = node->store, .log_path = node->log_path};
    struct ledger_info info;
    int rc = node_path(node, NODE_LOG_NAME, node->log_path, error);

    if (rc == 0)
        rc = engine_solo_recover(&log, error); /* a block may be there alone */
    if (rc == 0)
        rc = ledger_info(node->ledger, &info, error);
    if (rc == 0)
        rc = ledger_restore_undo(node->ledger, error);
    if (rc != 0)
        return rc == HM_EPERM ? 0 : rc;
    hm_log(HM_LOG_WARN, "node",
           "the snapshot of block %" PRIu64
           " was taken over, and no block came after it: it is dropped, and the node begins anew "
           "with another one",
           info.height);
    ledger_close(HM_TAKE(node->ledger));
    return node_drop_ledger(node, error);
}

/* A snapshot that was half taken over when the node was killed is dropped: it is taken over anew. */
static int node_open_ledger(struct node *node, struct hm_error *error)
{
    int rc = ledger_open(node->store, &node->ledger, error);

    if (rc == HM_ECONFLICT) {
        hm_log(HM_LOG_INFO, "node", "%s", error->text);
        return node_drop_ledger(node, error);
    }
    return rc == 0 && node_has_only_snapshot(node) ? node_undo_snapshot(node, error) : rc;
}

int node_ledger_damaged(struct node *node, struct hm_error *error)
{
    char sentence[HM_ERROR_TEXT_BYTES];

    if (!node->options.cluster)
        return HM_ECORRUPT;
    node_anew_mark_damaged(node->data_dir, error != NULL ? error->text : "", sentence);
    return hm_fail(error, HM_ECORRUPT, "%s", sentence);
}

static int node_open_store(struct node *node, struct hm_error *error)
{
    const struct store_options options = {.tables = ledger_table_names,
                                          .table_count = LEDGER_TABLE_COUNT,
                                          .deferred = true}; /* the engine has a block log */
    char path[NODE_PATH_MAX_BYTES];
    bool anew = false;
    int rc = node_path(node, "ledger", path, error);
    int opened = rc != 0 ? rc : store_open_lmdb(path, &options, &node->store, error);

    if (opened != 0 && opened != HM_ECORRUPT)
        return opened;
    rc = node_anew_do(node->data_dir, &anew, error);
    if (rc == 0 && anew) {
        store_close(HM_TAKE(node->store));
        opened = store_open_lmdb(path, &options, &node->store, error);
    }
    if (rc == 0)
        rc = opened;
    if (rc == 0)
        rc = node_open_ledger(node, error);
    if (rc == HM_ECORRUPT)
        return node_ledger_damaged(node, error);
    if (rc == 0)
        rc = node_path(node, NODE_VERIFY_NAME, path, error);
    if (rc == 0) /* a kill may have cut a replay, which leaves a whole copy of the chain */
        rc = hm_remove_tree(path, error);
    return rc;
}

/* The first line of the file; the buffer is wiped by the caller. */
static int node_read_passphrase(const char *path, char *out, struct hm_error *error)
{
    struct hm_buf bytes = {0};
    int rc = hm_file_read(path, NODE_PASSPHRASE_MAX_BYTES - 1, &bytes, error);

    if (rc == 0) {
        size_t len = 0;

        while (len < bytes.len && bytes.data[len] != '\n' && bytes.data[len] != '\0')
            len++;
        memcpy(out, bytes.data, len);
        out[len] = '\0';
        if (len == 0)
            rc = hm_fail(error, HM_EINVAL, "the passphrase file %s is empty", path);
    }
    if (bytes.data != NULL)
        hm_wipe(bytes.data, bytes.cap);
    hm_buf_release(&bytes);
    return rc;
}

static int node_open_keys(struct node *node, struct hm_error *error)
{
    char path[NODE_PATH_MAX_BYTES];
    char passphrase[NODE_PASSPHRASE_MAX_BYTES];
    bool sealed = node->options.passphrase_path != NULL;
    int rc = node_path(node, "keys", path, error);

    if (rc == 0 && sealed)
        rc = node_read_passphrase(node->options.passphrase_path, passphrase, error);
    if (rc == 0)
        rc = trust_keystore_open(path, sealed ? passphrase : NULL, node->options.random,
                                 &node->keystore, error);
    hm_wipe(passphrase, sizeof(passphrase));
    return rc;
}

static int node_open_images(struct node *node, struct hm_error *error)
{
    char path[NODE_PATH_MAX_BYTES];
    int rc = node_path(node, "images", path, error);

    return rc != 0 ? rc : runtime_images_open(path, &node->images, error);
}

static int node_open_api(struct node *node, struct hm_error *error)
{
    char socket_path[NODE_PATH_MAX_BYTES], token_path[NODE_PATH_MAX_BYTES];
    struct api_options options = {.backend = &node->backend,
                                  .socket_path = socket_path,
                                  .listen = node->options.listen,
                                  .token_path = token_path,
                                  .kv_listen = node->options.kv_listen,
                                  .kv_account = node->options.kv_account,
                                  .open_proofs = node->options.open_proofs,
                                  .rate_per_s = node->options.rate_per_s,
                                  .clock = node->options.clock,
                                  .random = node->options.random};
    int rc = node_path(node, NODE_SOCKET_NAME, socket_path, error);

    if (rc == 0)
        rc = node_path(node, NODE_TOKEN_NAME, token_path, error);
    if (rc != 0)
        return rc;
    node_backend_init(node);
    return api_server_open(&options, &node->api, error);
}

static int node_open_fds(struct node *node, struct hm_error *error)
{
    node->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    node->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    node->challenges.news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (node->stop_fd < 0 || node->quit_fd < 0 || node->challenges.news_fd < 0)
        return hm_fail_errno(error, HM_EIO, "no descriptors for the node");
    return 0;
}

static int node_open_all(struct node *node, struct hm_error *error)
{
    int rc = crypto_setup(error);

    if (rc == 0)
        rc = node_open_fds(node, error);
    if (rc == 0)
        rc = node_open_dir(node, error);
    if (rc == 0)
        rc = node_open_store(node, error); /* first: it holds the lock on the directory */
    if (rc == 0)
        rc = node_open_keys(node, error);
    if (rc == 0)
        rc = node_open_images(node, error);
    if (rc == 0)
        rc = node_jobs_open(node, error);
    if (rc == 0)
        rc = node_open_api(node, error);
    if (rc == 0 && pthread_create(&node->bootstrap, NULL, node_bootstrap_main, node) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no thread to start the node on");
    if (rc == 0)
        node->bootstrapping = true;
    return rc;
}

int node_start(const struct node_options *options, struct node **out, struct hm_error *error)
{
    struct node *node = hm_calloc(1, sizeof(*node));

    if (node == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the node");
    node->options = *options;
    if (node->options.plot_bytes == 0)
        node->options.plot_bytes = NODE_PLOT_BYTES_DEFAULT;
    node->stop_fd = node->quit_fd = node->challenges.news_fd = -1;
    node->started_ms = hm_wall_ms(options->clock);
    node_init_locks(node);
    node_say_not_ready(node, "the node is starting");
    int rc = node_open_all(node, error);
    if (rc != 0) {
        node_stop(node);
        return rc;
    }
    *out = node;
    return 0;
}

int node_stop_fd(const struct node *node)
{
    return node->stop_fd;
}

const char *node_failure(struct node *node)
{
    pthread_mutex_lock(&node->state_lock);
    bool failed = node->failure[0] != '\0';
    pthread_mutex_unlock(&node->state_lock);
    return failed ? node->failure : NULL; /* written once */
}

/* --- closing: the reverse, but jobs are settled while the chain still runs ------------------------------------ */

static void node_release(struct node *node)
{
    node_wallet_release(&node->wallet);
    node_feed_release(&node->feed);
    node_plot_release(node);
    hm_fd_release(&node->challenges.news_fd);
    pthread_mutex_destroy(&node->hardware.scan_lock);
    pthread_mutex_destroy(&node->hardware.lock);
    join_tickets_release(&node->tickets);
    pthread_mutex_destroy(&node->answers.lock);
    pthread_mutex_destroy(&node->jobs.placing);
    pthread_cond_destroy(&node->jobs.room);
    pthread_cond_destroy(&node->jobs.changed);
    pthread_mutex_destroy(&node->jobs.lock);
    pthread_mutex_destroy(&node->state_lock);
    hm_fd_release(&node->stop_fd);
    hm_fd_release(&node->quit_fd);
    hm_free(node);
}

void node_stop(struct node *node)
{
    const uint64_t one = 1;

    if (node == NULL)
        return;
    node_say_not_ready(node, "the node is stopping");
    if (node->quit_fd >= 0)
        hm_write_all(node->quit_fd, &one, sizeof(one), NULL);
    if (node->bootstrapping)
        pthread_join(node->bootstrap, NULL);
    node_door_close(node);
    node_jobs_stop(node);
    atomic_store(&node->ready, false);
    atomic_store(&node->opened, false);
    node_hardware_watch_end(node);
    node_challenges_stop(node);
    api_server_close(node->api);
    node_hardware_close(node);
    node_engine_close(node);
    node_feed_stop(&node->feed);
    node_jobs_close(node);
    runtime_images_close(node->images);
    ledger_close(node->ledger);
    store_close(node->store);
    /* Identities go before the keystore they came from. */
    struct trust_keystore *keystore = node->keystore;
    node_release(node);
    trust_keystore_close(keystore);
}
