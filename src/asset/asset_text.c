#include "asset_text.h"

#include <stdio.h>

static bool text_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct hm_slice text_from(struct hm_slice text, size_t start)
{
    return hm_slice_of(text.data + start, text.len - start);
}

bool asset_text_line(struct hm_slice *rest, struct hm_slice *line)
{
    size_t len = 0;

    if (rest->len == 0)
        return false;
    while (len < rest->len && rest->data[len] != '\n')
        len++;
    *line = hm_slice_of(rest->data, len);
    *rest = text_from(*rest, len < rest->len ? len + 1 : len);
    return true;
}

bool asset_text_word(struct hm_slice *rest, struct hm_slice *word)
{
    size_t start = 0, end;

    while (start < rest->len && text_is_blank(rest->data[start]))
        start++;
    if (start == rest->len)
        return false;
    for (end = start; end < rest->len && !text_is_blank(rest->data[end]);)
        end++;
    *word = hm_slice_of(rest->data + start, end - start);
    *rest = text_from(*rest, end);
    return true;
}

struct hm_slice asset_text_trim(struct hm_slice text)
{
    while (text.len > 0 && text_is_blank(text.data[0]))
        text = text_from(text, 1);
    while (text.len > 0 && text_is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

bool asset_text_is(struct hm_slice text, const char *word)
{
    return hm_slice_equal(text, hm_slice_str(word));
}

bool asset_text_field(struct hm_slice text, const char *key, char separator, struct hm_slice *value)
{
    struct hm_slice line;

    while (asset_text_line(&text, &line)) {
        const uint8_t *at = line.len == 0 ? NULL : memchr(line.data, separator, line.len);
        size_t key_len;

        if (at == NULL)
            continue;
        key_len = (size_t)(at - line.data);
        if (!asset_text_is(asset_text_trim(hm_slice_of(line.data, key_len)), key))
            continue;
        *value = asset_text_trim(text_from(line, key_len + 1));
        return true;
    }
    return false;
}

bool asset_text_u64(struct hm_slice text, uint64_t *value)
{
    char copy[24];
    uint64_t sum = 0;

    text = asset_text_trim(text);
    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    if (text.len > 2 && text.data[0] == '0' && (text.data[1] | 0x20) == 'x') {
        if (text.len > 18)
            return false;
        for (size_t i = 2; i < text.len; i++) {
            uint8_t c = text.data[i], low = (uint8_t)(c | 0x20);

            if (c >= '0' && c <= '9')
                sum = sum << 4 | (uint64_t)(c - '0');
            else if (low >= 'a' && low <= 'f')
                sum = sum << 4 | (uint64_t)(low - 'a' + 10);
            else
                return false;
        }
        *value = sum;
        return true;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return strlen(copy) == text.len && hm_u64_parse(copy, value, NULL) == 0;
}

void asset_text_clean(struct hm_slice text, char *out, size_t out_bytes)
{
    size_t used = 0;
    bool gap = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (c <= ' ' || c > '~') {
            gap = used > 0;
            continue;
        }
        if (used + (gap ? 2u : 1u) >= out_bytes)
            break;
        if (gap)
            out[used++] = ' ';
        gap = false;
        out[used++] = (char)c;
    }
    out[used] = '\0';
}

void asset_text_id(struct hm_slice text, char *out, size_t out_bytes)
{
    size_t used = 0;

    text = asset_text_trim(text);
    for (size_t i = 0; i < text.len && used + 1 < out_bytes; i++) {
        uint8_t c = text.data[i], low = (uint8_t)(c | 0x20);
        bool good = (c >= '0' && c <= '9') || (low >= 'a' && low <= 'z') || c == '.' || c == '_';

        out[used++] = good ? (char)c : '-';
    }
    out[used] = '\0';
}

static const struct {
    const char *name;
    size_t offset;
    bool kib;
} text_meminfo_lines[] = {
    {"MemTotal", offsetof(struct asset_meminfo, total), true},
    {"MemFree", offsetof(struct asset_meminfo, free), true},
    {"MemAvailable", offsetof(struct asset_meminfo, available), true},
    {"SwapTotal", offsetof(struct asset_meminfo, swap), true},
    {"HugePages_Total", offsetof(struct asset_meminfo, huge_count), false},
    {"HugePages_Free", offsetof(struct asset_meminfo, huge_free), false},
    {"Hugepagesize", offsetof(struct asset_meminfo, huge_page), true},
    {"Hugetlb", offsetof(struct asset_meminfo, huge_bytes), true},
};

static void text_meminfo_line(struct hm_slice name, struct hm_slice rest, struct asset_meminfo *out)
{
    struct hm_slice word;
    uint64_t value;

    if (!asset_text_word(&rest, &word) || !asset_text_u64(word, &value))
        return;
    for (size_t i = 0; i < HM_COUNT_OF(text_meminfo_lines); i++) {
        if (!asset_text_is(name, text_meminfo_lines[i].name))
            continue;
        if (text_meminfo_lines[i].kib && !hm_mul_u64(value, 1024, &value))
            return;
        memcpy((char *)out + text_meminfo_lines[i].offset, &value, sizeof(value));
    }
}

bool asset_text_meminfo(struct hm_slice text, struct asset_meminfo *out)
{
    struct asset_meminfo found = {0};
    struct hm_slice line, name, number;

    while (asset_text_line(&text, &line)) {
        if (!asset_text_word(&line, &name))
            continue;
        if (asset_text_is(name, "Node") &&
            (!asset_text_word(&line, &number) || !asset_text_word(&line, &name)))
            continue;
        if (name.data[name.len - 1] != ':')
            continue;
        name.len--;
        text_meminfo_line(name, line, &found);
    }
    /* Kernels before 4.19 have no sum over the sizes. */
    if (found.huge_bytes == 0 && !hm_mul_u64(found.huge_count, found.huge_page, &found.huge_bytes))
        found.huge_bytes = 0;
    if (found.total == 0)
        return false;
    *out = found;
    return true;
}

/* What changes how fast programs run; sorted. x86 names, then the same of Arm's Features. */
static const char *const text_flags[] = {
    "aes",       "amx_bf16",    "amx_int8",    "amx_tile",    "asimd",    "asimddp", "avx",
    "avx2",      "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx512bw", "avx512f", "avx512vl",
    "avx_vnni",  "bf16",        "bmi2",        "crc32",       "fma",      "gfni",    "i8mm",
    "pclmulqdq", "pmull",       "rdrand",      "rdseed",      "sha1",     "sha2",    "sha3",
    "sha512",    "sha_ni",      "sse4_2",      "sve",         "sve2",     "svm",     "vaes",
    "vmx",       "vpclmulqdq",
};

static void text_pick_flags(struct hm_slice all, char *out, size_t out_bytes)
{
    bool found[HM_COUNT_OF(text_flags)] = {false};
    struct hm_slice word;
    size_t used = 0;

    while (asset_text_word(&all, &word))
        for (size_t i = 0; i < HM_COUNT_OF(text_flags); i++)
            found[i] = found[i] || asset_text_is(word, text_flags[i]);
    out[0] = '\0';
    for (size_t i = 0; i < HM_COUNT_OF(text_flags); i++) {
        size_t len = strlen(text_flags[i]);

        if (!found[i] || used + len + 2 > out_bytes)
            continue;
        if (used > 0)
            out[used++] = ' ';
        memcpy(out + used, text_flags[i], len + 1);
        used += len;
    }
}

void asset_text_cpuinfo(struct hm_slice text, struct asset_cpuinfo *out)
{
    struct hm_slice value;

    memset(out, 0, sizeof(*out));
    if (asset_text_field(text, "model name", ':', &value))
        asset_text_clean(value, out->model, sizeof(out->model));
    if (asset_text_field(text, "flags", ':', &value) ||
        asset_text_field(text, "Features", ':', &value))
        text_pick_flags(value, out->flags, sizeof(out->flags));
    if (asset_text_field(text, "cpu MHz", ':', &value)) {
        const uint8_t *dot = value.len == 0 ? NULL : memchr(value.data, '.', value.len);

        if (dot != NULL)
            value.len = (size_t)(dot - value.data);
        if (!asset_text_u64(value, &out->mhz))
            out->mhz = 0;
    }
}
