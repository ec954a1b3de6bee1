#include "base_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

/* A text cut inside a multi-byte character would make the JSON around it invalid. */
static void error_trim_utf8(char *text, size_t len)
{
    size_t start = len;
    size_t need = 1;

    while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    start--;
    if (((unsigned char)text[start] & 0xE0) == 0xC0)
        need = 2;
    else if (((unsigned char)text[start] & 0xF0) == 0xE0)
        need = 3;
    else if (((unsigned char)text[start] & 0xF8) == 0xF0)
        need = 4;
    if (len - start < need)
        text[start] = '\0';
}

/* Stores through a local copy: arguments may point into error->text itself. */
static void error_store(struct hm_error *error, int code, const char *text, const char *suffix)
{
    char joined[HM_ERROR_TEXT_BYTES];
    int length = snprintf(joined, sizeof(joined), "%s%s", text, suffix);

    if (length >= (int)sizeof(joined))
        error_trim_utf8(joined, sizeof(joined) - 1);
    for (char *c = joined; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = ' ';
    }
    error->code = code;
    memcpy(error->text, joined, strlen(joined) + 1);
}

__attribute__((format(printf, 2, 0))) static void error_format(char text[HM_ERROR_TEXT_BYTES],
                                                               const char *format, va_list args)
{
    int length = vsnprintf(text, HM_ERROR_TEXT_BYTES, format, args);

    if (length < 0)
        text[0] = '\0';
    else if (length >= HM_ERROR_TEXT_BYTES)
        error_trim_utf8(text, HM_ERROR_TEXT_BYTES - 1);
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
