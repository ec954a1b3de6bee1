/* The decoders of text forms. First byte: which one; the rest: the text. What is accepted must come
 * back the same from its encoder. */
#include <stdlib.h>

#include "base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void try_hex(const char *text, size_t len)
{
    uint8_t bytes[64];
    uint8_t again[64];
    char encoded[129];

    if (len > 128 || hm_hex_decode(text, len, bytes, len / 2, NULL) != 0)
        return;
    hm_hex_encode(bytes, len / 2, encoded);
    require(hm_hex_decode(encoded, len, again, len / 2, NULL) == 0);
    require(memcmp(bytes, again, len / 2) == 0);
}

static void try_base64(const char *text, size_t len)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    HM_CLEANUP(hm_buf) struct hm_buf encoded = {0};

    if (hm_base64_decode(text, len, &bytes, NULL) != 0)
        return;
    require(hm_base64_encode(bytes.data, bytes.len, &encoded) == 0);
    require(hm_slice_equal(hm_buf_slice(&encoded), hm_slice_of(text, len)));
}

static void try_bech32(const char *text, size_t len)
{
    uint8_t bytes[32];
    char encoded[HM_BECH32_MAX_CHARS + 1];

    (void)len;
    for (size_t want = 0; want <= sizeof(bytes); want += 4) {
        if (hm_bech32_decode("hm", text, bytes, want, NULL) != 0)
            continue;
        require(hm_bech32_encode("hm", bytes, want, encoded) == 0);
        require(strcasecmp(encoded, text) == 0);
    }
}

static void try_quantities(const char *text, size_t len)
{
    uint64_t value = 0;
    uint64_t again = 0;
    char formatted[40];

    (void)len;
    if (hm_duration_parse_ms(text, &value, NULL) == 0) {
        hm_duration_format_ms(value, formatted);
        require(hm_duration_parse_ms(formatted, &again, NULL) == 0 && again == value);
    }
    if (hm_size_parse(text, &value, NULL) == 0)
        hm_size_format(value, formatted);
    for (unsigned digits = 0; digits <= 18; digits += 9) {
        if (hm_decimal_parse(text, digits, &value, NULL) != 0)
            continue;
        hm_decimal_format(value, digits, formatted);
        require(hm_decimal_parse(formatted, digits, &again, NULL) == 0 && again == value);
    }
    if (hm_u64_parse(text, &value, NULL) == 0)
        hm_time_format_ms(value, formatted);
}

static void try_utf8(const char *text, size_t len)
{
    struct hm_error error;
    char *clean = hm_strdup(text);

    if (clean != NULL) {
        hm_text_clean(clean);
        require(strlen(clean) <= len && hm_utf8_valid(clean, strlen(clean)));
        hm_free(clean);
    }
    (void)hm_fail(&error, HM_EINVAL, "%s", text);
    require(hm_utf8_valid(error.text, strlen(error.text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(const char *, size_t) = {try_hex, try_base64, try_bech32,
                                                          try_quantities, try_utf8};
    char *text;

    if (size == 0)
        return 0;
    text = hm_strndup((const char *)data + 1, size - 1);
    if (text == NULL)
        return 0;
    tries[data[0] % HM_COUNT_OF(tries)](text, strlen(text));
    hm_free(text);
    return 0;
}
