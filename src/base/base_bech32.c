/* bech32m (BIP 350; the code itself is BIP 173 with another final constant). */
#include "base_encode.h"

#define BECH32_HRP_MAX_CHARS  16
#define BECH32_CHECKSUM_CHARS 6
#define BECH32M_CONSTANT      UINT32_C(0x2BC830A3)

static const char bech32_alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t bech32_step(uint32_t state)
{
    static const uint32_t generator[5] = {0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD,
                                          0x2A1462B3};
    uint32_t top = state >> 25;

    state = (state & 0x1FFFFFF) << 5;
    for (int i = 0; i < 5; i++) {
        if ((top >> i & 1) != 0)
            state ^= generator[i];
    }
    return state;
}

static uint32_t bech32_hrp_state(const char *hrp)
{
    uint32_t state = 1;

    for (const char *c = hrp; *c != '\0'; c++)
        state = bech32_step(state) ^ (uint32_t)(uint8_t)*c >> 5;
    state = bech32_step(state);
    for (const char *c = hrp; *c != '\0'; c++)
        state = bech32_step(state) ^ ((uint32_t)(uint8_t)*c & 31);
    return state;
}

static bool bech32_hrp_valid(const char *hrp)
{
    size_t len = strnlen(hrp, BECH32_HRP_MAX_CHARS + 1);

    if (len == 0 || len > BECH32_HRP_MAX_CHARS)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (hrp[i] < 33 || hrp[i] > 126 || (hrp[i] >= 'A' && hrp[i] <= 'Z'))
            return false;
    }
    return true;
}

static size_t bech32_symbols(size_t len)
{
    return (len * 8 + 4) / 5;
}

/* At most `most` characters, and the NUL. */
static int bech32_write(const char *hrp, const uint8_t *data, size_t len, size_t most, char *out)
{
    size_t hrp_len;
    size_t at;
    uint32_t state;
    uint32_t bits = 0;
    unsigned count = 0;

    if (!bech32_hrp_valid(hrp))
        return HM_EINVAL;
    hrp_len = strlen(hrp);
    if (len > most || hrp_len + 1 + bech32_symbols(len) + BECH32_CHECKSUM_CHARS > most)
        return HM_ELIMIT;
    memcpy(out, hrp, hrp_len);
    out[hrp_len] = '1';
    at = hrp_len + 1;
    state = bech32_hrp_state(hrp);
    for (size_t i = 0; i < len || count > 0;) {
        uint32_t symbol;

        if (count < 5 && i < len) {
            bits = (bits & 31) << 8 | data[i++];
            count += 8;
        }
        symbol = count >= 5 ? bits >> (count - 5) & 31 : bits << (5 - count) & 31;
        count = count >= 5 ? count - 5 : 0;
        state = bech32_step(state) ^ symbol;
        out[at++] = bech32_alphabet[symbol];
    }
    for (int i = 0; i < BECH32_CHECKSUM_CHARS; i++)
        state = bech32_step(state);
    state ^= BECH32M_CONSTANT;
    for (int i = 0; i < BECH32_CHECKSUM_CHARS; i++)
        out[at++] = bech32_alphabet[state >> 5 * (5 - i) & 31];
    out[at] = '\0';
    return 0;
}

int hm_bech32_encode(const char *hrp, const uint8_t *data, size_t len, char *out)
{
    return bech32_write(hrp, data, len, HM_BECH32_MAX_CHARS, out);
}

int hm_bech32_encode_long(const char *hrp, struct hm_slice data, struct hm_buf *out)
{
    int rc = hm_buf_reserve(out, HM_BECH32_LONG_MAX_CHARS + 1);

    if (rc == 0)
        rc = bech32_write(hrp, data.data, data.len, HM_BECH32_LONG_MAX_CHARS,
                          (char *)out->data + out->len);
    if (rc == 0)
        out->len += strlen((const char *)out->data + out->len);
    return rc;
}

/* Copies text in lower case; refuses mixed case and characters outside 33-126. */
static int bech32_fold(const char *text, size_t most, char *folded, size_t *len,
                       struct hm_error *error)
{
    bool upper = false;
    bool lower = false;
    size_t count = strnlen(text, most + 1);

