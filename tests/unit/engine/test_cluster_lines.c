/* Others' votes and proposals are refused as fast as they come; the log takes some of that. */
#include "cluster_script.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "said.h"

#define VOTES     500
#define LINES_MAX 64 /* three seconds' */

static struct script script;

/* A vote's extension that is too long, as the engine asks about it: its length as a varint, then the request. */
static void pack_vote(struct hm_buf *out)
{
    static const uint8_t extension[LEDGER_WITNESS_MAX_BYTES + 1];
    Hypermesh__Abci__RequestVerifyVoteExtension verify =
        HYPERMESH__ABCI__REQUEST_VERIFY_VOTE_EXTENSION__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;

    verify.vote_extension = wire_bytes(extension, sizeof(extension));
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_VERIFY_VOTE_EXTENSION;
    request.verify_vote_extension = &verify;
    for (size_t size = hypermesh__abci__request__get_packed_size(&request); size > 0; size >>= 7) {
        uint8_t byte = (uint8_t)((size & 0x7F) | (size > 0x7F ? 0x80 : 0));

        assert_int_equal(hm_buf_append(out, &byte, 1), 0);
    }
    assert_int_equal(wire_pack(&request.base, out), 0);
}

static void send_votes(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    HM_CLEANUP(hm_buf) struct hm_buf vote = {0};
    uint8_t answer[4096];
    HM_AUTOCLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    pack_vote(&vote);
    for (unsigned i = 0; i < VOTES; i++)
        assert_int_equal(hm_write_all(fd, vote.data, vote.len, NULL), 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    while (read(fd, answer, sizeof(answer)) > 0)
        ;
}

static void refused_votes_do_not_fill_the_log(void **state)
{
    HM_AUTOFREE char *path = NULL;

    (void)state;
    said_begin(HM_LOG_INFO);
    path = hm_asprintf("%s/abci.sock", script.dir);
    script.cometbft.abci_path = path;
    script_start(&script);
    send_votes(path);
    engine_close(HM_TAKE(script.fix.engine));
    assert_in_range(said("a vote's extension has"), 1, LINES_MAX);
    said_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {script_test(refused_votes_do_not_fill_the_log, &script)};

    return cmocka_run_group_tests_name("engine_cluster_lines", tests, NULL, NULL);
}
