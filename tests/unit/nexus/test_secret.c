/* A join ticket leaves no copy of itself in memory that nexus gave back, and is not taken from a command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "freed_memory.h"
#include "nexus.h"

#define TICKET      "hmjoin1qpzry9x8gf2tvdw0s3jn54khce6mua7l"
#define SOCKET_NAME "api.sock"
#define ANSWER                                                                                    \
    "{\"id\":\"0102\",\"role\":\"full\",\"expires_ms\":1700000000000,\"addresses\":[\"192.0.2.1:" \
    "1\"],"                                                                                       \
    "\"ticket\":\"%s\"}"

static unsigned copies; /* of the ticket, that nexus gave back when it ran last */

/* --- a node that issues one ticket ---------------------------------------------------------------- */

struct place {
    char folder[64];
    char file[96], printed[96]; /* a ticket; what nexus prints */
    const char *ticket; /* what it issues, as JSON has it */
    int fd;
    atomic_bool stop;
    pthread_t thread;
};

static void *node_main(void *ctx)
{
    struct place *place = ctx;

    while (!atomic_load(&place->stop)) {
        struct pollfd waiting = {.fd = place->fd, .events = POLLIN};
        int fd = poll(&waiting, 1, 20) > 0 ? accept(place->fd, NULL, NULL) : -1;
        char request[8192];
        char answer[1024];
        int len = snprintf(answer, sizeof(answer),
                           "HTTP/1.1 201 X\r\nContent-Type: application/json\r\nContent-Length: "
                           "%zu\r\nConnection: close\r\n\r\n" ANSWER,
                           strlen(ANSWER) - strlen("%s") + strlen(place->ticket), place->ticket);

        if (fd < 0)
            continue;
        (void)!read(fd, request, sizeof(request)); /* it is short: comes as one */
        (void)hm_write_all(fd, answer, (size_t)len, NULL);
        (void)shutdown(fd, SHUT_WR);
        while (read(fd, request, sizeof(request)) > 0)
            ;
        (void)close(fd);
    }
    return NULL;
}

static int setup(void **state)
{
    struct place *place = hm_calloc(1, sizeof(*place));
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    assert_non_null(place);
    *state = place;
    place->ticket = TICKET;
    memcpy(place->folder, "/tmp/hm-nexus-XXXXXX", sizeof("/tmp/hm-nexus-XXXXXX"));
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->file, sizeof(place->file), "%s/ticket", place->folder);
    (void)snprintf(place->printed, sizeof(place->printed), "%s/printed", place->folder);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/" SOCKET_NAME, place->folder);
    assert_int_equal(hm_file_replace(place->file, TICKET "\n", strlen(TICKET "\n"), 0600, NULL), 0);
    place->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(place->fd >= 0);
    assert_int_equal(bind(place->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(place->fd, 8), 0);
    return pthread_create(&place->thread, NULL, node_main, place);
}

static int teardown(void **state)
{
    struct place *place = *state;

    atomic_store(&place->stop, true);
    (void)pthread_join(place->thread, NULL);
    (void)close(place->fd);
    (void)hm_remove_tree(place->folder, NULL);
    hm_free(place);
    return 0;
}

/* nexus with these words; what it prints goes to a file. */
static int say(struct place *place, int argc, const char *const *argv)
{
    int to = open(place->printed, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int out = dup(1), err = dup(2), rc;

    (void)fflush(stdout);
    (void)fflush(stderr);
    assert_true(to >= 0 && out >= 0 && err >= 0);
    assert_true(dup2(to, 1) == 1 && dup2(to, 2) == 2);
    freed_look_for(TICKET, strlen(TICKET));
    rc = nexus_main(argc, (char **)(uintptr_t)argv);
    copies = freed_found();
    assert_true(dup2(out, 1) == 1 && dup2(err, 2) == 2);
    (void)close(out);
    (void)close(err);
    (void)close(to);
    return rc;
}

static bool printed(struct place *place, const char *words)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    assert_int_equal(hm_file_read(place->printed, 65536, &text, NULL), 0);
    return strstr(hm_buf_cstr(&text), words) != NULL;
}

/* --- the tests ------------------------------------------------------------------------------------ */

static void test_one_that_is_issued(void **state)
{
    struct place *place = *state;
    const char *plain[] = {"nexus", "--data", place->folder, "cluster", "ticket", NULL};
    const char *json[] = {"nexus", "--data",  place->folder, "-o",
                          "json",  "cluster", "ticket",      NULL};

    assert_int_equal(say(place, 5, plain), 0);
    assert_true(printed(place, TICKET));
    assert_int_equal(copies, 0);
    assert_int_equal(say(place, 7, json), 0);
    assert_true(printed(place, "\"ticket\": \"" TICKET "\""));
    assert_int_equal(copies, 0);
}

/* A terminal would do what it says. */
static void test_what_is_no_ticket(void **state)
{
    struct place *place = *state;
    const char *argv[] = {"nexus", "--data", place->folder, "cluster", "ticket", NULL};

    place->ticket = "hmjoin1\\u001b]0;x\\u0007";
    assert_int_equal(say(place, 5, argv), NEXUS_EXIT_FAILED);
    assert_true(printed(place, "holds no join ticket"));
    assert_false(printed(place, "\x1b"));
    place->ticket = "";
    assert_int_equal(say(place, 5, argv), NEXUS_EXIT_FAILED);
}

static void test_one_that_is_used(void **state)
{
    struct place *place = *state;
    const char *argv[] = {"nexus",   "--data", place->folder, "--no-color",
                          "cluster", "join",   place->file,   NULL};
    const char *path = getenv("PATH");
    char *kept = path ? hm_strdup(path) : NULL;

    (void)setenv("PATH", "/nonexistent", 1); /* no hypermeshd: the ticket was read by then */
    assert_int_not_equal(say(place, 7, argv), 0);
    (void)setenv("PATH", kept ? kept : "", 1);
    hm_free(kept);
    assert_true(printed(place, "hypermeshd is neither"));
    assert_false(printed(place, TICKET));
    assert_int_equal(copies, 0);
}

static void test_none_on_the_command_line(void **state)
{
    struct place *place = *state;
    const char *argv[] = {"nexus", "--data", place->folder, "cluster", "join", TICKET, NULL};
    const char *both[] = {"nexus", "--data",      place->folder, "cluster",
                          "join",  "192.0.2.1:1", "HMJOIN1QPZ",  NULL};

    assert_int_equal(say(place, 6, argv), NEXUS_EXIT_USAGE);
    assert_true(printed(place, "others can see a command line"));
    assert_false(printed(place, TICKET));
    assert_int_equal(say(place, 7, both), NEXUS_EXIT_USAGE);
    assert_true(printed(place, "others can see a command line"));
}

/* The test sees what it looks for. */
static void test_the_test_looks(void **state)
{
    char *copy;

    (void)state;
    if (!freed_can_look())
        skip();
    copy = hm_strdup(TICKET " and more");
    freed_look_for(TICKET, strlen(TICKET));
    hm_free(copy);
    assert_int_equal(freed_found(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_that_is_issued, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_ticket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none_on_the_command_line, setup, teardown),
        cmocka_unit_test(test_the_test_looks),
    };

    return cmocka_run_group_tests_name("nexus_secret", tests, NULL, NULL);
}