    if (count > most)
        return hm_fail(error, HM_EPARSE, "address is longer than %zu characters", most);
    for (size_t i = 0; i < count; i++) {
        char c = text[i];

        if (c < 33 || c > 126)
            return hm_fail(error, HM_EPARSE, "address has a forbidden character at position %zu",
                           i + 1);
        upper = upper || (c >= 'A' && c <= 'Z');
        lower = lower || (c >= 'a' && c <= 'z');
        folded[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    if (upper && lower)
        return hm_fail(error, HM_EPARSE,
                       "address mixes upper and lower case; write it in one case");
    folded[count] = '\0';
    *len = count;
    return 0;
}

/* Symbols to values in place, and the checksum over them. */
static int bech32_check(const char *hrp, const char *symbols, size_t count, uint8_t *values,
                        size_t offset, struct hm_error *error)
{
    uint32_t state = bech32_hrp_state(hrp);

    for (size_t i = 0; i < count; i++) {
        const char *found = memchr(bech32_alphabet, symbols[i], 32);

        if (found == NULL)
            return hm_fail(error, HM_EPARSE,
                           "address has '%c' at position %zu, which its alphabet lacks", symbols[i],
                           offset + i + 1);
        values[i] = (uint8_t)(found - bech32_alphabet);
        state = bech32_step(state) ^ values[i];
    }
    if (state != BECH32M_CONSTANT)
        return hm_fail(error, HM_EPARSE, "address has a wrong checksum; it was mistyped or cut");
    return 0;
}

/* 5-bit values to len bytes. The padding is under 5 bits and zero (BIP 173), so one text only
 * stands for given bytes. */
static int bech32_unpack(const uint8_t *values, size_t count, uint8_t *out, size_t len,
                         struct hm_error *error)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t at = 0;

    if (count != bech32_symbols(len))
        return hm_fail(error, HM_EPARSE,
                       "address has the wrong length: %zu data characters, %zu are needed", count,
                       bech32_symbols(len));
    if (count != 0 && (values[count - 1] & ((1U << (count * 5 - len * 8)) - 1)) != 0)
        return hm_fail(error, HM_EPARSE, "address has padding bits that are not zero");
    for (size_t i = 0; i < count; i++) {
        bits = bits << 5 | values[i];
        held += 5;
        if (held >= 8 && at < len) {
            held -= 8;
            out[at++] = (uint8_t)(bits >> held);
        }
    }
    return 0;
}

/* Symbols without the checksum to values in place of most bytes; *count of them. */
static int bech32_read(const char *hrp, const char *text, size_t most, char *folded,
                       uint8_t *values, size_t *count, struct hm_error *error)
{
    size_t text_len = 0;
    size_t hrp_len = strlen(hrp);
    const char *separator;
    int rc = bech32_fold(text, most, folded, &text_len, error);

    if (rc != 0)
        return rc;
    separator = memrchr(folded, '1', text_len);
    if (separator == NULL || (size_t)(separator - folded) != hrp_len ||
        memcmp(folded, hrp, hrp_len) != 0)
        return hm_fail(error, HM_EPARSE, "address has the wrong prefix; it must begin with %s1",
                       hrp);
    *count = text_len - hrp_len - 1;
    if (*count < BECH32_CHECKSUM_CHARS)
        return hm_fail(error, HM_EPARSE, "address has the wrong length: it is cut short");
    rc = bech32_check(hrp, separator + 1, *count, values, hrp_len + 1, error);
    *count -= BECH32_CHECKSUM_CHARS;
    return rc;
}

int hm_bech32_decode(const char *hrp, const char *text, uint8_t *out, size_t len,
                     struct hm_error *error)
{
    char folded[HM_BECH32_MAX_CHARS + 1];
    uint8_t values[HM_BECH32_MAX_CHARS];
    size_t count = 0;
    int rc;

    if (!bech32_hrp_valid(hrp) || len > HM_BECH32_MAX_CHARS)
        return hm_fail(error, HM_EINVAL,
                       "an address prefix is 1-%d lower-case characters and its data at "
                       "most %d bytes",
                       BECH32_HRP_MAX_CHARS, HM_BECH32_MAX_CHARS);
    rc = bech32_read(hrp, text, HM_BECH32_MAX_CHARS, folded, values, &count, error);
    return rc != 0 ? rc : bech32_unpack(values, count, out, len, error);
}

int hm_bech32_decode_long(const char *hrp, const char *text, struct hm_buf *out,
                          struct hm_error *error)
{
    char folded[HM_BECH32_LONG_MAX_CHARS + 1];
    uint8_t values[HM_BECH32_LONG_MAX_CHARS];
    size_t count = 0, len;
    int rc;

    if (!bech32_hrp_valid(hrp))
        return hm_fail(error, HM_EINVAL, "a prefix is 1-%d lower-case characters",
                       BECH32_HRP_MAX_CHARS);
    rc = bech32_read(hrp, text, HM_BECH32_LONG_MAX_CHARS, folded, values, &count, error);
    len = count * 5 / 8;
    if (rc == 0 && hm_buf_reserve(out, len + 1) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for %zu bytes", len);
    if (rc == 0)
        rc = bech32_unpack(values, count, out->data + out->len, len, error);
    if (rc == 0)
        out->len += len;
    hm_wipe(folded, sizeof(folded)); /* it may hold a secret */
    hm_wipe(values, sizeof(values));
    return rc;
}
