#include "base_error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base_encode.h"

struct error_row {
    int code;
    int http;
    int fatal;
    const char *name;
    const char *title;
};

static const struct error_row error_rows[] = {
#define HM_X(name, code, http, fatal, title) {(code), (http), (fatal), #name, (title)},
    HM_ERROR_TABLE(HM_X)
#undef HM_X
};

static const struct error_row *error_find(int code)
{
    for (size_t i = 0; i < sizeof(error_rows) / sizeof(error_rows[0]); i++) {
        if (error_rows[i].code == code)
            return &error_rows[i];
    }
    return NULL;
}

/* How many of the bytes at the end of a text open a character that is not complete; 0: none. */
static size_t error_cut(const char *text, size_t len)
{
    for (size_t tail = 1; tail <= 3 && tail <= len; tail++) {
        unsigned char c = (unsigned char)text[len - tail];

        if ((c & 0xC0) == 0x80)
            continue;
        if ((c >= 0xC2 && tail == 1) || (c >= 0xE0 && tail == 2) || (c >= 0xF0 && tail == 3))
            return c < 0xF5 ? tail : 0;
        return 0;
    }
    return 0;
}

static bool error_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029;
}

void hm_text_clean(char *text)
{
    size_t len = strlen(text);
    size_t kept = 0, at = 0;

    len -= error_cut(text, len);
    while (at < len) {
        uint32_t code = 0;
        size_t size = hm_utf8_step(text + at, len - at, &code);

        if (size == 0 || error_is_control(code)) {
            text[kept++] = size == 0 ? '?' : ' ';
        } else {
            memmove(text + kept, text + at, size);
            kept += size;
        }
        at += size != 0 ? size : 1;
    }
    text[kept] = '\0';
}

/* Stores through a local copy: arguments may point into error->text itself. */
static void error_store(struct hm_error *error, int code, const char *text, const char *suffix)
{
    char joined[HM_ERROR_TEXT_BYTES * 2 + 2];

    (void)snprintf(joined, sizeof(joined), "%s%s", text, suffix);
    joined[HM_ERROR_TEXT_BYTES - 1] = '\0';
    hm_text_clean(joined);
    error->code = code;
    memcpy(error->text, joined, strlen(joined) + 1);
}

__attribute__((format(printf, 2, 0))) static void error_format(char text[HM_ERROR_TEXT_BYTES],
                                                               const char *format, va_list args)
{
    if (vsnprintf(text, HM_ERROR_TEXT_BYTES, format, args) < 0)
        text[0] = '\0';
}

int hm_fail(struct hm_error *error, int code, const char *format, ...)
{
    int saved = errno;
    char text[HM_ERROR_TEXT_BYTES];
    va_list args;

    if (error == NULL)
        return code;
    va_start(args, format);
    error_format(text, format, args);
    va_end(args);
    error_store(error, code, text, "");
    errno = saved;
    return code;
}

int hm_fail_errno(struct hm_error *error, int code, const char *format, ...)
{
    int saved = errno;
    char text[HM_ERROR_TEXT_BYTES];
    char reason_buffer[128];
    char suffix[160];
    const char *reason;
    va_list args;

    if (code == HM_EIO && saved == ENOMEM)
        code = HM_ENOMEM;
    if (error == NULL)
        return code;
    va_start(args, format);
    error_format(text, format, args);
    va_end(args);
    reason = strerror_r(saved, reason_buffer, sizeof(reason_buffer));
    (void)snprintf(suffix, sizeof(suffix), ": %s", reason);
    error_store(error, code, text, suffix);
    errno = saved;
    return code;
}

int hm_error_prefix(struct hm_error *error, int code, const char *format, ...)
{
    int saved = errno;
    char text[HM_ERROR_TEXT_BYTES];
    char suffix[HM_ERROR_TEXT_BYTES + 2];
    va_list args;

    if (error == NULL)
        return code;
    va_start(args, format);
    error_format(text, format, args);
    va_end(args);
    (void)snprintf(suffix, sizeof(suffix), ": %s", error->text);
    error_store(error, code, text, suffix);
    errno = saved;
    return code;
}

const char *hm_error_name(int code)
{
    const struct error_row *row = error_find(code);

    return row != NULL ? row->name : "HM_E?";
}

const char *hm_error_title(int code)
{
    const struct error_row *row = error_find(code);

    return row != NULL ? row->title : "Unknown error";
}

int hm_error_http(int code)
{
    const struct error_row *row = error_find(code);

    return row != NULL ? row->http : 500;
}

int hm_error_is_fatal(int code)
{
    const struct error_row *row = error_find(code);

    return row != NULL ? row->fatal : 0;
}
