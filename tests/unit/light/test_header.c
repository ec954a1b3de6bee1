/* Headers: what one must hold, and that its hash covers each field. */
#include "light_fixture.h"

static struct hm_arena arena;
static struct made_set set;

static Hypermesh__Abci__Header *fresh(int64_t height)
{
    hm_arena_clear(&arena);
    set.count = 0;
    made_add(&set, 1, 10);
    return made_header(height, &set, &set, &arena);
}

static void refused(const Hypermesh__Abci__Header *header, const char *what)
{
    uint8_t hash[LIGHT_HASH_BYTES], before[LIGHT_HASH_BYTES];
    struct hm_error error = {0};

    memset(hash, 0x5a, sizeof(hash));
    memcpy(before, hash, sizeof(hash));
    assert_int_equal(light_header_hash(header, hash, &error), HM_EPARSE);
    if (strstr(error.text, what) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, what);
    assert_memory_equal(hash, before, sizeof(hash));
}

static void fields_have_their_form(void **state)
{
    Hypermesh__Abci__Header *header = fresh(7);
    char name[LIGHT_CHAIN_ID_MAX_BYTES + 2];

    (void)state;
    header->version->block = 10;
    refused(header, "protocol 10");
    header->version = NULL;
    refused(header, "protocol 0");
    header = fresh(7);
    header->chain_id = name;
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    refused(header, "chain id has 51");
    name[0] = '\0';
    refused(header, "chain id has 0");
    header = fresh(7);
    header->height = 0;
    refused(header, "height");
    header->height = -1;
    refused(header, "height");
    header = fresh(7);
    header->time->seconds = -1;
    refused(header, "time");
    header->time->seconds = LIGHT_TIME_MAX_SECONDS + 1;
    refused(header, "time");
    header->time->seconds = 5;
    header->time->nanos = -1;
    refused(header, "time");
    header->time = NULL;
    refused(header, "time");
}

static void hashes_have_their_length(void **state)
{
    static const char *const names[] = {
        "last_commit_hash", "data_hash",         "validators_hash", "next_validators_hash",
        "consensus_hash",   "last_results_hash", "evidence_hash"};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        Hypermesh__Abci__Header *header = fresh(7);
        ProtobufCBinaryData *const fields[] = {
            &header->last_commit_hash,     &header->data_hash,      &header->validators_hash,
            &header->next_validators_hash, &header->consensus_hash, &header->last_results_hash,
            &header->evidence_hash};

        fields[i]->len = 31;
        refused(header, names[i]);
        fields[i]->len = 0;
        refused(header, names[i]);
    }
}

static void other_bytes_have_their_length(void **state)
{
    uint8_t long_hash[LIGHT_APP_HASH_MAX_BYTES + 1] = {0}, hash[LIGHT_HASH_BYTES];
    Hypermesh__Abci__Header *header = fresh(7);

    (void)state;
    header->proposer_address.len = 19;
    refused(header, "proposer_address");
    header = fresh(7);
    header->app_hash = wire_bytes(long_hash, sizeof(long_hash));
    refused(header, "app_hash");
    header->app_hash.len--;
    assert_int_equal(light_header_hash(header, hash, NULL), 0);
    header->app_hash.len = 0; /* an application that has none */
    assert_int_equal(light_header_hash(header, hash, NULL), 0);
    header = fresh(7);
    header->last_block_id->hash.len = 0;
    refused(header, "last_block_id");
    header = fresh(7);
    header->last_block_id->part_set_header = NULL;
    refused(header, "last_block_id");
}

/* "None before it" in every way that a message can say it. */
static void no_block_before_is_one_thing(void **state)
{
    Hypermesh__Abci__BlockId id = HYPERMESH__ABCI__BLOCK_ID__INIT;
    Hypermesh__Abci__PartSetHeader parts = HYPERMESH__ABCI__PART_SET_HEADER__INIT;
    uint8_t none[LIGHT_HASH_BYTES], empty[LIGHT_HASH_BYTES], both[LIGHT_HASH_BYTES];
    Hypermesh__Abci__Header *header = fresh(1);

    (void)state;
    assert_int_equal(light_header_hash(header, none, NULL), 0);
    header->last_block_id = &id;
    assert_int_equal(light_header_hash(header, empty, NULL), 0);
    id.part_set_header = &parts;
    assert_int_equal(light_header_hash(header, both, NULL), 0);
    assert_memory_equal(none, empty, sizeof(none));
    assert_memory_equal(none, both, sizeof(none));
}

static void changed(const Hypermesh__Abci__Header *header, const uint8_t *first)
{
    uint8_t hash[LIGHT_HASH_BYTES];

    assert_int_equal(light_header_hash(header, hash, NULL), 0);
    assert_memory_not_equal(hash, first, LIGHT_HASH_BYTES);
}

static void hash_covers_each_field(void **state)
{
    uint8_t first[LIGHT_HASH_BYTES];
    Hypermesh__Abci__Header *header = fresh(7);
    ProtobufCBinaryData *const fields[] = {&header->last_commit_hash,
                                           &header->data_hash,
                                           &header->validators_hash,
                                           &header->next_validators_hash,
                                           &header->consensus_hash,
                                           &header->app_hash,
                                           &header->last_results_hash,
                                           &header->evidence_hash,
                                           &header->proposer_address,
                                           &header->last_block_id->hash,
                                           &header->last_block_id->part_set_header->hash};

    (void)state;
    assert_int_equal(light_header_hash(header, first, NULL), 0);
    for (size_t i = 0; i < HM_COUNT_OF(fields); i++) {
        fields[i]->data[19] ^= 0x80;
        changed(header, first);
        fields[i]->data[19] ^= 0x80;
    }
    header->version->app++;
    changed(header, first);
    header->version->app--;
    header->height++;
    changed(header, first);
    header->height--;
    header->time->seconds++;
    changed(header, first);
    header->time->seconds--;
    header->time->nanos++;
    changed(header, first);
    header->time->nanos--;
    header->last_block_id->part_set_header->total++;
    changed(header, first);
    header->last_block_id->part_set_header->total--;
    header->chain_id[0]++;
    changed(header, first);
    header->chain_id[0]--;
    header->app_hash.len--;
    changed(header, first);
}

static int drop(void **state)
{
    (void)state;
    hm_arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_have_their_form),
        cmocka_unit_test(hashes_have_their_length),
        cmocka_unit_test(other_bytes_have_their_length),
        cmocka_unit_test(no_block_before_is_one_thing),
        cmocka_unit_test(hash_covers_each_field),
    };

    return cmocka_run_group_tests_name("light: headers", tests, light_fixture_setup, drop);
}
