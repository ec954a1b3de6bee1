/* Operations of the key-value store decoded from any bytes, run against the ledger and the model of etcd; and
 * the parsers of what it stores, which must take or refuse any bytes without harm. */
#include "kv_world.h"
#include "ledger_kv_form.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fixture fix;

static void close_fixture(void)
{
    fixture_release(&fix);
}

static void open_fixture(void)
{
    static const struct fixture_options options = {.params = kv_world_params};

    if (fixture_init(&fix, &options))
        abort();
    (void)atexit(close_fixture);
}

/* What parses must be what its message says. */
static void parsers_try(struct hm_slice bytes)
{
    uint8_t key[LEDGER_KV_KEY_MAX_BYTES];
    struct ledger_kv_event event;
    struct ledger_kv_entry entry;
    struct ledger_kv_past_key past;
    Hypermesh__KvEvent *message;
    struct hm_slice found;
    uint64_t revision;
    uint32_t sub;

    (void)ledger_kv_entry_read(bytes, &entry);
    if (ledger_kv_event_read(bytes, &event) == 0 &&
        WIRE_UNPACK(hypermesh__kv_event, bytes, bytes.len, &fix.arena, &message, NULL) == 0 &&
        (message->revision != event.revision ||
         !hm_slice_equal(wire_slice(message->key), event.key) || message->deleted != event.deleted))
        abort();
    if (ledger_kv_past_read(bytes, key, &found, &revision, &sub) == 0 &&
        ledger_kv_key_check(found, NULL) == 0) {
        ledger_kv_past_begin(found, &past);
        if (!hm_slice_equal(ledger_kv_past_line(&past, revision, sub), bytes))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_world_counts counts = {0};
    char why[512];

    if (!fix.ledger)
        open_fixture();
    parsers_try(hm_slice_of(data, size));
    if (size / KV_COMMAND_BYTES > 0 && !kv_world_run(&fix, data, size / KV_COMMAND_BYTES,
                                                     size % 4 == 0, &counts, why, sizeof why)) {
        (void)fprintf(stderr, "%s\n", why);
        kv_world_print(data, size / KV_COMMAND_BYTES);
        abort();
    }
    return 0;
}
