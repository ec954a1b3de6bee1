/* abci_script: what its rules say and do to answers, and the program itself between an engine, played here, and its own
 * application. Its path is the first argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "abci_script_rules.h"
#include "wire.h"

#define VALUE(name) HYPERMESH__ABCI__REQUEST__VALUE_##name
#define SECONDS     30

extern char **environ;
static char *program;

/* --- rules ----------------------------------------------------------------------------------------------- */

static void test_rules_are_read(void **state)
{
    static const char *const good[] = {"prepare@5=oversize", "process@4+=reject", "extend=wrong",
                                       "commit@9=close",     "info=delay:50",     "load=lie",
                                       "finalize=wrongkind", "check=accept"};
    static const char *const bad[] = {"",
                                      "prepare",
                                      "prepare=",
                                      "prepare=lie",
                                      "sing=close",
                                      "info@=close",
                                      "info@0=close",
                                      "info@x=close",
                                      "info@5++=close",
                                      "@5=close",
                                      "info=delay:soon",
                                      "info=a@5"};
    struct abci_script script = {0};
    struct hm_error error;
    HM_CLEANUP(hm_buf) struct hm_buf help = {0};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(good); i++)
        assert_int_equal(abci_script_add(&script, good[i], &error), 0);
    assert_int_equal(script.count, HM_COUNT_OF(good));
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        assert_int_equal(abci_script_add(&script, bad[i], &error), HM_EINVAL);
    while (script.count < ABCI_SCRIPT_RULES_MAX)
        assert_int_equal(abci_script_add(&script, good[0], &error), 0);
    assert_int_equal(abci_script_add(&script, good[0], &error), HM_ELIMIT);
    assert_int_equal(abci_script_help(&help), 0);
    assert_non_null(strstr(hm_buf_cstr(&help), "badupdate"));
}

struct told {
    enum abci_script_act act;
    uint64_t delay_ms;
    Hypermesh__Abci__Response *answer; /* NULL: not changed */
};

static struct told apply(const char *rule, const struct abci_script_asked *asked,
                         const Hypermesh__Abci__Response *honest)
{
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf changed = {0};
    struct abci_script script = {0};
    struct told told = {0};
    const char *name;

    assert_int_equal(abci_script_add(&script, rule, NULL), 0);
    assert_int_equal(wire_pack(&honest->base, &packed), 0);
    assert_int_equal(abci_script_apply(&script, asked, hm_buf_slice(&packed), &changed, &told.act,
                                       &told.delay_ms, &name),
                     0);
    if (told.act == ABCI_SCRIPT_CHANGED) {
        told.answer = hypermesh__abci__response__unpack(NULL, changed.len, changed.data);
        assert_non_null(told.answer);
    } else {
        assert_int_equal(changed.len, 0);
    }
    return told;
}

static void test_process(void **state)
{
    const struct abci_script_asked asked = {.call = VALUE(PROCESS_PROPOSAL), .height = 7};
    Hypermesh__Abci__ResponseProcessProposal inner =
        HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__INIT;
    Hypermesh__Abci__Response honest = HYPERMESH__ABCI__RESPONSE__INIT;
    struct told told;

    (void)state;
    inner.status = HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__ACCEPT;
    honest.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_PROCESS_PROPOSAL;
    honest.process_proposal = &inner;
    told = apply("process@7=reject", &asked, &honest);
    assert_int_equal(told.answer->process_proposal->status,
                     HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__REJECT);
    hypermesh__abci__response__free_unpacked(told.answer, NULL);
    told = apply("process@3+=unknown", &asked, &honest);
    assert_int_equal(told.answer->process_proposal->status, 0);
    hypermesh__abci__response__free_unpacked(told.answer, NULL);
    assert_int_equal(apply("process@8+=reject", &asked, &honest).act, ABCI_SCRIPT_PASS);
    assert_int_equal(apply("process@6=reject", &asked, &honest).act, ABCI_SCRIPT_PASS);
    assert_int_equal(apply("prepare=garbage", &asked, &honest).act, ABCI_SCRIPT_PASS);
    assert_int_equal(apply("process=close", &asked, &honest).act, ABCI_SCRIPT_CLOSE);
    assert_int_equal(apply("process=silent", &asked, &honest).act, ABCI_SCRIPT_SILENT);
    told = apply("process=delay:40", &asked, &honest);
    assert_true(told.act == ABCI_SCRIPT_PASS && told.delay_ms == 40);
    told = apply("process=wrongkind", &asked, &honest);
    assert_int_equal(told.answer->value_case, HYPERMESH__ABCI__RESPONSE__VALUE_ECHO);
    hypermesh__abci__response__free_unpacked(told.answer, NULL);
}

