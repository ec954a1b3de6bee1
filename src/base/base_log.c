#include "base_log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base_clock.h"
#include "base_encode.h"
#include "base_error.h"

/* A line fits what a pipe takes whole, so lines of several threads never mix. */
#define LOG_LINE_MAX_BYTES ((size_t)PIPE_BUF)
#define LOG_ROOM_MAX_CHARS 32
#define LOG_TAIL_BYTES     ((size_t)8) /* room kept for `..."}` and the newline */

static struct {
    int fd;
    enum hm_log_level level;
    int json;
} log_settings = {STDERR_FILENO, HM_LOG_INFO, 0};

static const char *const log_level_names[] = {"error", "warn", "info", "debug"};

void hm_log_setup(int fd, enum hm_log_level level, int json)
{
    log_settings.fd = fd;
    log_settings.level = level;
    log_settings.json = json;
}

int hm_log_level_parse(const char *text, enum hm_log_level *level)
{
    for (size_t i = 0; i < HM_COUNT_OF(log_level_names); i++) {
        if (strcmp(text, log_level_names[i]) == 0) {
            *level = (enum hm_log_level)i;
            return 0;
        }
    }
    return HM_EPARSE;
}

struct log_line {
    char bytes[LOG_LINE_MAX_BYTES];
    size_t len;
};

static bool log_put(struct log_line *line, const char *bytes, size_t len, size_t keep)
{
    if (len + keep > sizeof(line->bytes) - line->len)
        return false;
    memcpy(line->bytes + line->len, bytes, len);
    line->len += len;
    return true;
}

/* How one code point is written: itself, or an escape that no terminal obeys. code is the byte
 * itself when step is 0 (not UTF-8). */
static size_t log_escape(char out[16], const char *text, size_t step, uint32_t code, int json)
{
    bool control = code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029;

    if (step == 0)
        return (size_t)(json ? snprintf(out, 16, "\\ufffd")
                             : snprintf(out, 16, "\\x%02x", code & 0xFF));
    if (code == '\n' || code == '\t' || code == '\r')
        return (size_t)snprintf(out, 16, "\\%c", code == '\n' ? 'n' : (code == '\t' ? 't' : 'r'));
    if (control)
        return (size_t)snprintf(out, 16, json ? "\\u%04x" : "\\u{%x}", code);
    if (json && (code == '"' || code == '\\'))
        return (size_t)snprintf(out, 16, "\\%c", (int)code);
    memcpy(out, text, step);
    return step;
}

static void log_put_escaped(struct log_line *line, const char *text, size_t len, bool cut)
{
    while (len > 0) {
        char piece[16];
        uint32_t code = (uint8_t)*text;
        size_t step = hm_utf8_step(text, len, &code);
        size_t piece_len;

        /* a character that the cut went through is no news: the dots say it */
        if (step == 0 && cut && len < 4)
            break;
        piece_len = log_escape(piece, text, step, code, log_settings.json);
        if (!log_put(line, piece, piece_len, LOG_TAIL_BYTES)) {
            cut = true;
            break;
        }
        text += step != 0 ? step : 1;
        len -= step != 0 ? step : 1;
    }
    if (cut)
        (void)log_put(line, "...", 3, 0);
}

static void log_write(const struct log_line *line)
{
    ssize_t done;

    do {
        done = write(log_settings.fd, line->bytes, line->len);
    } while (done < 0 && errno == EINTR);
}

void hm_log(enum hm_log_level level, const char *room, const char *format, ...)
{
    int saved = errno;
    struct log_line line;
    char message[HM_LOG_LINE_BYTES];
    char when[32];
    va_list args;
    int length;
    int head;

    if (level > log_settings.level)
        return;
    va_start(args, format);
    length = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (length < 0) {
        length = 0;
        message[0] = '\0';
    }
    hm_time_format_ms(hm_wall_ms(hm_clock_system()), when);
    head = snprintf(line.bytes, sizeof(line.bytes),
                    log_settings.json ? "{\"time\":\"%s\",\"level\":\"%s\",\"room\":\"%.*s\","
                                        "\"message\":\""
                                      : "%s %-5s %.*s: ",
                    when, log_level_names[level], LOG_ROOM_MAX_CHARS, room);
    line.len = head > 0 ? (size_t)head : 0;
    log_put_escaped(&line, message, strlen(message), length >= (int)sizeof(message));
    if (log_settings.json)
        (void)log_put(&line, "\"}", 2, 0);
    (void)log_put(&line, "\n", 1, 0);
    log_write(&line);
    errno = saved;
}
