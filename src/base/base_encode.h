/* Text forms: hexadecimal, base64, bech32m (BIP 350), durations, byte sizes, token amounts, times. */
#ifndef HM_BASE_ENCODE_H
#define HM_BASE_ENCODE_H

#include "base_bytes.h"

/* out holds 2*len+1 bytes; lower case, NUL-terminated. */
void hm_hex_encode(const void *data, size_t len, char *out);
/* Exactly len bytes from 2*len digits, either case; HM_EPARSE otherwise. */
int hm_hex_decode(const char *text, size_t text_len, uint8_t *out, size_t len,
                  struct hm_error *error);

/* Standard alphabet with padding (RFC 4648, section 4); strict decoding. Appends to out. */
int hm_base64_encode(const void *data, size_t len, struct hm_buf *out);
int hm_base64_decode(const char *text, size_t text_len, struct hm_buf *out, struct hm_error *error);

/* bech32m with the 90-character rule lifted to HM_BECH32_MAX_CHARS. Human-readable part in lower
 * case, 1-16 characters. out holds HM_BECH32_MAX_CHARS+1 bytes. */
#define HM_BECH32_MAX_CHARS 120
int hm_bech32_encode(const char *hrp, const uint8_t *data, size_t len, char *out);
/* Fails with HM_EPARSE and says whether prefix, alphabet, length or checksum is wrong. */
int hm_bech32_decode(const char *hrp, const char *text, uint8_t *out, size_t len,
                     struct hm_error *error);

/* The same for longer data, up to HM_BECH32_LONG_MAX_CHARS characters with the prefix. Of so long a text the checksum finds
 * single mistakes and most others, but not all that it finds in a short one (BIP 173, "Checksum design"): what must be
 * whole carries a signature. Both append to out. */
#define HM_BECH32_LONG_MAX_CHARS 2048
int hm_bech32_encode_long(const char *hrp, struct hm_slice data, struct hm_buf *out);
int hm_bech32_decode_long(const char *hrp, const char *text, struct hm_buf *out,
                          struct hm_error *error);

/* "500ms", "30s", "1m", "2h", "1d", sums such as "1h30m"; a bare number is refused. */
int hm_duration_parse_ms(const char *text, uint64_t *ms, struct hm_error *error);
void hm_duration_format_ms(uint64_t ms, char out[32]); /* shortest exact: "1h30m" */
/* "64M", "1G", "512KiB", "1000"; K, M, G, T mean powers of 1024. */
int hm_size_parse(const char *text, uint64_t *bytes, struct hm_error *error);
void hm_size_format(uint64_t bytes, char out[32]); /* one decimal: "64.0 MiB" */
/* Decimal number times 10^digits: hm_decimal_parse("0.5", 3) is 500. At most 18 digits. */
int hm_decimal_parse(const char *text, unsigned digits, uint64_t *value, struct hm_error *error);
/* "1.5" for 1500 with 3 digits; trailing zeros dropped. */
void hm_decimal_format(uint64_t value, unsigned digits, char out[40]);
/* RFC 3339 in UTC with milliseconds: "2026-01-02T03:04:05.678Z". */
void hm_time_format_ms(uint64_t wall_ms, char out[32]);
/* Unsigned decimal number, whole string, no sign or space; HM_EPARSE or HM_ERANGE. */
int hm_u64_parse(const char *text, uint64_t *value, struct hm_error *error);

/* UTF-8 (RFC 3629): bytes of the code point at text (1-4) and its value in *code; 0 when len is 0 or
 * the bytes are not valid (too long a form, a surrogate, cut, past U+10FFFF). */
size_t hm_utf8_step(const char *text, size_t len, uint32_t *code);
bool hm_utf8_valid(const char *text, size_t len);

#endif
