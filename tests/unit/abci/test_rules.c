/* The engine's rules, each at its edge. */
#include "abci_world.h"

typedef Hypermesh__Abci__ValidatorUpdate Update;

/* --- sizes -------------------------------------------------------------------------------------- */

static void test_tx_bytes(void **state)
{
    const struct hm_slice txs[] = {{NULL, 0}, {NULL, 127}, {NULL, 128}, {NULL, 16384}};

    (void)state;
    assert_int_equal(abci_tx_bytes(0), 2);
    assert_int_equal(abci_tx_bytes(127), 129);
    assert_int_equal(abci_tx_bytes(128), 131);
    assert_int_equal(abci_tx_bytes(16383), 16386);
    assert_int_equal(abci_tx_bytes(16384), 16388);
    assert_int_equal(abci_txs_bytes(txs, 4), 2 + 129 + 131 + 16388);
    assert_int_equal(abci_txs_bytes(NULL, 0), 0);
}

/* The formula is the size of a protobuf list, whatever the lengths. */
static void test_tx_bytes_as_packed(void **state)
{
    static uint8_t zeros[70000];

    (void)state;
    for (size_t len = 0; len < sizeof(zeros); len = len * 2 + 1) {
        ProtobufCBinaryData tx = {len, zeros};
        Hypermesh__Abci__ResponsePrepareProposal list =
            HYPERMESH__ABCI__RESPONSE_PREPARE_PROPOSAL__INIT;

        list.txs = &tx;
        list.n_txs = 1;
        assert_int_equal(protobuf_c_message_get_packed_size(&list.base), abci_tx_bytes(len));
    }
}

/* --- validators --------------------------------------------------------------------------------- */

/* Changes of the validators whose keys begin with these bytes. */
struct changes {
    uint8_t keys[8][33];
    Hypermesh__Abci__PublicKey public_keys[8];
    Update updates[8];
    Update *list[8];
    size_t count;
};

static void add(struct changes *changes, uint8_t key, int64_t power)
{
    size_t i = changes->count++;

    changes->keys[i][0] = key;
    hypermesh__abci__public_key__init(&changes->public_keys[i]);
    changes->public_keys[i].sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519;
    changes->public_keys[i].ed25519 = wire_bytes(changes->keys[i], 32);
    hypermesh__abci__validator_update__init(&changes->updates[i]);
    changes->updates[i].pub_key = &changes->public_keys[i];
    changes->updates[i].power = power;
    changes->list[i] = &changes->updates[i];
}

static const struct abci_validator three[] = {
    {.key = {9}, .power = 30}, {.key = {1}, .power = 20}, {.key = {5}, .power = 10}};

static void expect(const struct changes *changes, const char *says)
{
    struct hm_error error = {0};
    int rc = abci_updates_check(three, 3, changes->list, changes->count, &error);

    assert_int_equal(rc, says != NULL ? HM_EINVAL : 0);
    if (says != NULL)
        assert_non_null(strstr(error.text, says));
}

static void test_updates_taken(void **state)
{
    struct changes none = {0}, mixed = {0}, all_but_one = {0}, swapped = {0};

    (void)state;
    expect(&none, NULL);
    add(&mixed, 5, 11);
    add(&mixed, 2, 1);
    add(&mixed, 9, 0);
    expect(&mixed, NULL);
    add(&all_but_one, 9, 0);
    add(&all_but_one, 5, 0);
    expect(&all_but_one, NULL);
    add(&swapped, 9, 0);
    add(&swapped, 5, 0);
    add(&swapped, 1, 0);
    add(&swapped, 7, 1);
    expect(&swapped, NULL);
}

static void test_updates_refused(void **state)
{
    struct changes negative = {0}, twice = {0}, stranger = {0}, empty = {0}, large = {0};

    (void)state;
    add(&negative, 1, -1);
    expect(&negative, "power -1");
    add(&twice, 4, 1);
    add(&twice, 1, 1);
    add(&twice, 4, 2);
    expect(&twice, "04000000... is changed twice");
    add(&stranger, 4, 0);
    expect(&stranger, "04000000... leaves and is not in the set");
    add(&empty, 9, 0);
    add(&empty, 5, 0);
    add(&empty, 1, 0);
    expect(&empty, "leave no validator");
    add(&large, 4, ABCI_POWER_TOTAL_MAX + 1);
    expect(&large, "must be 0 to");
}

static void test_updates_keys(void **state)
{
    struct changes changes = {0};

    (void)state;
    add(&changes, 4, 1);
    expect(&changes, NULL);
    changes.public_keys[0].ed25519.len = 31;
    expect(&changes, "no Ed25519 key");
    changes.public_keys[0].ed25519.len = 33;
    expect(&changes, "no Ed25519 key");
    changes.public_keys[0].ed25519.len = 32;
    changes.public_keys[0].sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_SECP256K1;
    expect(&changes, "no Ed25519 key");
    changes.updates[0].pub_key = NULL;
    expect(&changes, "no Ed25519 key");
    changes.list[0] = NULL;
    expect(&changes, "no Ed25519 key");
}

