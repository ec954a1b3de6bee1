/* Push, pull and serve between real folders over STOQ on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto.h"
#include "sync/packetfs_peer.h"
#include "sync/packetfs_sync_volume.h"

#define FILE_BYTES ((size_t)6 << 20)

static char folder[64];
static uint8_t *content;

static const char *at(const char *name)
{
    static char paths[8][192];
    static unsigned turn;
    char *path = paths[turn++ % 8];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void copy_file(const char *from, const char *to)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    assert_int_equal(hm_file_read(from, 1 << 20, &bytes, NULL), 0);
    assert_int_equal(hm_file_replace(to, bytes.data, bytes.len, 0600, NULL), 0);
}

static struct packetfs_volume *open_volume(const char *name, bool read_only)
{
    struct packetfs_volume *volume = NULL;
    struct packetfs_error error = {0};
    const struct packetfs_unlock unlock = {.key_dir = at("keys")};

    if (packetfs_volume_open(at(name), &unlock, read_only, &volume, &error) != 0)
        fail_msg("%s", error.text);
    return volume;
}

/* A volume and a second folder for it, as docs say: what is copied is volume and keys. */
static void make_twins(const char *first, const char *second)
{
    const struct packetfs_unlock unlock = {.key_dir = at("keys")};
    struct packetfs_error error = {0};
    char from[256];
    char to[256];

    assert_int_equal(hm_mkdir_all(at("keys"), 0700, NULL), 0);
    if (packetfs_volume_create(at(first), NULL, &unlock, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(hm_mkdir_all(at(second), 0700, NULL), 0);
    (void)snprintf(from, sizeof(from), "%s/volume", at(first));
    (void)snprintf(to, sizeof(to), "%s/volume", at(second));
    copy_file(from, to);
    (void)snprintf(to, sizeof(to), "%s/keys", at(second));
    assert_int_equal(hm_mkdir_all(to, 0700, NULL), 0);
    (void)snprintf(from, sizeof(from), "%s/keys/first.slot", at(first));
    (void)snprintf(to, sizeof(to), "%s/keys/first.slot", at(second));
    copy_file(from, to);
}

static int set_up(void **state)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 42);

    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/packetfs-transfer-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    content = hm_malloc(FILE_BYTES);
    make_twins("a", "b");
    packetfs_volume_close(open_volume("a", false)); /* makes what a copy lacks */
    packetfs_volume_close(open_volume("b", false));
    return content == NULL ? -1 : random.fill(random.ctx, content, FILE_BYTES);
}

static int tear_down(void **state)
{
    (void)state;
    hm_free(content);
    return hm_remove_tree(folder, NULL);
}

