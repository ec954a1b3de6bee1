/* A sender who knows the code and means harm, and somebody between two honest ends: over real connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "access/packetfs_volume_key.h"
#include "crypto.h"
#include "store/packetfs_volume.h"
#include "sync/packetfs_peer.h"
#include "sync/packetfs_send_proof.h"
#include "tree/packetfs_tree.h"

#define CODE        "4821-harbor-violin"
#define WAIT_MS     10000
#define LOOK_MS     50
#define PIECE_BYTES ((size_t)65536)

static char folder[64];

static const char *at(const char *name)
{
    static char paths[8][192];
    static unsigned turn;
    char *path = paths[turn++ % 8];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/packetfs-receive-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return hm_remove_tree(folder, NULL);
}

/* Names in the folder, without those of '.'. */
static size_t entries(const char *path)
{
    DIR *list = opendir(path);
    size_t count = 0;

    while (list != NULL && readdir(list) != NULL)
        count++;
    if (list != NULL)
        (void)closedir(list);
    return count > 2 ? count - 2 : 0;
}

/* --- a volume that no put makes ----------------------------------------------------------------------------------------- */

struct evil {
    struct packetfs_objects real;
    const char *from, *to; /* of the same length: changed in references before they are stored */
};

static int evil_put(void *ctx, enum packetfs_kind kind, struct hm_slice bytes,
                    struct packetfs_id *id, struct hm_error *error)
{
    const struct evil *evil = ctx;
    HM_CLEANUP(hm_buf) struct hm_buf changed = {0};
    uint8_t *found;

    if (kind != PACKETFS_REFERENCE || evil->from == NULL)
        return evil->real.put(evil->real.ctx, kind, bytes, id, error);
    assert_int_equal(hm_buf_append(&changed, bytes.data, bytes.len), 0);
    found = memmem(changed.data, changed.len, evil->from, strlen(evil->from));
    if (found != NULL)
        memcpy(found, evil->to, strlen(evil->to));
    return evil->real.put(evil->real.ctx, kind, hm_buf_slice(&changed), id, error);
}

static int evil_has(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id)
{
    const struct evil *evil = ctx;
    return evil->real.has(evil->real.ctx, kind, id);
}

static int evil_get(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                    struct hm_buf *out, struct hm_error *error)
{
    const struct evil *evil = ctx;
    return evil->real.get(evil->real.ctx, kind, id, out, error);
}

/* What the one file shall be beside its bytes. */
static struct packetfs_entry evil_file = {.type = PACKETFS_FILE, .mode = 0644};
/* Each folder of so many names the one below twice: 2^n in few bytes. */
static size_t evil_levels;
static size_t evil_snapshots = 1; /* of the same root; the first is given */

static void evil_folders(const struct packetfs_objects *objects,
                         const struct packetfs_volume *volume, struct packetfs_id *root)
{
    for (size_t i = 0; i < evil_levels; i++) {
        struct packetfs_folder_builder *builder = NULL;
        struct packetfs_entry entry = {.type = PACKETFS_FOLDER, .mode = 0755, .folder = *root};

        assert_int_equal(packetfs_folder_new(objects, volume->keys.node, &builder, NULL), 0);
        for (const char *name = "a"; name != NULL; name = *name == 'a' ? "b" : NULL) {
            entry.name = hm_slice_str(name);
            assert_int_equal(packetfs_folder_add(builder, &entry, NULL), 0);
        }
        assert_int_equal(packetfs_folder_finish(builder, root, NULL), 0);
        packetfs_folder_free(builder);
    }
}

/* A file of one piece, pieces times, called name, which becomes shown. */
static struct packetfs_volume *evil_volume(const char *name, const char *shown, size_t pieces,
                                           struct packetfs_snapshot *snapshot)
{
    const struct packetfs_unlock unlock = {.key_file = at("key")};
    static uint8_t piece[PIECE_BYTES] = "piece";
    struct packetfs_volume *volume = NULL;
    struct packetfs_writer *writer = NULL;
    struct packetfs_list_builder *list = NULL;
    struct packetfs_folder_builder *builder = NULL;
    struct evil evil = {.from = shown != NULL ? name : NULL, .to = shown};
    const struct packetfs_objects objects = {&evil, evil_has, evil_get, evil_put};
    struct packetfs_entry entry = evil_file;
    struct packetfs_id id;