/* The engine counts the sum after those that leave have left. */
static void test_updates_sum(void **state)
{
    struct changes over = {0}, exact = {0}, instead = {0};

    (void)state;
    add(&over, 4, ABCI_POWER_TOTAL_MAX - 59);
    expect(&over, "altogether");
    add(&exact, 4, ABCI_POWER_TOTAL_MAX - 60);
    expect(&exact, NULL);
    add(&instead, 4, ABCI_POWER_TOTAL_MAX - 40);
    add(&instead, 1, 0);
    expect(&instead, NULL);
}

static void test_updates_count(void **state)
{
    HM_AUTOFREE struct abci_validator *set = hm_calloc(ABCI_VALIDATORS_MAX, sizeof(*set));
    struct changes one = {0}, swapped = {0};

    (void)state;
    for (uint32_t i = 0; i < ABCI_VALIDATORS_MAX; i++) {
        hm_put_be32(set[i].key, i + 0x01000000);
        set[i].power = 1;
    }
    add(&one, 99, 1);
    assert_int_equal(abci_updates_check(set, ABCI_VALIDATORS_MAX, one.list, 1, NULL), HM_EINVAL);
    assert_int_equal(abci_updates_check(set, ABCI_VALIDATORS_MAX - 1, one.list, 1, NULL), 0);
    add(&swapped, 99, 1);
    add(&swapped, 1, 0);
    assert_int_equal(abci_updates_check(set, ABCI_VALIDATORS_MAX, swapped.list, 2, NULL), 0);
}

/* More changes than a set may have members are not even looked at. */
static void test_updates_too_many(void **state)
{
    HM_AUTOFREE Update **list = hm_calloc(ABCI_VALIDATORS_MAX + 1, sizeof(Update *));
    struct changes one = {0};
    struct hm_error error = {0};

    (void)state;
    add(&one, 1, 1);
    for (size_t i = 0; i <= ABCI_VALIDATORS_MAX; i++)
        list[i] = one.list[0];
    assert_int_equal(abci_updates_form(list, ABCI_VALIDATORS_MAX + 1, &error), HM_EINVAL);
    assert_non_null(strstr(error.text, "10001 changes"));
    assert_int_equal(abci_updates_form(list, ABCI_VALIDATORS_MAX, &error), HM_EINVAL);
    assert_non_null(strstr(error.text, "changed twice"));
}

/* --- answers ------------------------------------------------------------------------------------ */

static Hypermesh__Abci__RequestFinalizeBlock asked_block =
    HYPERMESH__ABCI__REQUEST_FINALIZE_BLOCK__INIT;

static int check_final(Hypermesh__Abci__ResponseFinalizeBlock *body, struct hm_error *error)
{
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__Response answer = HYPERMESH__ABCI__RESPONSE__INIT;

    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_FINALIZE_BLOCK;
    request.finalize_block = &asked_block;
    answer.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_FINALIZE_BLOCK;
    answer.finalize_block = body;
    return abci_answer_check(&request, &answer, error);
}

static void test_kinds(void **state)
{
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__Response answer = HYPERMESH__ABCI__RESPONSE__INIT;
    Hypermesh__Abci__RequestFlush flush = HYPERMESH__ABCI__REQUEST_FLUSH__INIT;
    Hypermesh__Abci__ResponseFlush flushed = HYPERMESH__ABCI__RESPONSE_FLUSH__INIT;

    (void)state;
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_FLUSH;
    request.flush = &flush;
    answer.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_FLUSH;
    assert_int_equal(abci_answer_check(&request, &answer, NULL),
                     HM_EINTERNAL); /* case, no pointer */
    answer.flush = &flushed;
    assert_int_equal(abci_answer_check(&request, &answer, NULL), 0);
    answer.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_EXCEPTION;
    assert_int_equal(abci_answer_check(&request, &answer, NULL), HM_EINTERNAL);
    answer.value_case = HYPERMESH__ABCI__RESPONSE__VALUE__NOT_SET;
    assert_int_equal(abci_answer_check(&request, &answer, NULL), HM_EINTERNAL);
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE__NOT_SET;
    answer.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_EXCEPTION;
    assert_int_equal(abci_answer_check(&request, &answer, NULL), HM_EINTERNAL);
}

