#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server_place.h"

#define EVENTUALLY_MS 10000

void place_read_token(struct place *place)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    assert_int_equal(hm_file_read(place->token_path, 200, &text, NULL), 0);
    assert_int_equal(text.len, 65);
    memcpy(place->token, text.data, 64);
    place->token[64] = '\0';
}

int place_setup(void **state)
{
    struct place *place = hm_calloc(1, sizeof(*place));
    struct hm_error error = {0};

    if (!place)
        return -1;
    fake_init(&place->fake);
    memcpy(place->folder, "/tmp/hm-api-XXXXXX", sizeof("/tmp/hm-api-XXXXXX"));
    if (!mkdtemp(place->folder))
        return -1;
    (void)snprintf(place->socket_path, sizeof(place->socket_path), "%s/api.sock", place->folder);
    (void)snprintf(place->token_path, sizeof(place->token_path), "%s/api.token", place->folder);
    place->options = (struct api_options){.backend = &place->fake.backend,
                                          .socket_path = place->socket_path,
                                          .token_path = place->token_path,
                                          .listen = "127.0.0.1:0",
                                          .clock = hm_clock_system(),
                                          .random = hm_random_system()};
    *state = place;
    if (api_server_open(&place->options, &place->server, &error)) {
        print_error("%s\n", error.text);
        return -1;
    }
    place_read_token(place);
    return 0;
}

int place_teardown(void **state)
{
    struct place *place = *state;

    api_server_close(place->server);
    fake_release(&place->fake);
    (void)hm_remove_tree(place->folder, NULL);
    hm_free(place);
    return 0;
}

const char *place_listening(const struct place *place)
{
    return api_server_listen(place->server);
}

unsigned place_get(struct place *place, const char *target, struct hm_buf *body)
{
    struct http_answer answer = {0};
    struct http http;
    unsigned status;

    assert_true(http_open_unix(&http, place->socket_path));
    /* Too many connections: closed without a word. That is status 0. */
    status = http_send(&http, GET_UNIX, target) && http_receive(&http, &answer) ? answer.status : 0;
    if (body)
        assert_int_equal(hm_buf_append(body, answer.body.data, answer.body.len), 0);
    http_answer_release(&answer);
    http_close(&http);
    return status;
}

bool place_metrics_say(struct place *place, const char *line)
{
    const struct timespec nap = {.tv_nsec = 10000000};

    for (unsigned i = 0; i < EVENTUALLY_MS / 10; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};

        /* 503: connections that were closed still count until their threads have seen it */
        if (place_get(place, "/metrics", &text) == 200 && strstr(hm_buf_cstr(&text), line))
            return true;
        (void)nanosleep(&nap, NULL);
    }
    return false;
}
