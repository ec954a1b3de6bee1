/* Views: networks and who is in them, challenges; whether an asset would be leased out. */
#include "ledger_privacy.h"
#include "ledger_view.h"

int ledger_view_network(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                        Hypermesh__Network **out, struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    ProtobufCMessage *message;
    int rc = ledger_view_state(view, LEDGER_KEY_NETWORK, id, &hypermesh__network__descriptor, arena,
                               &message, error);

    if (rc == HM_ENOTFOUND) {
        wire_network_text(id, text);
        return hm_fail(error, rc, "there is no network %s; it may have been dissolved", text);
    }
    if (rc == 0)
        *out = (Hypermesh__Network *)message;
    return rc;
}

int ledger_view_challenge(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                          Hypermesh__Challenge **out, struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    ProtobufCMessage *message;
    int rc = ledger_view_state(view, LEDGER_KEY_CHALLENGE, id, &hypermesh__challenge__descriptor,
                               arena, &message, error);

    if (rc == HM_ENOTFOUND) {
        wire_challenge_text(id, text);
        return hm_fail(error, rc, "there is no challenge %s", text);
    }
    if (rc == 0)
        *out = (Hypermesh__Challenge *)message;
    return rc;
}

static int take_network(struct ledger_page *page, struct hm_slice id, struct hm_slice value,
                        struct hm_error *error)
{
    (void)id;
    return ledger_page_keep(page, &hypermesh__network__descriptor, value, error);
}

static int take_member(struct ledger_page *page, struct hm_slice id, struct hm_slice value,
                       struct hm_error *error)
{
    (void)id;
    return ledger_page_keep(page, &hypermesh__member__descriptor, value, error);
}

static int take_challenge(struct ledger_page *page, struct hm_slice id, struct hm_slice value,
                          struct hm_error *error)
{
    (void)id;
    return ledger_page_keep(page, &hypermesh__challenge__descriptor, value, error);
}

int ledger_view_networks(struct ledger_view *view, const uint8_t *member, const uint8_t *after,
                         size_t limit, struct hm_arena *arena, Hypermesh__Network ***out,
                         size_t *count, struct hm_error *error)
{
    struct ledger_page page;
    int rc = ledger_page_init(&page, view, limit, arena, error);

    if (rc)
        return rc;
    if (member)
        rc = ledger_page_listed(&page, LEDGER_INDEX_NETWORK, member, after, LEDGER_KEY_NETWORK,
                                take_network, error);
    else
        rc = ledger_page_walk(&page, LEDGER_KEY_NETWORK, (struct hm_slice){0}, after, take_network,
                              error);
    if (rc)
        return rc;
    *out = (Hypermesh__Network **)page.messages;
    *count = page.count;
    return 0;
}

int ledger_view_members(struct ledger_view *view, const uint8_t network[32], const uint8_t *after,
                        size_t limit, struct hm_arena *arena, Hypermesh__Member ***out,
                        size_t *count, struct hm_error *error)
{
    struct ledger_page page;
    int rc = ledger_page_init(&page, view, limit, arena, error);

    if (rc == 0)
        rc = ledger_page_walk(&page, LEDGER_KEY_MEMBER, hm_slice_of(network, LEDGER_ID_BYTES),
                              after, take_member, error);
    if (rc)
        return rc;
    *out = (Hypermesh__Member **)page.messages;
    *count = page.count;
    return 0;
}

int ledger_view_challenges(struct ledger_view *view, const struct ledger_challenge_filter *filter,
                           const uint8_t *after, size_t limit, struct hm_arena *arena,
                           Hypermesh__Challenge ***out, size_t *count, struct hm_error *error)
{
    bool open_only = filter && filter->open_only;
    const uint8_t *party = filter ? filter->party : NULL;
    struct ledger_page page;
    int rc = ledger_page_init(&page, view, limit, arena, error);

    if (rc)
        return rc;
    if (party || open_only)
        rc = ledger_page_listed(
            &page, open_only ? LEDGER_INDEX_CHALLENGE : LEDGER_INDEX_CHALLENGE_ALL,
            party ? party : ledger_everybody, after, LEDGER_KEY_CHALLENGE, take_challenge, error);
    else
        rc = ledger_page_walk(&page, LEDGER_KEY_CHALLENGE, (struct hm_slice){0}, after,
                              take_challenge, error);
    if (rc)
        return rc;
    *out = (Hypermesh__Challenge **)page.messages;
    *count = page.count;
    return 0;
}

/* --- would it be leased out? --- */

struct lookup {
    struct ledger_view *view;
    struct hm_arena arena;
};

static int found(int rc, ProtobufCMessage *message, ProtobufCMessage **out)
{
    if (rc && rc != HM_ENOTFOUND)
        return rc;
    *out = rc ? NULL : message;
    return 0;
}

static int view_network(void *ctx, ProtobufCBinaryData id, Hypermesh__Network **out,
                        struct hm_error *error)
{
    struct lookup *lookup = ctx;
    ProtobufCMessage *message = NULL;
    int rc = ledger_view_state(lookup->view, LEDGER_KEY_NETWORK, id.data,
                               &hypermesh__network__descriptor, &lookup->arena, &message, error);

    return found(rc, message, (ProtobufCMessage **)(void *)out);
}

static int view_member(void *ctx, ProtobufCBinaryData network, ProtobufCBinaryData account,
                       Hypermesh__Member **out, struct hm_error *error)
{
    struct lookup *lookup = ctx;
    uint8_t key[LEDGER_KEY_MEMBER_BYTES];
    ProtobufCMessage *message = NULL;
    struct hm_slice bytes;
    int rc = ledger_view_get(lookup->view, LEDGER_TABLE_STATE,
                             ledger_key_member(network.data, account.data, key), &bytes, error);

    if (rc == 0)
        rc = ledger_view_unpack(&hypermesh__member__descriptor, bytes, LEDGER_STATE_MAX_BYTES,
                                &lookup->arena, &message, error);
    return found(rc, message, (ProtobufCMessage **)(void *)out);
}

int ledger_view_admits(struct ledger_view *view, const Hypermesh__Asset *asset,
                       const uint8_t consumer[32], uint32_t share_ppm, uint64_t duration_ms,
                       struct hm_error *error)
{
    struct lookup lookup = {.view = view};
    struct ledger_privacy_case that = {
        .params = view->ledger->params,
        .asset = asset,
        .consumer = wire_bytes(consumer, LEDGER_ID_BYTES),
        .share_ppm = share_ppm,
        .duration_ms = duration_ms,
        .state = {.network = view_network, .member = view_member, .ctx = &lookup},
    };
    Hypermesh__Account *account;
    int rc;

    hm_arena_init(&lookup.arena, LEDGER_TX_ARENA_BYTES);
    rc = ledger_read_account(view->txn, consumer, &lookup.arena, &account, error);
    if (rc == 0) {
        that.account = account;
        rc = ledger_privacy_admits(&that, error);
    }
    hm_arena_release(&lookup.arena);
    return rc;
}
