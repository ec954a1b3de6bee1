/* Joining. The first byte says what the others are:
 *   0  a ticket's text                     1  a request to a member's door
 *   2  what an engine's light client sends to the tunnel    3  a member's answer's certificate */
#include <assert.h>
#include <stdlib.h>

#include "join_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct crypto_ed25519_key key;

/* What is taken is what its issuer signed: written again with that key it would be the same. */
static void ticket_try(struct hm_slice bytes)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_AUTOFREE char *text = hm_strndup((const char *)bytes.data, bytes.len);
    HM_CLEANUP(hm_buf) struct hm_buf again = {0};
    Hypermesh__Cluster__JoinTicket *ticket;
    struct hm_error error = {0};
    struct sockaddr_in6 at;

    hm_arena_init(&arena, 0);
    int rc = join_ticket_read(text, &arena, &ticket, &error);
    assert(rc == 0 || (error.code == rc && error.text[0] != '\0'));
    if (rc != 0)
        return;
    for (size_t i = 0; i < ticket->n_addresses; i++)
        assert(join_ticket_sockaddr(ticket->addresses[i], &at, NULL) == 0);
    assert(join_ticket_write(ticket, &key, &again, NULL) == 0);
    assert(join_ticket_read(hm_buf_cstr(&again), &arena, &ticket, NULL) == 0);
}

static void read_try(const Hypermesh__Cluster__EngineRead *read)
{
    Hypermesh__Cluster__EngineRead back = HYPERMESH__CLUSTER__ENGINE_READ__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf json = {0};

    if (join_door_read_json(read, &json, NULL) != 0)
        return;
    assert(join_tunnel_read_parse(hm_buf_slice(&json), &back, NULL) == 0);
    assert(back.method == read->method && back.height == read->height && back.page == read->page &&
           back.per_page == read->per_page && back.id == read->id);
}

static void request_try(struct hm_slice bytes)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Cluster__JoinRequest *request;

    hm_arena_init(&arena, 0);
    if (join_door_request_read(bytes, &arena, &request, NULL) == 0 &&
        request->request_case == HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_READ)
        read_try(request->read);
}

static void http_try(struct hm_slice bytes)
{
    Hypermesh__Cluster__EngineRead read = HYPERMESH__CLUSTER__ENGINE_READ__INIT;
    struct hm_slice body = {0};
    size_t whole = 0;
    bool keep;

    if (join_tunnel_request_parse(bytes, &body, &whole, &keep, NULL) != 1)
        return;
    assert(whole > 0 && whole <= bytes.len && body.data + body.len == bytes.data + whole);
    if (join_tunnel_read_parse(body, &read, NULL) == 0)
        read_try(&read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[CRYPTO_SEED_BYTES] = {1};
    uint8_t shown[CRYPTO_ED25519_PUBLIC_BYTES];

    if (size == 0)
        return 0;
    if (key.public_key[0] == 0) {
        if (crypto_setup(NULL))
            abort();
        crypto_ed25519_from_seed(&key, seed);
    }
    struct hm_slice bytes = hm_slice_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        ticket_try(bytes);
        break;
    case 1:
        request_try(bytes);
        break;
    case 2:
        http_try(bytes);
        break;
    default:
        (void)join_certificate_key(bytes, shown);
        break;
    }
    return 0;
}