    entry.name = hm_slice_str(name);

    assert_int_equal(packetfs_volume_create(at("evil"), NULL, &unlock, NULL), 0);
    assert_int_equal(packetfs_volume_open(at("evil"), &unlock, false, &volume, NULL), 0);
    assert_int_equal(packetfs_writer_open(volume->store, &writer, NULL), 0);
    evil.real = packetfs_writer_objects(writer);
    assert_int_equal(packetfs_list_new(&objects, volume->keys.node, &list, NULL), 0);
    assert_int_equal(
        objects.put(&evil, PACKETFS_PATTERN, hm_slice_of(piece, sizeof(piece)), &id, NULL), 0);
    for (size_t i = 0; i < pieces; i++)
        assert_int_equal(packetfs_list_add(list, &id, sizeof(piece), NULL), 0);
    assert_int_equal(packetfs_list_finish(list, &entry.content, NULL), 0);
    packetfs_list_free(list);
    assert_int_equal(packetfs_folder_new(&objects, volume->keys.node, &builder, NULL), 0);
    assert_int_equal(packetfs_folder_add(builder, &entry, NULL), 0);
    *snapshot = (struct packetfs_snapshot){.files = 1, .bytes = 100, .label = "send"};
    assert_int_equal(packetfs_folder_finish(builder, &snapshot->root, NULL), 0);
    packetfs_folder_free(builder);
    evil_folders(&objects, volume, &snapshot->root);
    assert_int_equal(packetfs_writer_flush(writer, NULL), 0);
    assert_int_equal(packetfs_snapshot_add(volume->store, snapshot, NULL), 0);
    for (size_t i = 1; i < evil_snapshots; i++) {
        struct packetfs_snapshot further = *snapshot;

        (void)snprintf(further.label, sizeof(further.label), "further %zu", i);
        assert_int_equal(packetfs_snapshot_add(volume->store, &further, NULL), 0);
    }
    packetfs_writer_close(writer);
    return volume;
}

/* --- a sender with it ----------------------------------------------------------------------------------------------------- */

struct rogue {
    struct packetfs_volume *volume;
    struct packetfs_offer offer;
    struct packetfs_peer *door;
    pthread_t door_thread, serve_thread;
    atomic_uint port;
    atomic_bool stop;
    int heard; /* what the receiver ended with */
    struct hm_error error;
};

static bool rogue_goes_on(void *ctx, const struct packetfs_progress *progress)
{
    struct rogue *rogue = ctx;
    (void)progress;
    return !rogue->stop;
}

static void rogue_ready(void *ctx, const char *address)
{
    struct rogue *rogue = ctx;
    rogue->port = (unsigned)strtoul(strrchr(address, ':') + 1, NULL, 10);
}

static void *rogue_serve(void *arg)
{
    struct rogue *rogue = arg;
    const struct packetfs_serve_options options = {
        .address = "127.0.0.1:0", .ready = rogue_ready, .ctx = rogue};
    const struct packetfs_watch watch = {.progress = rogue_goes_on, .ctx = rogue};

    if (packetfs_serve(rogue->volume, &options, &watch, NULL) != 0)
        rogue->port = 1;
    return NULL;
}

