/* The server over real sockets: who may connect, whose turn it is, and how it ends. */
#include "abci_world.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_S   20
#define PAUSE_US 50000 /* long enough for what must not happen to happen */

/* --- a place and an application ----------------------------------------------------------------- */

struct scene {
    char folder[64];
    char path[96];
    struct abci_server *server;
    struct abci_handlers handlers;
    struct abci_server_options options;
    sem_t started; /* a block's call began */
    sem_t go; /* ... and may end */
    atomic_bool held; /* blocks wait for go */
    atomic_uint finalized, committed, checked, gone, failed, logged, left;
    atomic_bool
        lost_thread; /* consensus came from another thread than its connection's first call */
    pthread_t consensus; /* of the connection that has the turn */
    atomic_bool has_consensus;
    atomic_int commit_rc;
    struct hm_error last; /* logged; read when the server is closed, or after a wait for `logged` */
    pthread_mutex_t lock;
};

static int app_info(void *ctx, const Hypermesh__Abci__RequestInfo *request, struct hm_arena *arena,
                    Hypermesh__Abci__ResponseInfo *answer, struct hm_error *error)
{
    (void)ctx;
    (void)request;
    (void)arena;
    (void)error;
    answer->last_block_height = 7;
    return 0;
}

static int app_check(void *ctx, const Hypermesh__Abci__RequestCheckTx *request,
                     struct hm_arena *arena, Hypermesh__Abci__ResponseCheckTx *answer,
                     struct hm_error *error)
{
    (void)request;
    (void)arena;
    (void)answer;
    (void)error;
    atomic_fetch_add(&((struct scene *)ctx)->checked, 1);
    return 0;
}

static void note_thread(struct scene *scene)
{
    if (!atomic_exchange(&scene->has_consensus, true))
        scene->consensus = pthread_self();
    else if (!pthread_equal(scene->consensus, pthread_self()))
        atomic_store(&scene->lost_thread, true);
}

static int app_finalize(void *ctx, const Hypermesh__Abci__RequestFinalizeBlock *request,
                        struct hm_arena *arena, Hypermesh__Abci__ResponseFinalizeBlock *answer,
                        struct hm_error *error)
{
    struct scene *scene = ctx;

    (void)request;
    (void)arena;
    (void)answer;
    (void)error;
    note_thread(scene);
    atomic_fetch_add(&scene->finalized, 1);
    if (atomic_load(&scene->held)) {
        (void)sem_post(&scene->started);
        while (sem_wait(&scene->go) != 0)
            ;
    }
    return 0;
}

static int app_commit(void *ctx, struct hm_arena *arena, Hypermesh__Abci__ResponseCommit *answer,
                      struct hm_error *error)
{
    struct scene *scene = ctx;
    int rc = atomic_load(&scene->commit_rc);

    (void)arena;
    (void)answer;
    note_thread(scene);
    atomic_fetch_add(&scene->committed, 1);
    return rc == 0 ? 0 : hm_fail(error, rc, "the disk is full");
}

static int app_chunk(void *ctx, const Hypermesh__Abci__RequestLoadSnapshotChunk *request,
                     struct hm_arena *arena, Hypermesh__Abci__ResponseLoadSnapshotChunk *answer,
                     struct hm_error *error)
{
    void *chunk = hm_arena_alloc(arena, ABCI_CHUNK_MAX_BYTES);

