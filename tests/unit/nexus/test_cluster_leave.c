/* Who may leave a cluster without its daemon, and what is not lost unasked: by the word of another node, which is a thread here that
 * answers what it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "nexus_cluster.h"
#include "wire.h"

#define REQUEST_BYTES 4096
#define OF_NODE1      "1111111111111111111111111111111111111111111111111111111111111111"
#define USER_OF_NODE1 "2222222222222222222222222222222222222222222222222222222222222222"
#define OF_NODE0      "3333333333333333333333333333333333333333333333333333333333333333"

/* node0, which runs; node1 is the one that is to go. */
struct place {
    char folder[64], validators[1024], rules[1024], hyper[32];
    char operator_text[WIRE_ID_TEXT_MAX], user_text[WIRE_ID_TEXT_MAX], other_text[WIRE_ID_TEXT_MAX];
    int fd;
    pthread_t thread;
    atomic_bool stop;
    struct hm_arena arena;
    struct nexus_line line;
    struct nexus_call call;
    struct nexus_cluster cluster;
};

/* --- node0 ------------------------------------------------------------------------------------------------- */

static bool asks_for(const char *request, const char *path)
{
    return strncmp(request + strlen("GET "), path, strlen(path)) == 0;
}

static void answer(const struct place *place, int fd, const char *request)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0}, out = {0};

    if (asks_for(request, "/node "))
        hm_buf_append_str(&body, "{\"height\":7,\"cluster\":{\"reachable\":true}}");
    else if (asks_for(request, "/validators"))
        hm_buf_printf(&body, "{\"items\":[%s]}", place->validators);
    else if (asks_for(request, "/kv-rules"))
        hm_buf_printf(&body, "{\"items\":[%s]}", place->rules);
    else
        hm_buf_printf(&body, "{\"hyper\":\"%s\"}", place->hyper);
    hm_buf_printf(
        &out,
        "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: "
        "close\r\n\r\n%s",
        body.len, hm_buf_cstr(&body));
    (void)hm_write_all(fd, out.data, out.len, NULL);
}

static void *run(void *arg)
{
    struct place *place = arg;

    while (!atomic_load(&place->stop)) {
        struct pollfd waiting = {.fd = place->fd, .events = POLLIN};
        int fd = poll(&waiting, 1, 20) > 0 ? accept(place->fd, NULL, NULL) : -1;
        char request[REQUEST_BYTES + 1] = "";
        size_t len = 0;
        ssize_t got;

        while (fd >= 0 && len < REQUEST_BYTES && !strstr(request, "\r\n\r\n") &&
               (got = read(fd, request + len, REQUEST_BYTES - len)) > 0)
            request[len += (size_t)got] = '\0';
        if (len > 0)
            answer(place, fd, request);
        if (fd >= 0)
            (void)close(fd);
    }
    return NULL;
}

static void text_of(const char *digits, char out[WIRE_ID_TEXT_MAX])
{
    uint8_t id[WIRE_ID_BYTES];

    assert_int_equal(hm_hex_decode(digits, strlen(digits), id, sizeof(id), NULL), 0);
    wire_account_text(id, out);
}

static int setup(void **state)
{
    struct place *place = hm_calloc(1, sizeof(*place));
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(place->folder, "/tmp/hm-leave-XXXXXX", sizeof("/tmp/hm-leave-XXXXXX"));
    assert_non_null(mkdtemp(place->folder));
    hm_arena_init(&place->arena, 0);
    place->call = (struct nexus_call){
        .grammar = nexus_grammar(), .line = &place->line, .arena = &place->arena};
    place->cluster = (struct nexus_cluster){.folder = place->folder, .count = 2};
    for (size_t i = 0; i < 2; i++) {
        struct nexus_cluster_node *node = &place->cluster.nodes[i];

        *node = (struct nexus_cluster_node){
            .name = i ? "node1" : "node0",
            .data = hm_arena_printf(&place->arena, "%s/node%zu", place->folder, i),
            .account = i ? OF_NODE1 : OF_NODE0,
            .user = i ? USER_OF_NODE1 : OF_NODE0};
        assert_int_equal(mkdir(node->data, 0700), 0);
    }
    text_of(OF_NODE1, place->operator_text);
    text_of(USER_OF_NODE1, place->user_text);
    text_of(OF_NODE0, place->other_text);
    snprintf(place->hyper, sizeof(place->hyper), "5500");
    snprintf(place->rules, sizeof(place->rules), "{\"prefix\":\"\",\"owner\":\"%s\"}",
             place->other_text);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/node0/" NEXUS_SOCKET_NAME,
             place->folder);
    place->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(place->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(place->fd, 8), 0);
    assert_int_equal(pthread_create(&place->thread, NULL, run, place), 0);
    *state = place;
    return 0;
}