static void test_finalize(void **state)
{
    static uint8_t hash[33];
    Hypermesh__Abci__ResponseFinalizeBlock body = HYPERMESH__ABCI__RESPONSE_FINALIZE_BLOCK__INIT;
    Hypermesh__Abci__ExecTxResult result = HYPERMESH__ABCI__EXEC_TX_RESULT__INIT;
    Hypermesh__Abci__ExecTxResult *results[] = {&result, NULL};
    struct changes changes = {0};
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(check_final(&body, NULL), 0);
    body.app_hash = wire_bytes(hash, 32);
    assert_int_equal(check_final(&body, NULL), 0);
    body.app_hash.len = 33;
    assert_int_equal(check_final(&body, &error), HM_EINTERNAL);
    assert_non_null(strstr(error.text, "app_hash has 33 bytes"));
    body.app_hash.len = 32;
    body.tx_results = results;
    body.n_tx_results = 1;
    assert_int_equal(check_final(&body, &error), HM_EINTERNAL);
    body.n_tx_results = 2; /* one of them NULL */
    assert_int_equal(check_final(&body, &error), HM_EINTERNAL);
    assert_non_null(strstr(error.text, "NULL"));
    body.n_tx_results = 0;
    add(&changes, 1, 0); /* may be one that leaves: the set is not known here */
    body.validator_updates = changes.list;
    body.n_validator_updates = 1;
    assert_int_equal(check_final(&body, NULL), 0);
    add(&changes, 1, 4);
    body.n_validator_updates = 2;
    assert_int_equal(check_final(&body, &error), HM_EINTERNAL);
    assert_string_equal(error.text, "finalize_block: validator 01000000... is changed twice");
}

static void test_params(void **state)
{
    Hypermesh__Abci__ConsensusParams params = HYPERMESH__ABCI__CONSENSUS_PARAMS__INIT;
    Hypermesh__Abci__BlockParams block = HYPERMESH__ABCI__BLOCK_PARAMS__INIT;
    Hypermesh__Abci__EvidenceParams evidence = HYPERMESH__ABCI__EVIDENCE_PARAMS__INIT;
    Hypermesh__Abci__Duration age = HYPERMESH__ABCI__DURATION__INIT;
    Hypermesh__Abci__ValidatorParams validator = HYPERMESH__ABCI__VALIDATOR_PARAMS__INIT;
    Hypermesh__Abci__AbciParams abci = HYPERMESH__ABCI__ABCI_PARAMS__INIT;
    char ed25519[] = "ed25519", other[] = "sr25519";
    char *types[] = {ed25519, other};

#define TAKEN(yes) assert_int_equal(abci_params_check(&params, NULL), (yes) ? 0 : HM_EINTERNAL)
    (void)state;
    assert_int_equal(abci_params_check(NULL, NULL), 0);
    TAKEN(true);
    params.block = &block;
    TAKEN(false); /* max_bytes 0 */
    block.max_bytes = -1;
    TAKEN(true);
    block.max_bytes = -2;
    TAKEN(false);
    block.max_bytes = ABCI_BLOCK_MAX_BYTES + 1;
    TAKEN(false);
    block.max_bytes = ABCI_BLOCK_MAX_BYTES;
    block.max_gas = -2;
    TAKEN(false);
    block.max_gas = -1;
    TAKEN(true);

    params.evidence = &evidence;
    evidence.max_age_num_blocks = 1;
    TAKEN(false); /* no duration */
    evidence.max_age_duration = &age;
    TAKEN(false);
    age.nanos = 1;
    TAKEN(true);
    evidence.max_age_num_blocks = 0;
    TAKEN(false);
    evidence.max_age_num_blocks = 1;
    block.max_bytes = 1000;
    evidence.max_bytes = 1001;
    TAKEN(false);
    evidence.max_bytes = 1000;
    TAKEN(true);
    evidence.max_bytes = -1;
    TAKEN(false);
    params.evidence = NULL;

    params.validator = &validator;
    TAKEN(false); /* no type at all */
    validator.pub_key_types = types;
    validator.n_pub_key_types = 1;
    TAKEN(true);
    validator.n_pub_key_types = 2;
    TAKEN(false);
    params.validator = NULL;

    params.abci = &abci;
    TAKEN(true);
    abci.vote_extensions_enable_height = -1;
    TAKEN(false);
#undef TAKEN
}