static void test_prepare(void **state)
{
    const struct abci_script_asked asked = {
        .call = VALUE(PREPARE_PROPOSAL), .height = 7, .max_tx_bytes = 1000};
    ProtobufCBinaryData tx = {3, (uint8_t *)(uintptr_t) "abc"};
    Hypermesh__Abci__ResponsePrepareProposal inner =
        HYPERMESH__ABCI__RESPONSE_PREPARE_PROPOSAL__INIT;
    Hypermesh__Abci__Response honest = HYPERMESH__ABCI__RESPONSE__INIT;
    struct told told;

    (void)state;
    inner.txs = &tx;
    inner.n_txs = 1;
    honest.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_PREPARE_PROPOSAL;
    honest.prepare_proposal = &inner;
    told = apply("prepare=oversize", &asked, &honest);
    assert_int_equal(told.answer->prepare_proposal->n_txs, 1);
    assert_true(told.answer->prepare_proposal->txs[0].len > 1000);
    hypermesh__abci__response__free_unpacked(told.answer, NULL);
    told = apply("prepare=garbage", &asked, &honest);
    assert_memory_not_equal(told.answer->prepare_proposal->txs[0].data, "abc", 3);
    hypermesh__abci__response__free_unpacked(told.answer, NULL);
    told = apply("prepare=empty", &asked, &honest);
    assert_int_equal(told.answer->prepare_proposal->n_txs, 0);
    hypermesh__abci__response__free_unpacked(told.answer, NULL);
}

static void test_finalize(void **state)
{
    const struct abci_script_asked asked = {.call = VALUE(FINALIZE_BLOCK), .height = 7};
    Hypermesh__Abci__ExecTxResult result = HYPERMESH__ABCI__EXEC_TX_RESULT__INIT,
                                  *results[2] = {&result, &result};
    uint8_t root[32] = {1, 2, 3};
    Hypermesh__Abci__ResponseFinalizeBlock inner = HYPERMESH__ABCI__RESPONSE_FINALIZE_BLOCK__INIT;
    Hypermesh__Abci__Response honest = HYPERMESH__ABCI__RESPONSE__INIT;
    struct told told;

    (void)state;
    inner.app_hash = (ProtobufCBinaryData){32, root};
    inner.tx_results = results;
    inner.n_tx_results = 2;
    honest.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_FINALIZE_BLOCK;
    honest.finalize_block = &inner;
    told = apply("finalize=wronghash", &asked, &honest);
    assert_int_equal(told.answer->finalize_block->n_tx_results, 2);
    assert_memory_not_equal(told.answer->finalize_block->app_hash.data, root, 32);
    hypermesh__abci__response__free_unpacked(told.answer, NULL);
    told = apply("finalize=fewresults", &asked, &honest);
    assert_int_equal(told.answer->finalize_block->n_tx_results, 1);
    hypermesh__abci__response__free_unpacked(told.answer, NULL);
    told = apply("finalize=wrongresult", &asked, &honest);
    assert_int_equal(told.answer->finalize_block->tx_results[0]->code, 1);
    hypermesh__abci__response__free_unpacked(told.answer, NULL);
    told = apply("finalize=badupdate", &asked, &honest);
    assert_int_equal(told.answer->finalize_block->validator_updates[0]->power, -1);
    hypermesh__abci__response__free_unpacked(told.answer, NULL);
}

static void test_extensions(void **state)
{
    const struct abci_script_asked asked = {.call = VALUE(EXTEND_VOTE), .height = 7};
    Hypermesh__Abci__ResponseExtendVote inner = HYPERMESH__ABCI__RESPONSE_EXTEND_VOTE__INIT;
    Hypermesh__Abci__Response honest = HYPERMESH__ABCI__RESPONSE__INIT;
    static const struct {
        const char *rule;
        size_t len;
    } cases[] = {{"extend=wrong", 33},
                 {"extend=empty", 0},
                 {"extend=big", 100000},
                 {"extend=huge", (1 << 20) + 1}};

    (void)state;
    honest.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_EXTEND_VOTE;
    honest.extend_vote = &inner;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        struct told told = apply(cases[i].rule, &asked, &honest);
        assert_int_equal(told.answer->extend_vote->vote_extension.len, cases[i].len);
        hypermesh__abci__response__free_unpacked(told.answer, NULL);
    }
}

