/* What comes from CometBFT or from whoever handed its files over: a genesis, a key file, a line of its log, its metrics. The
 * first byte says which. A genesis that is taken is written again and read as the same. */
#include <stdlib.h>

#include "engine_config.h"
#include "engine_process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        abort();
}

static void try_genesis(struct hm_slice text)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf again = {0}, twice = {0};
    struct engine_genesis genesis, back;

    if (engine_genesis_read(text, &arena, &genesis, NULL) != 0)
        return;
    require(genesis.validator_count > 0 && genesis.initial_height > 0);
    require(engine_genesis_pack(&genesis, &again, NULL) == 0);
    require(engine_genesis_read(hm_buf_slice(&again), &arena, &back, NULL) == 0);
    require(engine_genesis_pack(&back, &twice, NULL) == 0);
    require(hm_slice_equal(hm_buf_slice(&again), hm_buf_slice(&twice)));
}

static void try_key(struct hm_slice text)
{
    struct crypto_ed25519_key key, back;
    HM_CLEANUP(hm_buf) struct hm_buf again = {0};

    if (engine_key_read(text, &key, NULL) != 0)
        return;
    require(engine_validator_key_pack(&key, &again, NULL) == 0);
    require(engine_key_read(hm_buf_slice(&again), &back, NULL) == 0);
    require(memcmp(&key, &back, sizeof(key)) == 0);
}

static void try_line(struct hm_slice text)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    struct engine_process_line line;

    require(engine_process_line_read(text, &arena, &line, NULL) == 0);
    require(strlen(line.fields) <= ENGINE_PROCESS_FIELDS_MAX_BYTES);
    for (const char *at = line.text; *at != '\0'; at++)
        require((unsigned char)*at >= 0x20 && *at != 0x7F);
}

static void try_metrics(struct hm_slice text)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    if (engine_process_metrics_read(text, &out, NULL) == 0)
        require(out.len == 0 || out.data[out.len - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(struct hm_slice) = {try_genesis, try_key, try_line, try_metrics};

    if (size == 0)
        return 0;
    crypto_setup(NULL);
    tries[data[0] % HM_COUNT_OF(tries)](hm_slice_of(data + 1, size - 1));
    return 0;
}