static void node0_ends(struct place *place)
{
    if (place->fd < 0)
        return;
    atomic_store(&place->stop, true);
    pthread_join(place->thread, NULL);
    close(place->fd);
    place->fd = -1;
}

static int teardown(void **state)
{
    struct place *place = *state;

    node0_ends(place);
    assert_int_equal(hm_remove_tree(place->folder, NULL), 0);
    hm_arena_release(&place->arena);
    hm_free(place);
    return 0;
}

/* --- may it vote? ------------------------------------------------------------------------------------------ */

/* node0 is a validator, and node1 is one with this standing; NULL: it is none. */
static bool may_vote(struct place *place, const char *standing)
{
    bool votes = true;
    int len = snprintf(place->validators, sizeof(place->validators),
                       "{\"operator\":\"%s\",\"stake\":\"2000\"}", place->other_text);

    if (standing)
        snprintf(place->validators + len, sizeof(place->validators) - (size_t)len,
                 ",{\"operator\":\"%s\",\"stake\":\"2000\"%s}", place->operator_text, standing);
    assert_int_equal(nexus_cluster_may_vote(&place->call, &place->cluster, 1, &votes), 0);
    return votes;
}

static void test_the_ledger_says_who_votes(void **state)
{
    struct place *place = *state;

    assert_false(may_vote(place, NULL));
    assert_true(may_vote(place, ""));
    assert_true(may_vote(place, ",\"jailed\":false"));
    assert_false(may_vote(place, ",\"jailed\":true"));
    assert_false(may_vote(place, ",\"retired\":true"));
    assert_false(may_vote(place, ",\"tombstoned\":true"));
}

static void test_nobody_guesses(void **state)
{
    struct place *place = *state;
    bool votes = true;

    /* Validators without bonds: the ledger knows none, and the node itself is down. */
    assert_int_not_equal(nexus_cluster_may_vote(&place->call, &place->cluster, 1, &votes), 0);
    assert_non_null(strstr(place->call.error.text, "node1 must run, to say whether it votes"));
    node0_ends(place);
    assert_int_equal(nexus_cluster_may_vote(&place->call, &place->cluster, 1, &votes),
                     NEXUS_EUNREACHABLE);
    assert_true(votes);
}

/* --- what goes with its keys? ------------------------------------------------------------------------------ */

static const char *lost(struct place *place)
{
    const char *text = "not asked";

    assert_int_equal(nexus_cluster_loss(&place->call, &place->cluster, 1, &text), 0);
    return text;
}

static void test_much_is_told(void **state)
{
    struct place *place = *state;

    assert_null(lost(place)); /* 5500 twice: what a newcomer is given */
    snprintf(place->hyper, sizeof(place->hyper), "5500.000000001");
    assert_string_equal(lost(place), "the keys to 11000.000000002 HYPER");
    snprintf(place->hyper, sizeof(place->hyper), "1");
    snprintf(place->rules, sizeof(place->rules), "{\"prefix\":\"a\",\"owner\":\"%s\"}",
             place->user_text);
    assert_null(lost(place));
    snprintf(place->rules, sizeof(place->rules), "{\"prefix\":\"\",\"owner\":\"%s\"}",
             place->user_text);
    assert_non_null(strstr(lost(place), "the account that owns the key-value store"));
    assert_int_equal(rmdir(place->cluster.nodes[1].data), 0);
    assert_null(lost(place)); /* already */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_ledger_says_who_votes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_guesses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_much_is_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