static void test_genesis(void **state)
{
    Hypermesh__Abci__RequestInitChain asked = HYPERMESH__ABCI__REQUEST_INIT_CHAIN__INIT;
    Hypermesh__Abci__ResponseInitChain body = HYPERMESH__ABCI__RESPONSE_INIT_CHAIN__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__Response answer = HYPERMESH__ABCI__RESPONSE__INIT;
    struct changes changes = {0};
    struct hm_error error = {0};

    (void)state;
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_INIT_CHAIN;
    request.init_chain = &asked;
    answer.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_INIT_CHAIN;
    answer.init_chain = &body;
    assert_int_equal(abci_answer_check(&request, &answer, &error), HM_EINTERNAL);
    assert_non_null(strstr(error.text, "names a validator"));
    add(&changes, 1, 5);
    body.validators = changes.list;
    body.n_validators = 1;
    assert_int_equal(abci_answer_check(&request, &answer, NULL), 0);
    changes.updates[0].power = 0; /* nobody can leave yet */
    assert_int_equal(abci_answer_check(&request, &answer, &error), HM_EINTERNAL);
    changes.updates[0].power = 5;
    body.app_hash = wire_bytes(changes.keys[0], 33);
    assert_int_equal(abci_answer_check(&request, &answer, &error), HM_EINTERNAL);
    assert_non_null(strstr(error.text, "app_hash has 33 bytes"));
    body.app_hash.len = 32;
    assert_int_equal(abci_answer_check(&request, &answer, NULL), 0);
    body.n_validators = 0;
    asked.validators = changes.list;
    asked.n_validators = 1;
    assert_int_equal(abci_answer_check(&request, &answer, NULL), 0);
}

static void test_proposal(void **state)
{
    uint8_t byte = 1;
    ProtobufCBinaryData tx = {1, &byte};
    Hypermesh__Abci__RequestPrepareProposal asked = HYPERMESH__ABCI__REQUEST_PREPARE_PROPOSAL__INIT;
    Hypermesh__Abci__ResponsePrepareProposal body =
        HYPERMESH__ABCI__RESPONSE_PREPARE_PROPOSAL__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__Response answer = HYPERMESH__ABCI__RESPONSE__INIT;

    (void)state;
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_PREPARE_PROPOSAL;
    request.prepare_proposal = &asked;
    answer.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_PREPARE_PROPOSAL;
    answer.prepare_proposal = &body;
    body.txs = &tx;
    body.n_txs = 1;
    asked.max_tx_bytes = 3;
    assert_int_equal(abci_answer_check(&request, &answer, NULL), 0);
    asked.max_tx_bytes = 2;
    assert_int_equal(abci_answer_check(&request, &answer, NULL), HM_EINTERNAL);
    asked.max_tx_bytes = 3;
    tx.data = NULL;
    assert_int_equal(abci_answer_check(&request, &answer, NULL), HM_EINTERNAL);
}

static void test_snapshots(void **state)
{
    uint8_t hash[32] = {1};
    HM_AUTOFREE uint8_t *metadata = hm_calloc(ABCI_METADATA_MAX_BYTES, 1);
    Hypermesh__Abci__RequestListSnapshots asked = HYPERMESH__ABCI__REQUEST_LIST_SNAPSHOTS__INIT;
    Hypermesh__Abci__Snapshot snapshot = HYPERMESH__ABCI__SNAPSHOT__INIT;
    Hypermesh__Abci__Snapshot *list[] = {&snapshot, &snapshot};
    Hypermesh__Abci__ResponseListSnapshots body = HYPERMESH__ABCI__RESPONSE_LIST_SNAPSHOTS__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__Response answer = HYPERMESH__ABCI__RESPONSE__INIT;

#define TAKEN(yes) \
    assert_int_equal(abci_answer_check(&request, &answer, NULL), (yes) ? 0 : HM_EINTERNAL)
    (void)state;
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_LIST_SNAPSHOTS;
    request.list_snapshots = &asked;
    answer.value_case = HYPERMESH__ABCI__RESPONSE__VALUE_LIST_SNAPSHOTS;
    answer.list_snapshots = &body;
    TAKEN(true);
    body.snapshots = list;
    body.n_snapshots = 2;
    snapshot.height = 10;
    snapshot.chunks = 1;
    snapshot.hash = wire_bytes(hash, sizeof(hash));
    TAKEN(true);
    snapshot.height = 0;
    TAKEN(false);
    snapshot.height = 10;
    snapshot.chunks = 0;
    TAKEN(false);
    snapshot.chunks = 1;
    snapshot.metadata = wire_bytes(metadata, ABCI_METADATA_MAX_BYTES - 32);
    TAKEN(true);
    snapshot.metadata.len++;
    TAKEN(false);
    snapshot.metadata.len = 0;
    snapshot.hash.len = 0;
    TAKEN(false);
#undef TAKEN
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tx_bytes),      cmocka_unit_test(test_tx_bytes_as_packed),
        cmocka_unit_test(test_updates_taken), cmocka_unit_test(test_updates_refused),
        cmocka_unit_test(test_updates_keys),  cmocka_unit_test(test_updates_sum),
        cmocka_unit_test(test_updates_count), cmocka_unit_test(test_updates_too_many),
        cmocka_unit_test(test_kinds),         cmocka_unit_test(test_finalize),
        cmocka_unit_test(test_params),        cmocka_unit_test(test_genesis),
        cmocka_unit_test(test_proposal),      cmocka_unit_test(test_snapshots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
