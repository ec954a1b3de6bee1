#include "fake_parts.h"

#include <stdio.h>

static int fake_ticket_create(void *ctx, const struct api_ticket_new *wanted,
                              struct hm_arena *arena, struct api_ticket *out,
                              struct hm_error *error)
{
    static const char *const own[] = {"192.0.2.1:7471"};
    struct fake *fake = ctx;

    char *text = hm_arena_strdup(arena, FAKE_TICKET);

    if (fake->no_light || !text)
        return hm_fail(error, HM_EUNSUPPORTED, "this node is of no cluster");
    *out = (struct api_ticket){.id = {1},
                               .text = text,
                               .addresses = wanted->address_count ? wanted->addresses : own,
                               .address_count = wanted->address_count ? wanted->address_count : 1,
                               .validator = wanted->validator,
                               .funded = wanted->fund,
                               .bond = wanted->bond,
                               .issued_ms = 1700000000000,
                               .expires_ms = 1700000000000 + wanted->lasts_ms};
    return 0;
}

static int fake_tickets(void *ctx, struct hm_arena *arena, struct api_ticket **out, size_t *count,
                        struct hm_error *error)
{
    struct api_ticket *list = hm_arena_alloc(arena, 2 * sizeof(*list));

    (void)ctx;
    if (!list)
        return hm_fail(error, HM_ENOMEM, "no memory");
    list[0] = (struct api_ticket){.id = {1}, .issued_ms = 1, .expires_ms = 2};
    list[1] = (struct api_ticket){
        .id = {2}, .validator = true, .revoked = true, .used_ms = 3, .used_by = "0a0b"};
    *out = list;
    *count = 2;
    return 0;
}

static int fake_ticket_revoke(void *ctx, const uint8_t id[API_TICKET_ID_BYTES],
                              struct hm_error *error)
{
    (void)ctx;
    return id[0] == 1 ? 0 : hm_fail(error, HM_ENOTFOUND, "no ticket of that id");
}

void fake_ticket_fill(struct api_backend *backend)
{
    backend->ticket_create = fake_ticket_create;
    backend->tickets = fake_tickets;
    backend->ticket_revoke = fake_ticket_revoke;
}