/* --- the program ------------------------------------------------------------------------------------------ */

struct running {
    char folder[32], path[64];
    pid_t pid;
    int fd; /* the engine's connection */
};

static void launch(struct running *run, const char *path, char *const *words)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = SECONDS};
    const struct timespec pause = {.tv_nsec = 10000000};

    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(posix_spawn(&run->pid, program, NULL, NULL, words, environ), 0);
    run->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(run->fd >= 0);
    assert_int_equal(setsockopt(run->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    for (int i = 0; connect(run->fd, (struct sockaddr *)&address, sizeof address) != 0; i++) {
        assert_true(i < SECONDS * 100);
        (void)nanosleep(&pause, NULL);
    }
}

static void start(struct running *run, const char *rule)
{
    char state[80];
    char option[] = "--state";
    char *words[] = {program, run->path, option, state, (char *)(uintptr_t)rule, NULL};

    if (run->folder[0] == '\0') {
        memcpy(run->folder, "/tmp/hm-script-XXXXXX", 22);
        assert_non_null(mkdtemp(run->folder));
    }
    (void)snprintf(run->path, sizeof run->path, "%s/abci.sock", run->folder);
    (void)snprintf(state, sizeof state, "%s/state", run->folder);
    launch(run, run->path, words);
}

static void stop(struct running *run)
{
    (void)close(run->fd);
    assert_int_equal(kill(run->pid, SIGTERM), 0);
    assert_int_equal(waitpid(run->pid, NULL, 0), run->pid);
}

static void say(const struct running *run, const Hypermesh__Abci__Request *request)
{
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    uint8_t header[2];
    size_t used = 0;

    assert_int_equal(wire_pack(&request->base, &packed), 0);
    assert_true(packed.len < 1 << 14);
    if (packed.len >= 128)
        header[used++] = (uint8_t)(packed.len | 0x80);
    header[used] = (uint8_t)(used == 1 ? packed.len >> 7 : packed.len);
    used++;
    assert_int_equal(hm_write_all(run->fd, header, used, NULL), 0);
    assert_int_equal(hm_write_all(run->fd, packed.data, packed.len, NULL), 0);
}

static void say_flush(const struct running *run)
{
    Hypermesh__Abci__RequestFlush inner = HYPERMESH__ABCI__REQUEST_FLUSH__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;

    request.value_case = VALUE(FLUSH);
    request.flush = &inner;
    say(run, &request);
}

/* NULL: the connection ended. */
static Hypermesh__Abci__Response *hear(const struct running *run)
{
    uint8_t byte, bytes[16384];
    size_t len = 0, got = 0;
    Hypermesh__Abci__Response *answer;

    for (unsigned shift = 0;; shift += 7) {
        if (read(run->fd, &byte, 1) != 1)
            return NULL;
        len |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    assert_true(len <= sizeof bytes);
    while (got < len) {
        ssize_t part = read(run->fd, bytes + got, len - got);
        assert_true(part > 0);
        got += (size_t)part;
    }
    answer = hypermesh__abci__response__unpack(NULL, len, bytes);
    assert_non_null(answer);
    return answer;
}

static Hypermesh__Abci__Response *ask(const struct running *run,
                                      const Hypermesh__Abci__Request *request)
{
    Hypermesh__Abci__Response *answer, *flush;

    say(run, request);
    say_flush(run);
    answer = hear(run);
    if (answer == NULL)
        return NULL;
    flush = hear(run);
    assert_non_null(flush);
    assert_int_equal(flush->value_case, HYPERMESH__ABCI__RESPONSE__VALUE_FLUSH);
    hypermesh__abci__response__free_unpacked(flush, NULL);
    return answer;
}

static int64_t info(const struct running *run)
{
    Hypermesh__Abci__RequestInfo inner = HYPERMESH__ABCI__REQUEST_INFO__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__Response *answer;
    int64_t height;

    request.value_case = VALUE(INFO);
    request.info = &inner;
    answer = ask(run, &request);
    assert_non_null(answer);
    assert_int_equal(answer->value_case, HYPERMESH__ABCI__RESPONSE__VALUE_INFO);
    height = answer->info->last_block_height;
    hypermesh__abci__response__free_unpacked(answer, NULL);
    return height;
}

static Hypermesh__Abci__Response *finalize(const struct running *run, int64_t height)
{
    Hypermesh__Abci__RequestFinalizeBlock inner = HYPERMESH__ABCI__REQUEST_FINALIZE_BLOCK__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__Timestamp time = HYPERMESH__ABCI__TIMESTAMP__INIT;
    uint8_t hash[32] = {(uint8_t)height}, address[20] = {0};
    char text[32];
    ProtobufCBinaryData tx = {0, (uint8_t *)text};

    tx.len = (size_t)snprintf(text, sizeof text, "add:%lld", (long long)height);
    inner.height = height;
    inner.txs = &tx;
    inner.n_txs = 1;
    inner.time = &time;
    inner.hash = (ProtobufCBinaryData){32, hash};
    inner.proposer_address = (ProtobufCBinaryData){20, address};
    request.value_case = VALUE(FINALIZE_BLOCK);
    request.finalize_block = &inner;
    return ask(run, &request);
}

static Hypermesh__Abci__Response *commit(const struct running *run)
{
    Hypermesh__Abci__RequestCommit inner = HYPERMESH__ABCI__REQUEST_COMMIT__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;

    request.value_case = VALUE(COMMIT);
    request.commit = &inner;
    return ask(run, &request);
}

static void block(const struct running *run, int64_t height, bool few)
{
    Hypermesh__Abci__Response *answer = finalize(run, height);

    assert_non_null(answer);
    assert_int_equal(answer->value_case, HYPERMESH__ABCI__RESPONSE__VALUE_FINALIZE_BLOCK);
    assert_int_equal(answer->finalize_block->n_tx_results, few ? 0 : 1);
    assert_int_equal(answer->finalize_block->app_hash.len, 32);
    hypermesh__abci__response__free_unpacked(answer, NULL);
    answer = commit(run);
    assert_non_null(answer);
    hypermesh__abci__response__free_unpacked(answer, NULL);
}

static void test_program(void **state)
{
    struct running run = {0};
    Hypermesh__Abci__Response *answer;

    (void)state;
    start(&run, "finalize@2=fewresults");
    assert_int_equal(info(&run), 0);
    block(&run, 1, false);
    block(&run, 2, true);
    block(&run, 3, false);
    stop(&run);
    start(&run, "commit@5=close"); /* with the state that is on the disk */
    assert_int_equal(info(&run), 3);
    block(&run, 4, false);
    answer = finalize(&run, 5);
    assert_non_null(answer);
    hypermesh__abci__response__free_unpacked(answer, NULL);
    assert_null(commit(&run));
    stop(&run);
    start(&run, "info=delay:1"); /* the honest application behind it had committed */
    assert_int_equal(info(&run), 5);
    stop(&run);
    assert_int_equal(hm_remove_tree(run.folder, NULL), 0);
}

/* With --while the rules hold only as long as the file is there; with a program the tool ends as that one does. */
static void test_while(void **state)
{
    char folder[] = "/tmp/hm-script-XXXXXX", path[64], armed[64];
    char dashes[] = "--", shell[] = "sh", c[] = "-c", exits[] = "exit 6", option[] = "--while";
    char rule[] = "finalize=fewresults";
    char *words[] = {program, path, option, armed, rule, NULL};
    char *beside[] = {program, path, dashes, shell, c, exits, NULL};
    struct running run = {0};
    int status;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/abci.sock", folder);
    (void)snprintf(armed, sizeof armed, "%s/armed", folder);
    launch(&run, path, words);
    block(&run, 1, false);
    assert_int_equal(hm_file_replace(armed, "", 0, 0600, NULL), 0);
    block(&run, 2, true);
    assert_int_equal(unlink(armed), 0);
    block(&run, 3, false);
    stop(&run);
    assert_int_equal(posix_spawn(&run.pid, program, NULL, NULL, beside, environ), 0);
    assert_int_equal(waitpid(run.pid, &status, 0), run.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 6);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_read), cmocka_unit_test(test_process),
        cmocka_unit_test(test_prepare),        cmocka_unit_test(test_finalize),
        cmocka_unit_test(test_extensions),     cmocka_unit_test(test_program),
        cmocka_unit_test(test_while),
    };

    if (argc != 2)
        return 1;
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
