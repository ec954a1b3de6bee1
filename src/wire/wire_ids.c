#include "wire.h"

_Static_assert(WIRE_ID_TEXT_MAX <= HM_BECH32_MAX_CHARS, "the text of an id fits bech32m");

static void id_text(const char *hrp, const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX])
{
    char text[HM_BECH32_MAX_CHARS + 1];

    /* Prefix and length are ours and fixed: it cannot fail, and shows nothing if it does. */
    if (hm_bech32_encode(hrp, id, WIRE_ID_BYTES, text) || strlen(text) >= WIRE_ID_TEXT_MAX)
        text[0] = '\0';
    memcpy(out, text, strlen(text) + 1);
}

static int id_parse(const char *hrp, const char *what, const char *text, uint8_t id[WIRE_ID_BYTES],
                    struct hm_error *error)
{
    uint8_t bytes[WIRE_ID_BYTES];
    int rc = hm_bech32_decode(hrp, text, bytes, sizeof(bytes), error);

    if (rc) {
        hm_error_prefix(error, rc, "%s", what);
        return rc;
    }
    memcpy(id, bytes, sizeof(bytes));
    return 0;
}

void wire_account_text(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX])
{
    id_text("hm", id, out);
}

void wire_asset_text(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX])
{
    id_text("asset", id, out);
}

void wire_lease_text(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX])
{
    id_text("lease", id, out);
}

void wire_network_text(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX])
{
    id_text("net", id, out);
}

void wire_challenge_text(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX])
{
    id_text("chal", id, out);
}

int wire_account_parse(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error)
{
    return id_parse("hm", "account", text, id, error);
}

int wire_asset_parse(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error)
{
    return id_parse("asset", "asset", text, id, error);
}

int wire_lease_parse(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error)
{
    return id_parse("lease", "lease", text, id, error);
}

int wire_network_parse(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error)
{
    return id_parse("net", "network", text, id, error);
}

int wire_challenge_parse(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error)
{
    return id_parse("chal", "challenge", text, id, error);
}

void wire_asset_address(const uint8_t chain_hash[WIRE_ID_BYTES], Hypermesh__AssetKind kind,
                        const uint8_t id[WIRE_ID_BYTES], uint8_t out[16])
{
    out[0] = 0xfd; /* RFC 4193: unique local, the 40 bits are the chain's */
    memcpy(out + 1, chain_hash, 5);
    out[6] = (uint8_t)((unsigned)kind >> 8);
    out[7] = (uint8_t)kind;
    memcpy(out + 8, id, 8);
}
