/* Log sink. Programs log; libraries return errors. One line an event: time, level, room, message and
 * key=value pairs, as text or as JSON lines. Never a secret, never unescaped control characters. */
#ifndef HM_BASE_LOG_H
#define HM_BASE_LOG_H

enum hm_log_level { HM_LOG_ERROR, HM_LOG_WARN, HM_LOG_INFO, HM_LOG_DEBUG };

/* Process-wide settings, set once in main before threads start. fd is borrowed (default 2). */
void hm_log_setup(int fd, enum hm_log_level level, int json);
int hm_log_level_parse(const char *text, enum hm_log_level *level); /* 0 or HM_EPARSE */
/* Thread-safe; a line is one write(2). Message at most HM_LOG_LINE_BYTES, cut past it. */
#define HM_LOG_LINE_BYTES 2048
void hm_log(enum hm_log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
