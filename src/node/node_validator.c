/* Does this node vote with the key that its operator has declared? With another one, of another node's folder or made anew, the engine
 * follows without a word. */
#include <stdio.h>

#include "node_private.h"

#define VALIDATOR_ADDRESS_TEXT (2 * ENGINE_ADDRESS_BYTES + 1)

static int validator_declared(struct node *node, struct hm_arena *arena, Hypermesh__Validator **out)
{
    struct ledger_view *view;
    int rc = ledger_view_open(node->ledger, &view, NULL);

    if (rc != 0)
        return rc;
    rc = ledger_view_validator(view, node->operator_id, arena, out, NULL);
    ledger_view_close(view);
    return rc;
}

/* As the key's own file says it. */
static void validator_address(const uint8_t address[ENGINE_ADDRESS_BYTES],
                              char out[VALIDATOR_ADDRESS_TEXT])
{
    for (size_t i = 0; i < ENGINE_ADDRESS_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02X", address[i]);
}

bool node_validator_differs(struct node *node, char out[HM_ERROR_TEXT_BYTES])
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char own[VALIDATOR_ADDRESS_TEXT], wanted[VALIDATOR_ADDRESS_TEXT];
    uint8_t address[ENGINE_ADDRESS_BYTES];
    Hypermesh__Validator *validator;

    hm_arena_init(&arena, 0);
    if (!node->options.cluster || validator_declared(node, &arena, &validator) != 0 ||
        validator->retired || validator->tombstoned ||
        validator->key.len != CRYPTO_ED25519_PUBLIC_BYTES ||
        engine_config_address(validator->key.data, address, NULL) != 0 ||
        memcmp(address, node->beside.address, sizeof(address)) == 0)
        return false;
    validator_address(node->beside.address, own);
    validator_address(address, wanted);
    snprintf(out, HM_ERROR_TEXT_BYTES,
             "this node does not vote: its key in %.100s/validator is %s, and its operator has "
             "declared %s. Bring back the folder validator of this node, or retire that validator "
             "(nexus validator retire)",
             node->data_dir, own, wanted);
    return true;
}