    (void)ctx;
    (void)request;
    if (chunk == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a chunk");
    answer->chunk = wire_bytes(chunk, ABCI_CHUNK_MAX_BYTES);
    return 0;
}

static void app_gone(void *ctx)
{
    struct scene *scene = ctx;

    note_thread(scene);
    atomic_store(&scene->has_consensus, false);
    atomic_fetch_add(&scene->gone, 1);
}

static void app_failed(void *ctx, const struct hm_error *error)
{
    struct scene *scene = ctx;

    assert_string_equal(error->text, "the disk is full");
    atomic_fetch_add(&scene->failed, 1);
}

static void app_log(void *ctx, const struct hm_error *error)
{
    struct scene *scene = ctx;

    (void)pthread_mutex_lock(&scene->lock);
    scene->last = *error;
    (void)pthread_mutex_unlock(&scene->lock);
    atomic_fetch_add(&scene->logged, 1);
}

static int scene_setup(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));

    assert_non_null(scene);
    (void)snprintf(scene->folder, sizeof(scene->folder), "/tmp/hm-abci-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    (void)snprintf(scene->path, sizeof(scene->path), "%s/s", scene->folder);
    scene->handlers = (struct abci_handlers){.info = app_info,
                                             .check_tx = app_check,
                                             .finalize_block = app_finalize,
                                             .commit = app_commit,
                                             .load_snapshot_chunk = app_chunk,
                                             .gone = app_gone,
                                             .failed = app_failed,
                                             .ctx = scene};
    scene->options = (struct abci_server_options){.log = app_log, .ctx = scene};
    (void)sem_init(&scene->started, 0, 0);
    (void)sem_init(&scene->go, 0, 0);
    (void)pthread_mutex_init(&scene->lock, NULL);
    *state = scene;
    return 0;
}

static int scene_teardown(void **state)
{
    struct scene *scene = *state;

    abci_server_close(scene->server);
    (void)hm_remove_tree(scene->folder, NULL);
    (void)sem_destroy(&scene->started);
    (void)sem_destroy(&scene->go);
    (void)pthread_mutex_destroy(&scene->lock);
    free(scene);
    return 0;
}

static void scene_open(struct scene *scene)
{
    assert_int_equal(
        abci_server_open(scene->path, &scene->handlers, &scene->options, &scene->server, NULL), 0);
}

static void scene_close(struct scene *scene)
{
    abci_server_close(HM_TAKE(scene->server));
}

static void wait_count(atomic_uint *count, unsigned want)
{
    for (unsigned i = 0; atomic_load(count) < want; i++) {
        assert_true(i < WAIT_S * 1000);
        (void)usleep(1000);
    }
}

/* --- the engine's side -------------------------------------------------------------------------- */

static int peer_try(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = WAIT_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    return fd;
}

static int peer_open(const struct scene *scene)
{
    int fd = peer_try(scene->path);

    assert_true(fd >= 0);
    return fd;
}

static void peer_send(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void peer_ask(int fd, unsigned number)
{
    HM_CLEANUP(hm_buf) struct hm_buf frame = {0};

    wire_empty_request(number, &frame);
    wire_empty_request(2, &frame);
    peer_send(fd, frame.data, frame.len);
}

/* Takes an answer and that to its Flush. */
static void peer_expect(int fd, unsigned number)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    uint8_t bytes[256];
    size_t len = 0;

    for (;;) {
        struct hm_slice rest = hm_slice_of(bytes, len);
        const Hypermesh__Abci__Response *answer = wire_answer(&rest, &arena);
        const Hypermesh__Abci__Response *flush = answer != NULL ? wire_answer(&rest, &arena) : NULL;
        ssize_t came;

        if (flush != NULL) {
            assert_int_equal(answer->value_case, number + 1);
            assert_int_equal(flush->value_case, HYPERMESH__ABCI__RESPONSE__VALUE_FLUSH);
            assert_int_equal(rest.len, 0);
            return;
        }
        came = recv(fd, bytes + len, sizeof(bytes) - len, 0);
        assert_true(came > 0);
        len += (size_t)came;
    }
}