static void *rogue_main(void *arg)
{
    struct rogue *rogue = arg;
    struct packetfs_gate gate = {.code = CODE, .offer = &rogue->offer};
    struct packetfs_stream *stream = NULL;
    struct packetfs_talk talk;
    enum packetfs_wire_type type = PACKETFS_WIRE_HELLO;
    struct hm_slice body;
    uint8_t shown[PACKETFS_SHOWN_BYTES];
    int rc = packetfs_peer_accept(rogue->door, WAIT_MS, &stream, &rogue->error);

    (void)pthread_mutex_init(&gate.lock, NULL);
    if (rc == 0)
        rc = packetfs_stream_begin(stream, WAIT_MS, &rogue->error);
    if (rc == 0) {
        packetfs_talk_init(&talk, packetfs_stream_channel(stream), WAIT_MS);
        packetfs_stream_shown(stream, shown);
        rc = packetfs_gate_open(&gate, shown, &talk, &rogue->error);
        while (rc == 0 && type != PACKETFS_WIRE_TAKEN)
            rc = packetfs_talk_receive(&talk, &type, &body, &rogue->error);
        packetfs_talk_release(&talk);
    }
    packetfs_stream_free(stream);
    rogue->heard = rc;
    return NULL;
}

static int rogue_run(struct rogue *rogue, const struct packetfs_snapshot *snapshot,
                     struct packetfs_error *error)
{
    struct packetfs_peer_options options = {.server = true, .stranger = true};
    const struct packetfs_unlock unlock = {.key_file = at("key")};
    HM_AUTOFREE char *opened_by = NULL;
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    char remote[64];
    struct packetfs_receive_options receive = {.remote = remote,
                                               .code = CODE,
                                               .target = at("into"),
                                               .state = at("state"),
                                               .timeout_ms = WAIT_MS};
    int rc;

    assert_int_equal(pthread_create(&rogue->serve_thread, NULL, rogue_serve, rogue), 0);
    assert_int_equal(packetfs_peer_address("127.0.0.1:0", true, &options.bind, NULL), 0);
    assert_int_equal(packetfs_peer_open(&options, &rogue->door, NULL), 0);
    assert_int_equal(packetfs_volume_key_find(at("evil"), rogue->volume->keys.volume_id, &unlock,
                                              rogue->offer.volume_key, &opened_by, NULL),
                     0);
    assert_int_equal(hm_file_read(at("evil/volume"), 4096, &file, NULL), 0);
    rogue->offer.volume_file = hm_buf_slice(&file);
    if (snapshot != NULL)
        memcpy(rogue->offer.snapshot, snapshot->id, sizeof(snapshot->id));
    while (rogue->port == 0)
        (void)usleep(1000);
    rogue->offer.port = (uint16_t)rogue->port;
    (void)snprintf(remote, sizeof(remote), "127.0.0.1:%u", packetfs_peer_port(rogue->door));
    assert_int_equal(pthread_create(&rogue->door_thread, NULL, rogue_main, rogue), 0);
    rc = packetfs_receive(&receive, NULL, NULL, error);
    (void)pthread_join(rogue->door_thread, NULL);
    rogue->stop = true;
    (void)pthread_join(rogue->serve_thread, NULL);
    packetfs_peer_free(rogue->door);
    packetfs_volume_close(rogue->volume);
    return rc;
}

/* --- tests ---------------------------------------------------------------------------------------------------------------- */

static void assert_refused(struct rogue *rogue, const struct packetfs_snapshot *snapshot, int code,
                           const char *word)
{
    struct packetfs_error error = {0};
    int rc = rogue_run(rogue, snapshot, &error);

    if (rc != code || strstr(error.text, word) == NULL)
        fail_msg("%d: %s (%d: %s)", rc, error.text, rogue->heard, rogue->error.text);
    assert_int_equal(rogue->heard, code); /* the sender is told */
}