static void put_file(struct packetfs_volume *volume)
{
    struct packetfs_put_result result;
    struct packetfs_error error = {0};
    int fd;

    assert_int_equal(hm_file_replace(at("file"), content, FILE_BYTES, 0600, NULL), 0);
    fd = open(at("file"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (packetfs_put_stream(volume, fd, "file", "label", NULL, &result, &error) != 0)
        fail_msg("%s", error.text);
    (void)close(fd);
}

static void assert_file_in(struct packetfs_volume *volume)
{
    struct packetfs_snapshot snapshot;
    struct packetfs_error error = {0};
    HM_CLEANUP(hm_buf) struct hm_buf got = {0};
    int fd = open(at("out"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    if (packetfs_find(volume, "latest", &snapshot, &error) != 0 ||
        packetfs_get_stream(volume, &snapshot, "file", fd, NULL, &error) != 0)
        fail_msg("%s", error.text);
    (void)close(fd);
    assert_int_equal(hm_file_read(at("out"), FILE_BYTES + 1, &got, NULL), 0);
    assert_int_equal(got.len, FILE_BYTES);
    assert_memory_equal(got.data, content, FILE_BYTES);
}

/* --- a server in a thread -------------------------------------------------------------------------------------------- */

struct server {
    struct packetfs_volume *volume;
    struct packetfs_serve_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    char address[64], last_event[512];
    atomic_bool ready, stop;
    int code;
    struct packetfs_error error;
};

static void server_ready(void *ctx, const char *address)
{
    struct server *server = ctx;

    (void)snprintf(server->address, sizeof(server->address), "%s", address);
    server->ready = true;
}

static void server_event(void *ctx, const char *sentence)
{
    struct server *server = ctx;

    (void)pthread_mutex_lock(&server->lock);
    (void)snprintf(server->last_event, sizeof(server->last_event), "%s", sentence);
    (void)pthread_mutex_unlock(&server->lock);
}

static bool server_goes_on(void *ctx, const struct packetfs_progress *progress)
{
    struct server *server = ctx;

    (void)progress;
    return !server->stop;
}

static void *server_main(void *arg)
{
    struct server *server = arg;
    const struct packetfs_watch watch = {.progress = server_goes_on, .ctx = server};

    server->code = packetfs_serve(server->volume, &server->options, &watch, &server->error);
    server->ready = true;
    return NULL;
}

static void server_start(struct server *server, struct packetfs_volume *volume)
{
    server->volume = volume;
    server->options.address = "[::1]:0";
    server->options.ready = server_ready;
    server->options.event = server_event;
    server->options.ctx = server;
    (void)pthread_mutex_init(&server->lock, NULL);
    assert_int_equal(pthread_create(&server->thread, NULL, server_main, server), 0);
    while (!server->ready)
        (void)usleep(1000);
    if (server->code != 0)
        fail_msg("%s", server->error.text);
}

static void server_stop(struct server *server)
{
    server->stop = true;
    (void)pthread_join(server->thread, NULL);
    assert_int_equal(server->code, 0);
    (void)pthread_mutex_destroy(&server->lock);
}

static struct packetfs_transfer_result transfer(
    int (*how)(struct packetfs_volume *volume, const struct packetfs_transfer_options *options,
               const struct packetfs_watch *watch, struct packetfs_transfer_result *result,
               struct packetfs_error *error),
    struct packetfs_volume *volume, const struct server *server, int code, const char *word)
{
    const struct packetfs_transfer_options options = {.remote = server->address,
                                                      .timeout_ms = 20000};
    struct packetfs_transfer_result result = {0};
    struct packetfs_error error = {0};
    int rc = how(volume, &options, NULL, &result, &error);

    if (rc != code || (word != NULL && strstr(error.text, word) == NULL))
        fail_msg("%d: %s", rc, error.text);
    print_message("sent %llu received %llu, %llu round trips, %llu patterns %llu references\n",
                  (unsigned long long)result.bytes_sent, (unsigned long long)result.bytes_received,
                  (unsigned long long)result.round_trips, (unsigned long long)result.patterns,
                  (unsigned long long)result.references);
    return result;
}

/* --- tests -------------------------------------------------------------------------------------------------------------- */

static void test_push_and_pull(void **state)
{
    struct packetfs_volume *a = open_volume("a", false);
    struct packetfs_volume *b = open_volume("b", false);
    struct server server = {0};
    struct packetfs_transfer_result result;

    (void)state;
    put_file(a);
    server_start(&server, b);
    result = transfer(packetfs_push, a, &server, 0, NULL);
    assert_int_equal(result.snapshots, 1);
    assert_true(result.bytes_sent > FILE_BYTES);
    assert_file_in(b);
    result = transfer(packetfs_push, a, &server, 0, NULL);
    assert_int_equal(result.snapshots, 0);
    assert_true(result.bytes_sent + result.bytes_received < 12000);
    content[FILE_BYTES / 2] ^= 1;
    put_file(a);
    result = transfer(packetfs_push, a, &server, 0, NULL);
    assert_int_equal(result.snapshots, 1);
    assert_int_equal(result.patterns, 1);
    assert_true(result.bytes_sent + result.bytes_received < 58000);
    assert_file_in(b);
    content[FILE_BYTES / 3] ^= 1;
    put_file(b);
    result = transfer(packetfs_pull, a, &server, 0, NULL);
    assert_int_equal(result.patterns, 1);
    assert_true(result.bytes_sent + result.bytes_received < 58000);
    assert_file_in(a);
    /* both ways at once */
    content[FILE_BYTES / 5] ^= 1;
    put_file(b);
    content[FILE_BYTES / 7] ^= 1;
    put_file(a);
    result = transfer(packetfs_sync, a, &server, 0, NULL);
    assert_int_equal(result.snapshots, 2);
    assert_file_in(b);
    server_stop(&server);
    packetfs_volume_close(a);
    packetfs_volume_close(b);
}

static void test_who_lacks_the_key_gets_nothing(void **state)
{
    struct packetfs_volume *a = open_volume("a", false);
    struct packetfs_volume *b = open_volume("b", false);
    struct packetfs_keys real = a->keys;
    struct server server = {0};

    (void)state;
    put_file(b);
    server_start(&server, b);
    /* another key altogether, for either connection */
    a->keys.link[PACKETFS_REFERENCE][0] ^= 1;
    (void)transfer(packetfs_pull, a, &server, HM_EAUTH, "key");
    (void)transfer(packetfs_push, a, &server, HM_EAUTH, "key");
    a->keys = real;
    a->keys.link[PACKETFS_PATTERN][0] ^= 1;
    (void)transfer(packetfs_pull, a, &server, HM_EAUTH, "key");
    a->keys = real;
    server_stop(&server);
    struct packetfs_snapshot *list;
    size_t count = 1;
    assert_int_equal(packetfs_log(a, &list, &count, NULL), 0);
    assert_int_equal(count, 0);
    packetfs_free(list);
    packetfs_volume_close(a);
    packetfs_volume_close(b);
}

static void test_permissions_and_faults_are_named(void **state)
{
    struct packetfs_volume *a = open_volume("a", false);
    struct packetfs_volume *b = open_volume("b", true);
    struct server server = {.options = {.no_pull = true}};
    struct packetfs_transfer_options options = {.remote = "[::1]:1", .timeout_ms = 1000};
    struct packetfs_error error = {0};

    (void)state;
    server_start(&server, b);
    (void)transfer(packetfs_pull, a, &server, HM_EPERM, "nothing may be taken");
    (void)transfer(packetfs_push, a, &server, HM_EPERM, "nothing may be brought");
    server_stop(&server);
    options.remote = "no such host at all";
    assert_true(packetfs_push(a, &options, NULL, NULL, &error) < 0);
    options.remote = NULL;
    assert_int_equal(packetfs_push(a, &options, NULL, NULL, &error), HM_EINVAL);
    assert_int_equal(packetfs_pull(b, &options, NULL, NULL, &error), HM_EPERM);
    packetfs_volume_close(a);
    packetfs_volume_close(b);
}

/* The disk of the peer was set back to an older copy. */
static void test_a_peer_set_back_is_noticed(void **state)
{
    struct packetfs_volume *a = open_volume("a", false);
    struct packetfs_volume *b = open_volume("b", false);
    struct packetfs_snapshot newest;
    struct server server = {0};

    (void)state;
    put_file(b);
    content[1] ^= 1;
    put_file(b);
    server_start(&server, b);
    (void)transfer(packetfs_pull, a, &server, 0, NULL);
    assert_int_equal(packetfs_find(b, "latest", &newest, NULL), 0);
    assert_int_equal(packetfs_remove(b, newest.id, NULL), 0);
    (void)transfer(packetfs_pull, a, &server, HM_ECORRUPT, "rolled back");
    /* and would be by its address if it had lost its number */
    assert_int_equal(unlink(at("b/state/replica")), 0);
    (void)transfer(packetfs_pull, a, &server, HM_ECORRUPT, "rolled back");
    server_stop(&server);
    packetfs_volume_close(a);
    packetfs_volume_close(b);
}

static void test_the_certificate_is_the_key(void **state)
{
    struct packetfs_volume *a = open_volume("a", true);
    HM_CLEANUP(hm_buf) struct hm_buf certificate = {0};
    HM_CLEANUP(hm_buf) struct hm_buf key = {0};
    struct crypto_ed25519_key link;
    struct stoq_identity *identity;
    struct stoq_bytes der;
    HM_CLEANUP(hm_buf) struct hm_buf changed = {0};

    (void)state;
    assert_int_equal(
        packetfs_peer_certificate(&a->keys, PACKETFS_PATTERN, &certificate, &key, NULL), 0);
    crypto_ed25519_from_seed(&link, a->keys.link[PACKETFS_PATTERN]);
    assert_int_equal(stoq_identity_new(&identity,
                                       (struct stoq_bytes){certificate.data, certificate.len},
                                       (struct stoq_bytes){key.data, key.len}, NULL),
                     0);
    der = stoq_identity_leaf(identity);
    assert_true(packetfs_peer_is_ours(hm_slice_of(der.data, der.len), link.public_key));
    for (size_t i = 0; i < der.len; i++)
        assert_false(packetfs_peer_is_ours(hm_slice_of(der.data, i), link.public_key));
    link.public_key[5] ^= 1;
    assert_false(packetfs_peer_is_ours(hm_slice_of(der.data, der.len), link.public_key));
    crypto_ed25519_from_seed(&link, a->keys.link[PACKETFS_REFERENCE]);
    assert_false(packetfs_peer_is_ours(hm_slice_of(der.data, der.len), link.public_key));
    assert_int_equal(hm_buf_append(&changed, der.data, der.len), 0);
    stoq_identity_unref(identity);
    packetfs_volume_close(a);
}

static void test_what_is_remembered_is_sealed(void **state)
{
    struct packetfs_volume *a = open_volume("a", true);
    static const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES] = {7};
    static const uint8_t other[PACKETFS_WIRE_REPLICA_BYTES] = {8};
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    uint64_t sequence = 0;

    (void)state;
    assert_int_equal(packetfs_seen_seal(&a->keys, replica, 99, &file, NULL), 0);
    assert_int_equal(file.len, PACKETFS_SEEN_BYTES);
    assert_int_equal(packetfs_seen_open(&a->keys, replica, hm_buf_slice(&file), &sequence, NULL),
                     0);
    assert_int_equal(sequence, 99);
    assert_int_equal(packetfs_seen_open(&a->keys, other, hm_buf_slice(&file), &sequence, NULL),
                     HM_EAUTH);
    file.data[40] ^= 1;
    assert_int_equal(packetfs_seen_open(&a->keys, replica, hm_buf_slice(&file), &sequence, NULL),
                     HM_EAUTH);
    file.len--;
    assert_int_equal(packetfs_seen_open(&a->keys, replica, hm_buf_slice(&file), &sequence, NULL),
                     HM_EAUTH);
    packetfs_volume_close(a);
}

#define SMALL_FILES 1100

static void small_file(unsigned n, struct hm_buf *out)
{
    hm_buf_clear(out);
    for (unsigned line = 0; line < 8; line++)
        assert_int_equal(hm_buf_printf(out,
                                       "{\"time\": %u, \"service\": \"gateway\", \"message\": "
                                       "\"request %u was served\", \"status\": 200}\n",
                                       1700000000 + n * 37 + line, n * (line + 1)),
                         0);
}

static void put_small_files(struct packetfs_volume *volume)
{
    HM_AUTOFREE char *path = hm_strdup(at("small"));
    const char *const paths[] = {path};
    const struct packetfs_put_options options = {
        .paths = paths, .path_count = 1, .label = "small", .contents_of = true};
    struct packetfs_put_result result;
    struct packetfs_error error = {0};

    assert_int_equal(hm_mkdir_all(path, 0700, NULL), 0);
    for (unsigned n = 0; n < SMALL_FILES; n++) {
        HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
        char name[32];
        FILE *file;

        (void)snprintf(name, sizeof(name), "small/%u", n);
        small_file(n, &bytes);
        file = fopen(at(name), "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
        assert_int_equal(fclose(file), 0);
    }
    if (packetfs_put(volume, &options, NULL, &result, &error) != 0)
        fail_msg("%s", error.text);
}

static void assert_small_files_in(struct packetfs_volume *volume)
{
    HM_AUTOFREE char *path = hm_strdup(at("back"));
    const struct packetfs_get_options options = {.target = path};
    struct packetfs_snapshot snapshot;
    struct packetfs_get_result result;
    struct packetfs_check_result check;
    struct packetfs_error error = {0};

    if (packetfs_find(volume, "small", &snapshot, &error) != 0 ||
        packetfs_get(volume, &snapshot, &options, NULL, &result, &error) != 0 ||
        packetfs_check(volume, true, NULL, &check, &error) != 0)
        fail_msg("%s", error.text);
    for (unsigned n = 0; n < SMALL_FILES; n++) {
        HM_CLEANUP(hm_buf) struct hm_buf want = {0};
        HM_CLEANUP(hm_buf) struct hm_buf got = {0};
        char name[32];

        (void)snprintf(name, sizeof(name), "back/%u", n);
        small_file(n, &want);
        assert_int_equal(hm_file_read(at(name), 1 << 20, &got, NULL), 0);
        assert_true(hm_slice_equal(hm_buf_slice(&want), hm_buf_slice(&got)));
    }
    assert_int_equal(hm_remove_tree(path, NULL), 0);
}

static struct packetfs_stats stats_of(struct packetfs_volume *volume)
{
    struct packetfs_stats stats = {0};

    assert_int_equal(packetfs_count(volume, &stats, NULL), 0);
    return stats;
}

/* Each end trains its own; ids agree all the same, and nothing travels twice. */
static void test_dictionaries_stay_at_home(void **state)
{
    struct packetfs_volume *a = open_volume("a", false);
    struct packetfs_volume *b = open_volume("b", false);
    struct server server = {0};
    struct packetfs_transfer_result result;

    (void)state;
    assert_int_equal(setenv("XDG_CACHE_HOME", folder, 1), 0);
    put_small_files(a);
    assert_int_equal(stats_of(a).dictionaries, 1);
    server_start(&server, b);
    (void)transfer(packetfs_push, a, &server, 0, NULL);
    assert_int_equal(stats_of(b).dictionaries, 1);
    assert_int_equal(stats_of(b).patterns, stats_of(a).patterns);
    assert_int_equal(stats_of(b).references, stats_of(a).references);
    assert_small_files_in(b);
    result = transfer(packetfs_sync, a, &server, 0, NULL);
    assert_int_equal(result.patterns + result.references + result.snapshots, 0);
    assert_small_files_in(a);
    server_stop(&server);
    packetfs_volume_close(a);
    packetfs_volume_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_push_and_pull, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_lacks_the_key_gets_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_permissions_and_faults_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_peer_set_back_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_certificate_is_the_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_remembered_is_sealed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dictionaries_stay_at_home, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("packetfs_transfer", tests, NULL, NULL);
}