static void peer_expect_end(int fd)
{
    uint8_t byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

static bool peer_silent(int fd)
{
    uint8_t byte;

    (void)usleep(PAUSE_US);
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* --- tests -------------------------------------------------------------------------------------- */

static void test_serves(void **state)
{
    struct scene *scene = *state;
    struct stat info;
    int fd;

    scene_open(scene);
    assert_int_equal(lstat(scene->path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    fd = peer_open(scene);
    peer_ask(fd, 3);
    peer_expect(fd, 3);
    peer_ask(fd, 20);
    peer_expect(fd, 20);
    peer_ask(fd, 11);
    peer_expect(fd, 11);
    (void)close(fd);
    wait_count(&scene->gone, 1);
    scene_close(scene);
    assert_int_equal(lstat(scene->path, &info), -1);
    assert_false(atomic_load(&scene->lost_thread));
    assert_int_equal(scene->logged, 0);
}

static void expect_open(struct scene *scene, const char *path, int rc, const char *says)
{
    struct hm_error error = {0};
    struct abci_server *server = NULL;

    assert_int_equal(abci_server_open(path, &scene->handlers, NULL, &server, &error), rc);
    assert_null(server);
    assert_non_null(strstr(error.text, says));
}

static void test_paths(void **state)
{
    struct scene *scene = *state;
    char longest[200], file[96];
    size_t base = strlen(scene->folder);
    int fd;

    memset(longest, 'x', sizeof(longest));
    memcpy(longest, scene->folder, base);
    longest[base] = '/';
    longest[108] = '\0';
    expect_open(scene, longest, HM_EINVAL, "107 bytes");
    longest[107] = '\0';
    assert_int_equal(abci_server_open(longest, &scene->handlers, NULL, &scene->server, NULL), 0);
    fd = peer_try(longest);
    assert_true(fd >= 0);
    (void)close(fd);
    scene_close(scene);
    expect_open(scene, "", HM_EINVAL, "107 bytes");
    expect_open(scene, "/nonexistent/folder/socket", HM_EIO, "cannot listen");
    (void)snprintf(file, sizeof(file), "%s/file", scene->folder);
    assert_int_equal(hm_file_replace(file, "kept", 4, 0600, NULL), 0);
    expect_open(scene, file, HM_EEXIST, "in the way");
    assert_int_equal(access(file, F_OK), 0);
    (void)snprintf(longest, sizeof(longest), "%s/below", file);
    expect_open(scene, longest, HM_EIO, "cannot look at");
}

static void test_live_and_stale(void **state)
{
    struct scene *scene = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    int fd;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", scene->path);
    assert_int_equal(bind(dead, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(dead, 1), 0);
    expect_open(scene, scene->path, HM_EEXIST, "another server");
    (void)close(dead); /* the file stays, as after kill -9 */
    scene_open(scene);
    expect_open(scene, scene->path, HM_EEXIST, "another server");
    fd = peer_open(scene); /* and the first one is as it was */
    peer_ask(fd, 3);
    peer_expect(fd, 3);
    (void)close(fd);
}

/* A server does not remove a file that is not its own any more. */
static void test_file_of_another(void **state)
{
    struct scene *scene = *state;
    struct abci_server *second = NULL;
    struct stat info;

    scene_open(scene);
    assert_int_equal(unlink(scene->path), 0);
    assert_int_equal(abci_server_open(scene->path, &scene->handlers, NULL, &second, NULL), 0);
    scene_close(scene);
    assert_int_equal(lstat(scene->path, &info), 0);
    abci_server_close(second);
    assert_int_equal(lstat(scene->path, &info), -1);
}

static void test_peer_pid(void **state)
{
    struct scene *scene = *state;
    int fd;

    scene->options.peer_pid = 1; /* not us */
    scene_open(scene);
    fd = peer_open(scene);
    peer_expect_end(fd);
    (void)close(fd);
    wait_count(&scene->logged, 1);
    abci_server_expect(scene->server, getpid());
    fd = peer_open(scene);
    peer_ask(fd, 3);
    peer_expect(fd, 3);
    (void)close(fd);
    scene_close(scene);
    assert_int_equal(scene->last.code, HM_EPERM);
    assert_non_null(strstr(scene->last.text, "only 1 may"));
    assert_int_equal(scene->logged, 1);
}

/* This thread alone becomes another user (a process's threads may differ in that for the kernel, not for libc). */
static bool become(uid_t user)
{
    return syscall(SYS_setresuid, -1, user, -1) == 0;
}

static void test_other_user(void **state)
{
    struct scene *scene = *state;
    int fd;

    if (geteuid() != 0)
        skip(); /* only root can be somebody else */
    scene_open(scene);
    assert_int_equal(chmod(scene->folder, 0755), 0);
    assert_int_equal(chmod(scene->path, 0666), 0);
    assert_true(become(65534));
    fd = peer_try(scene->path);
    assert_true(become(0));
    assert_true(fd >= 0);
    peer_expect_end(fd);
    (void)close(fd);
    scene_close(scene);
    assert_int_equal(scene->last.code, HM_EPERM);
    assert_non_null(strstr(scene->last.text, "user 65534"));
}

/* The engine is not started yet: who comes waits until it is known who may. */
static void test_peer_unknown_yet(void **state)
{
    struct scene *scene = *state;
    int fd;

    scene->options.peer_pid = -1;
    scene_open(scene);
    fd = peer_open(scene);
    peer_ask(fd, 3);
    assert_true(peer_silent(fd));
    abci_server_expect(scene->server, getpid());
    peer_expect(fd, 3);
    (void)close(fd);
}

static void test_too_many(void **state)
{
    struct scene *scene = *state;
    int first, second;

    scene->options.connections_max = 1;
    scene_open(scene);
    first = peer_open(scene);
    peer_ask(first, 3);
    peer_expect(first, 3);
    second = peer_open(scene);
    peer_expect_end(second);
    (void)close(second);
    (void)close(first);
    for (unsigned i = 0;; i++) { /* when the first one's thread has ended there is room */
        uint8_t byte;

        assert_true(i < 1000);
        second = peer_open(scene);
        if (send(second, "\x02\x12\x00", 3, MSG_NOSIGNAL) == 3 && recv(second, &byte, 1, 0) == 1)
            break;
        (void)close(second);
        (void)usleep(1000);
    }
    (void)close(second);
}

/* A block under way holds up neither checks nor queries, but the consensus calls of another connection. */
static void test_turns(void **state)
{
    struct scene *scene = *state;
    int old, check, query, next;

    scene_open(scene);
    old = peer_open(scene);
    check = peer_open(scene);
    query = peer_open(scene);
    next = peer_open(scene);
    atomic_store(&scene->held, true);
    peer_ask(old, 20);
    while (sem_wait(&scene->started) != 0)
        ;
    peer_ask(check, 8);
    peer_expect(check, 8);
    peer_ask(query, 3);
    peer_expect(query, 3);
    peer_ask(next, 11);
    assert_true(peer_silent(next));
    atomic_store(&scene->held, false);
    (void)sem_post(&scene->go);
    peer_expect(old, 20);
    assert_true(peer_silent(next)); /* the turn stays with the old one between its calls */
    assert_int_equal(scene->committed, 0);
    peer_ask(old, 11);
    peer_expect(old, 11);
    assert_int_equal(scene->gone, 0);
    (void)close(old);
    peer_expect(next, 11);
    assert_int_equal(scene->gone, 1); /* before the next one's call */
    assert_int_equal(scene->committed, 2);
    (void)close(next);
    wait_count(&scene->gone, 2);
    (void)close(check);
    (void)close(query);
    scene_close(scene);
    assert_false(atomic_load(&scene->lost_thread));
    assert_int_equal(scene->checked, 1);
}

static void *close_in_thread(void *arg)
{
    scene_close(arg);
    return NULL;
}

/* The call under way ends, its answer is not sent, who waited for the turn is not called any more. */
static void test_close_while_calls_run(void **state)
{
    struct scene *scene = *state;
    pthread_t closer;
    int busy, waits, idle;

    scene_open(scene);
    busy = peer_open(scene);
    waits = peer_open(scene);
    idle = peer_open(scene);
    peer_ask(idle, 3);
    peer_expect(idle, 3);
    atomic_store(&scene->held, true);
    peer_ask(busy, 20);
    while (sem_wait(&scene->started) != 0)
        ;
    peer_ask(waits, 11);
    (void)usleep(PAUSE_US);
    assert_int_equal(pthread_create(&closer, NULL, close_in_thread, scene), 0);
    peer_expect_end(busy); /* at once */
    peer_expect_end(waits);
    peer_expect_end(idle);
    assert_int_equal(scene->gone, 0);
    (void)sem_post(&scene->go);
    assert_int_equal(pthread_join(closer, NULL), 0);
    assert_int_equal(scene->finalized, 1);
    assert_int_equal(scene->committed, 0);
    assert_int_equal(scene->gone, 1);
    assert_int_equal(scene->failed, 0);
    (void)close(busy);
    (void)close(waits);
    (void)close(idle);
}

/* Who does not read does not keep a server from closing. */
static void test_close_while_sending(void **state)
{
    struct scene *scene = *state;
    int fd;

    scene_open(scene);
    fd = peer_open(scene);
    peer_ask(fd, 14);
    (void)usleep(PAUSE_US);
    scene_close(scene);
    (void)close(fd);
}

static void test_failed(void **state)
{
    struct scene *scene = *state;
    int consensus, query;

    scene_open(scene);
    consensus = peer_open(scene);
    query = peer_open(scene);
    peer_ask(query, 3);
    peer_expect(query, 3);
    atomic_store(&scene->commit_rc, HM_EIO);
    peer_ask(consensus, 11);
    peer_expect_end(consensus); /* nothing was sent */
    peer_expect_end(query);
    wait_count(&scene->failed, 1);
    for (unsigned i = 0;;
         i++) { /* it listens no more, so a new engine tries again until there is a new server */
        int fd = peer_try(scene->path);

        if (fd < 0)
            break;
        assert_true(i < WAIT_S * 1000);
        (void)close(fd);
        (void)usleep(1000);
    }
    (void)close(consensus);
    (void)close(query);
    scene_close(scene);
    assert_int_equal(scene->failed, 1);
    assert_int_equal(scene->gone, 1);
    atomic_store(&scene->commit_rc, 0);
    scene_open(scene);
    consensus = peer_open(scene);
    peer_ask(consensus, 11);
    peer_expect(consensus, 11);
    (void)close(consensus);
}

static void test_not_abci(void **state)
{
    struct scene *scene = *state;
    int fd, good;

    scene_open(scene);
    good = peer_open(scene);
    fd = peer_open(scene);
    peer_send(fd, "\x81\x80\x80\x40zzz", 7);
    peer_expect_end(fd);
    wait_count(&scene->logged, 1);
    peer_ask(good, 3);
    peer_expect(good, 3);
    (void)close(fd);
    (void)close(good);
    scene_close(scene);
    assert_int_equal(scene->last.code, HM_ELIMIT);
}

static void note_left(void *ctx, int64_t peer_pid)
{
    atomic_fetch_add(&((struct scene *)ctx)->left, peer_pid == getpid());
}

/* Connections come and go, which is told; their threads do not pile up. */
static void test_many_in_turn(void **state)
{
    struct scene *scene = *state;

    scene->options.left = note_left;
    scene_open(scene);
    for (unsigned i = 0; i < 200; i++) {
        int fd = peer_open(scene);

        peer_ask(fd, 20);
        peer_expect(fd, 20);
        (void)close(fd);
        wait_count(&scene->left, i + 1);
        assert_int_equal(scene->gone, i + 1);
    }
    scene_close(scene);
    assert_int_equal(scene->finalized, 200);
    assert_false(atomic_load(&scene->lost_thread));
    assert_int_equal(scene->logged, 0);
}

static void test_memory(void **state)
{
    struct scene *scene = *state;
    struct hm_error error = {0};

    hm_alloc_fail_at(1);
    assert_int_equal(abci_server_open(scene->path, &scene->handlers, NULL, &scene->server, &error),
                     HM_ENOMEM);
    hm_alloc_fail_at(0);
    assert_null(scene->server);
    scene->handlers.commit = NULL;
    assert_int_equal(abci_server_open(scene->path, &scene->handlers, NULL, &scene->server, &error),
                     HM_EINVAL);
    assert_int_equal(access(scene->path, F_OK), -1);
    abci_server_close(NULL);
}

#define SCENE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(test_serves),
        SCENE_TEST(test_paths),
        SCENE_TEST(test_live_and_stale),
        SCENE_TEST(test_file_of_another),
        SCENE_TEST(test_peer_pid),
        SCENE_TEST(test_other_user),
        SCENE_TEST(test_peer_unknown_yet),
        SCENE_TEST(test_too_many),
        SCENE_TEST(test_turns),
        SCENE_TEST(test_close_while_calls_run),
        SCENE_TEST(test_close_while_sending),
        SCENE_TEST(test_failed),
        SCENE_TEST(test_not_abci),
        SCENE_TEST(test_many_in_turn),
        SCENE_TEST(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