static void test_the_honest_way(void **state)
{
    struct rogue rogue = {.offer = {.files = 1, .bytes = 2 * PIECE_BYTES}};
    struct packetfs_snapshot snapshot;
    struct packetfs_error error = {0};
    struct stat about;
    (void)state;

    rogue.volume = evil_volume("file", NULL, 2, &snapshot);
    if (rogue_run(&rogue, &snapshot, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(rogue.heard, 0);
    assert_int_equal(stat(at("into/file"), &about), 0);
    assert_int_equal(about.st_size, 2 * PIECE_BYTES);
    assert_int_equal(access(at("state"), F_OK), -1);
}

static void test_names_that_lead_out(void **state)
{
    static const char *const names[][2] = {
        {"AAAAAAAAAA", "../../evil"}, {"AAAAAAAAAA", "/tmp/evil1"}, {"AAAA", "a/bc"}, {"AA", ".."}};
    (void)state;

    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        struct rogue rogue = {.offer = {.files = 1, .bytes = 200000}};
        struct packetfs_snapshot snapshot;

        rogue.volume = evil_volume(names[i][0], names[i][1], 2, &snapshot);
        assert_refused(&rogue, &snapshot, HM_ECORRUPT, "");
        assert_int_equal(entries(at("into")), 0);
        assert_int_equal(hm_remove_tree(at("evil"), NULL), 0);
        assert_int_equal(hm_remove_tree(at("state"), NULL), 0);
        assert_int_equal(unlink(at("key")), 0);
        assert_int_equal(entries(folder), entries(at("into")) > 0 || access(at("into"), F_OK) == 0);
    }
}

/* Few bytes that stand for many: the snapshot says 100 bytes, and names 320 MiB. */
static void test_more_than_was_announced(void **state)
{
    struct rogue rogue = {.offer = {.files = 1, .bytes = 100}};
    struct packetfs_snapshot snapshot;
    (void)state;

    rogue.volume = evil_volume("file", NULL, 5000, &snapshot);
    assert_refused(&rogue, &snapshot, HM_ELIMIT, "announced 100 bytes");
    assert_int_equal(access(at("into/file"), F_OK), -1);
    assert_int_equal(access(at("state"), F_OK), -1); /* and nothing of it is kept */
}

static void test_more_files_than_were_announced(void **state)
{
    struct rogue rogue = {.offer = {.files = 0, .bytes = 1 << 20}};
    struct packetfs_snapshot snapshot;
    (void)state;

    rogue.volume = evil_volume("file", NULL, 2, &snapshot);
    assert_refused(&rogue, &snapshot, HM_ELIMIT, "announced");
    assert_int_equal(access(at("into/file"), F_OK), -1);
}

static void test_another_snapshot_than_was_offered(void **state)
{
    struct rogue rogue = {.offer = {.files = 1, .bytes = 1 << 20}};
    struct packetfs_snapshot snapshot;
    (void)state;

    rogue.volume = evil_volume("file", NULL, 2, &snapshot);
    assert_refused(&rogue, NULL, HM_ECORRUPT, "not what was sent");
    assert_int_equal(access(at("into/file"), F_OK), -1);
}

/* No file and no byte more than was announced, and folders without end. */
static void test_folders_that_multiply(void **state)
{
    struct rogue rogue = {.offer = {.files = 1, .folders = 14, .bytes = 1 << 20}};
    struct packetfs_snapshot snapshot;
    (void)state;

    evil_levels = 14;
    rogue.volume = evil_volume("file", NULL, 1, &snapshot);
    evil_levels = 0;
    assert_refused(&rogue, &snapshot, HM_ELIMIT, "14 folders");
    assert_int_equal(access(at("state"), F_OK), -1);
}

/* Many snapshots of one root cost the sender nothing: only the one that was offered is taken. */
static void test_more_snapshots_than_the_offered_one(void **state)
{
    struct rogue rogue = {.offer = {.files = 1, .bytes = 1 << 20}};
    struct packetfs_unlock unlock = {.key_file = NULL};
    struct packetfs_snapshot snapshot, *list = NULL;
    struct packetfs_volume *volume = NULL;
    struct packetfs_error error = {0};
    size_t count = 0;
    (void)state;

    evil_snapshots = 50;
    rogue.volume = evil_volume("file", NULL, 1, &snapshot);
    evil_snapshots = 1;
    assert_int_equal(mkdir(at("into"), 0700),
                     0); /* something in its place, so that the state stays */
    assert_int_equal(hm_file_replace(at("into/file"), "mine", 4, 0600, NULL), 0);
    assert_int_equal(rogue_run(&rogue, &snapshot, &error), HM_EEXIST);
    unlock.key_file = at("state/key");
    assert_int_equal(packetfs_volume_open(at("state/volume"), &unlock, false, &volume, NULL), 0);
    assert_int_equal(packetfs_log(volume, &list, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_memory_equal(list[0].id, snapshot.id, sizeof(snapshot.id));
    packetfs_free(list);
    packetfs_volume_close(volume);
}

/* Rights of our own, or of root: neither is the sender's to lend. */
static void test_rights_that_are_not_his_to_give(void **state)
{
    static const uint8_t capability[] = {1, 0, 0, 2, 0, 4, 0, 0, 0, 0,
                                         0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct packetfs_xattr xattrs[] = {
        {hm_slice_str("security.capability"), hm_slice_of(capability, sizeof(capability))},
        {hm_slice_str("user.colour"), hm_slice_str("blue")}};
    struct rogue rogue = {.offer = {.files = 1, .bytes = 1 << 20}};
    struct packetfs_snapshot snapshot;
    struct packetfs_error error = {0};
    struct stat about;
    char value[8];
    (void)state;

    for (unsigned own = 0; own < 2; own++) {
        rogue = (struct rogue){.offer = {.files = 1, .bytes = 1 << 20}};
        evil_file.mode = 06755;
        evil_file.uid = own ? geteuid() : 1234;
        evil_file.gid = own ? getegid() : 1234;
        evil_file.xattrs = xattrs;
        evil_file.xattr_count = HM_COUNT_OF(xattrs);
        rogue.volume = evil_volume("file", NULL, 1, &snapshot);
        evil_file = (struct packetfs_entry){.type = PACKETFS_FILE, .mode = 0644};
        if (rogue_run(&rogue, &snapshot, &error) != 0)
            fail_msg("%s", error.text);
        assert_int_equal(stat(at("into/file"), &about), 0);
        assert_int_equal(about.st_mode & 07777, 0755);
        assert_int_equal(about.st_uid, geteuid());
        assert_int_equal(getxattr(at("into/file"), "security.capability", NULL, 0), -1);
        if (getxattr(at("into/file"), "user.colour", value, sizeof(value)) >= 0)
            assert_memory_equal(value, "blue", 4);
        assert_int_equal(hm_remove_tree(at("into"), NULL), 0);
        assert_int_equal(hm_remove_tree(at("evil"), NULL), 0);
        assert_int_equal(unlink(at("key")), 0);
    }
}

/* --- somebody in between ---------------------------------------------------------------------------------------------------- */

struct between {
    char sender[64]; /* where the honest sender listens */
    struct packetfs_peer *door, *way;
    pthread_t thread;
    struct packetfs_channel near, far;
    atomic_bool over;
};

/* Passes on all that one says, unchanged. */
static void pump(struct between *between, const struct packetfs_channel *from,
                 const struct packetfs_channel *to)
{
    uint8_t bytes[4096];

    while (!between->over) {
        int64_t got = from->read(from->ctx, bytes, sizeof(bytes), LOOK_MS);

        if (got == HM_ETIMEOUT)
            continue;
        if (got <= 0 || to->write(to->ctx, bytes, (size_t)got, WAIT_MS) < 0)
            break;
    }
    between->over = true;
}

static void *pump_back(void *arg)
{
    struct between *between = arg;
    pump(between, &between->far, &between->near);
    return NULL;
}

static void *between_main(void *arg)
{
    struct between *between = arg;
    struct packetfs_stream *near = NULL, *far = NULL;
    struct sockaddr_in6 sender;
    pthread_t back;

    if (packetfs_peer_accept(between->door, WAIT_MS, &near, NULL) != 0 ||
        packetfs_stream_begin(near, WAIT_MS, NULL) != 0 ||
        packetfs_peer_address(between->sender, false, &sender, NULL) != 0 ||
        packetfs_peer_connect(between->way, &sender, WAIT_MS, &far, NULL) != 0)
        return NULL;
    between->near = packetfs_stream_channel(near);
    between->far = packetfs_stream_channel(far);
    if (pthread_create(&back, NULL, pump_back, between) == 0) {
        pump(between, &between->near, &between->far);
        (void)pthread_join(back, NULL);
    }
    packetfs_stream_free(near);
    packetfs_stream_free(far);
    return NULL;
}

struct sender {
    struct packetfs_send_options options;
    struct packetfs_send_result result;
    struct packetfs_error error;
    pthread_t thread;
    char code[PACKETFS_CODE_MAX_BYTES], address[64];
    atomic_bool ready, stop;
    int rc;
};

static void sender_ready(void *ctx, const char *code, const char *address)
{
    struct sender *sender = ctx;

    (void)snprintf(sender->code, sizeof(sender->code), "%s", code);
    (void)snprintf(sender->address, sizeof(sender->address), "%s", address);
    sender->ready = true;
}

static bool sender_goes_on(void *ctx, const struct packetfs_progress *progress)
{
    struct sender *sender = ctx;
    (void)progress;
    return !sender->stop;
}

static void *sender_main(void *arg)
{
    struct sender *sender = arg;
    const struct packetfs_watch watch = {.progress = sender_goes_on, .ctx = sender};

    sender->rc = packetfs_send(&sender->options, &watch, &sender->result, &sender->error);
    sender->ready = true;
    return NULL;
}

static void test_somebody_in_between(void **state)
{
    static const char *paths[1];
    struct packetfs_peer_options door = {.server = true, .stranger = true},
                                 way = {.stranger = true};
    struct between between = {.over = false};
    struct sender sender = {.rc = 0};
    char remote[64];
    struct packetfs_receive_options receive = {.remote = remote,
                                               .code = sender.code,
                                               .target = at("into"),
                                               .state = at("state"),
                                               .timeout_ms = WAIT_MS};
    struct packetfs_error error = {0};
    (void)state;

    assert_int_equal(hm_file_replace(at("secret"), "secret", 6, 0600, NULL), 0);
    paths[0] = at("secret");
    sender.options = (struct packetfs_send_options){.paths = paths,
                                                    .path_count = 1,
                                                    .address = "127.0.0.1:0",
                                                    .state = at("sending"),
                                                    .ready = sender_ready,
                                                    .ctx = &sender};
    assert_int_equal(pthread_create(&sender.thread, NULL, sender_main, &sender), 0);
    while (!sender.ready)
        (void)usleep(1000);
    (void)snprintf(between.sender, sizeof(between.sender), "%s", sender.address);
    assert_int_equal(packetfs_peer_address("127.0.0.1:0", true, &door.bind, NULL), 0);
    assert_int_equal(packetfs_peer_open(&door, &between.door, NULL), 0);
    assert_int_equal(packetfs_peer_open(&way, &between.way, NULL), 0);
    (void)snprintf(remote, sizeof(remote), "127.0.0.1:%u", packetfs_peer_port(between.door));
    assert_int_equal(pthread_create(&between.thread, NULL, between_main, &between), 0);
    int rc = packetfs_receive(&receive, NULL, NULL, &error); /* the right code */
    if (rc != HM_EAUTH)
        fail_msg("%d: %s", rc, error.text);
    assert_int_equal(access(at("into"), F_OK), -1);
    between.over = true;
    (void)pthread_join(between.thread, NULL);
    packetfs_peer_free(between.door);
    packetfs_peer_free(between.way);
    /* straight to the sender the same code is good */
    (void)snprintf(remote, sizeof(remote), "%s", sender.address);
    rc = packetfs_receive(&receive, NULL, NULL, &error);
    if (rc != 0)
        fail_msg("%d: %s", rc, error.text);
    (void)pthread_join(sender.thread, NULL);
    assert_int_equal(sender.rc, 0);
    assert_int_equal(sender.result.wrong_guesses, 1);
    assert_int_equal(access(at("into/secret"), F_OK), 0);
    assert_int_equal(access(at("sending"), F_OK), -1);
}

/* --- a stream under another's name ------------------------------------------------------------------------------------------ */

static int take_any(void *ctx, const struct stoq_peer *peer, uint8_t *alert,
                    struct stoq_error *error)
{
    (void)ctx;
    (void)peer;
    (void)alert;
    (void)error;
    return 0;
}

/* A caller with a certificate of his own, who says that it is the one with this hash; NULL: the truth. What the other end makes of it. */
static int call_as(struct packetfs_peer *door, const uint8_t *hash)
{
    struct packetfs_keys keys = {.link = {{7}}};
    HM_CLEANUP(hm_buf) struct hm_buf certificate = {0};
    HM_CLEANUP(hm_buf) struct hm_buf key = {0};
    struct stoq_identity *identity = NULL;
    struct stoq_host_config config;
    struct stoq_caller *caller = NULL;
    struct stoq_link *link = NULL;
    struct stoq_pipe *pipe = NULL;
    struct packetfs_stream *stream = NULL;
    struct sockaddr_in6 remote;
    uint8_t own[CRYPTO_HASH_BYTES];
    char address[64];

    assert_int_equal(packetfs_peer_certificate(&keys, PACKETFS_REFERENCE, &certificate, &key, NULL),
                     0);
    assert_int_equal(stoq_identity_new(&identity,
                                       (struct stoq_bytes){certificate.data, certificate.len},
                                       (struct stoq_bytes){key.data, key.len}, NULL),
                     0);
    struct stoq_bytes leaf = stoq_identity_leaf(identity);
    crypto_hash(leaf.data, leaf.len, own);
    const struct stoq_stream_options options = {
        .priority = 3, .weight = 16, .tag = {hash != NULL ? hash : own, sizeof(own)}};
    stoq_host_config_default(&config);
    config.endpoint.identity = identity;
    config.endpoint.verify = take_any;
    config.endpoint.alpn = "packetfs-h/1";
    config.endpoint.datagram_max = 0;
    assert_int_equal(stoq_caller_open(&caller, &config, NULL), 0);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", packetfs_peer_port(door));
    assert_int_equal(packetfs_peer_address(address, false, &remote, NULL), 0);
    assert_int_equal(stoq_link_connect(caller, &remote, "::1", WAIT_MS, &link, NULL), 0);
    assert_int_equal(stoq_pipe_open(link, &options, WAIT_MS, &pipe, NULL), 0);
    /* Whose name is another's may be cut off before that. */
    assert_true(stoq_pipe_write(pipe, "hello", 5, WAIT_MS) > 0 || hash != NULL);
    assert_int_equal(packetfs_peer_accept(door, WAIT_MS, &stream, NULL), 0);
    int rc = packetfs_stream_begin(stream, 1000, NULL);
    packetfs_stream_free(stream);
    stoq_pipe_release(pipe);
    stoq_link_release(link);
    stoq_caller_close(caller);
    stoq_identity_unref(identity);
    return rc;
}

static void test_a_stream_under_anothers_name(void **state)
{
    static const uint8_t another[CRYPTO_HASH_BYTES] = {1, 2, 3};
    struct packetfs_peer_options options = {.server = true, .stranger = true};
    struct packetfs_peer *door = NULL;
    (void)state;

    assert_int_equal(packetfs_peer_address("127.0.0.1:0", true, &options.bind, NULL), 0);
    assert_int_equal(packetfs_peer_open(&options, &door, NULL), 0);
    assert_int_equal(call_as(door, NULL), 0);
    assert_int_equal(call_as(door, another), HM_ETIMEOUT); /* it was reset, and never shown */
    packetfs_peer_free(door);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(test_the_honest_way),
        EACH(test_names_that_lead_out),
        EACH(test_more_than_was_announced),
        EACH(test_more_files_than_were_announced),
        EACH(test_another_snapshot_than_was_offered),
        EACH(test_folders_that_multiply),
        EACH(test_more_snapshots_than_the_offered_one),
        EACH(test_rights_that_are_not_his_to_give),
        EACH(test_somebody_in_between),
        EACH(test_a_stream_under_anothers_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
