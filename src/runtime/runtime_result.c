#include "runtime_result.h"

#include <stdio.h>

_Static_assert(2 + 20 + 1 + 2 * CRYPTO_HASH_BYTES + 1 == RUNTIME_MANIFEST_TAIL_BYTES,
               "the last line must fit where it is kept room for");

void runtime_result_init(struct runtime_result *result)
{
    result->len = strlen(RUNTIME_MANIFEST_HEAD);
    result->tail_lines = 0;
    result->line_len = 0;
    memcpy(result->text, RUNTIME_MANIFEST_HEAD, result->len);
    crypto_hasher_init_context(&result->tail, RUNTIME_TAIL_CONTEXT);
}

static void line_char(struct runtime_result *result, char c)
{
    result->line[result->line_len++] = c;
}

static void line_text(struct runtime_result *result, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *text != 0; text++) {
        unsigned char c = (unsigned char)*text;

        if (c > 0x20 && c < 0x7f && c != '%') {
            line_char(result, *text);
            continue;
        }
        line_char(result, '%');
        line_char(result, digits[c >> 4]);
        line_char(result, digits[c & 15]);
    }
}

static void line_mode(struct runtime_result *result, char kind, unsigned mode)
{
    line_char(result, kind);
    line_char(result, ' ');
    for (int shift = 9; shift >= 0; shift -= 3)
        line_char(result, (char)('0' + (mode >> shift & 7)));
    line_char(result, ' ');
}

static void line_path(struct runtime_result *result, const char *source, const char *path)
{
    size_t from = result->line_len;

    line_text(result, source);
    if (path[0] != 0) {
        if (result->line_len == from || result->line[result->line_len - 1] != '/')
            line_char(result, '/');
        line_text(result, path);
    }
}

static void line_end(struct runtime_result *result)
{
    size_t room = sizeof(result->text) - RUNTIME_MANIFEST_TAIL_BYTES;

    line_char(result, '\n');
    if (result->tail_lines == 0 && result->line_len <= room - result->len) {
        memcpy(result->text + result->len, result->line, result->line_len);
        result->len += result->line_len;
    } else {
        crypto_hasher_update(&result->tail, result->line, result->line_len);
        result->tail_lines++;
    }
    result->line_len = 0;
}

void runtime_result_output(struct runtime_result *result, const char *source)
{
    line_char(result, 'o');
    line_char(result, ' ');
    line_path(result, source, "");
    line_end(result);
}

void runtime_result_folder(struct runtime_result *result, const char *source, const char *path,
                           unsigned mode)
{
    line_mode(result, 'd', mode);
    line_path(result, source, path);
    line_end(result);
}

void runtime_result_file(struct runtime_result *result, const char *source, const char *path,
                         unsigned mode, uint64_t size, const uint8_t content[CRYPTO_HASH_BYTES])
{
    char hash[2 * CRYPTO_HASH_BYTES + 1];

    line_mode(result, 'f', mode);
    hm_hex_encode(content, CRYPTO_HASH_BYTES, hash);
    result->line_len += (size_t)snprintf(result->line + result->line_len, 96, "%llu %s ",
                                         (unsigned long long)size, hash);
    line_path(result, source, path);
    line_end(result);
}

void runtime_result_link(struct runtime_result *result, const char *source, const char *path,
                         const char *target)
{
    line_char(result, 'l');
    line_char(result, ' ');
    line_text(result, target);
    line_char(result, ' ');
    line_path(result, source, path);
    line_end(result);
}

void runtime_result_final(struct runtime_result *result, uint8_t digest[CRYPTO_HASH_BYTES])
{
    struct hm_slice whole;

    if (result->tail_lines > 0) {
        uint8_t tail[CRYPTO_HASH_BYTES];
        char hash[2 * CRYPTO_HASH_BYTES + 1], line[RUNTIME_MANIFEST_TAIL_BYTES + 1];
        int len;

        crypto_hasher_final(&result->tail, tail);
        hm_hex_encode(tail, sizeof(tail), hash);
        len = snprintf(line, sizeof(line), "+ %llu %s\n", (unsigned long long)result->tail_lines,
                       hash);
        memcpy(result->text + result->len, line, (size_t)len);
        result->len += (size_t)len;
        result->tail_lines = 0;
    }
    whole = hm_slice_of(result->text, result->len);
    crypto_hash_parts(RUNTIME_RESULT_CONTEXT, &whole, 1, digest);
}
