/* The error contract of every room.
 *
 * A function that can fail returns int: 0, or one negative HM_E code from the table below. Outputs
 * are untouched on failure. A nullable last parameter `struct hm_error *` receives the sentence for
 * a person: what was wrong, where, and what to do. It is a fixed buffer in the caller's frame:
 * nothing to free, nothing that can leak. Libraries return errors; only programs log them. */
#ifndef HM_BASE_ERROR_H
#define HM_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*      name         code  HTTP  fatal  title (RFC 9457 "title")
 * fatal: the process cannot go on trusting its state or its resources. */
#define HM_ERROR_TABLE(X)                                            \
    X(HM_EINVAL, -1, 400, 0, "Invalid request")                      \
    X(HM_ENOMEM, -2, 503, 1, "Out of memory")                        \
    X(HM_EIO, -3, 500, 1, "Input or output failed")                  \
    X(HM_ENOTFOUND, -4, 404, 0, "Not found")                         \
    X(HM_EEXIST, -5, 409, 0, "Exists already")                       \
    X(HM_EPERM, -6, 403, 0, "Not allowed")                           \
    X(HM_EAUTH, -7, 401, 0, "Not authenticated")                     \
    X(HM_EPARSE, -8, 400, 0, "Malformed input")                      \
    X(HM_ELIMIT, -9, 413, 0, "Over a limit")                         \
    X(HM_ECONFLICT, -10, 409, 0, "Conflicts with the present state") \
    X(HM_EFUNDS, -11, 402, 0, "Not enough funds")                    \
    X(HM_EPROOF_SPACE, -12, 403, 0, "Space proof refused")           \
    X(HM_EPROOF_STAKE, -13, 403, 0, "Stake proof refused")           \
    X(HM_EPROOF_WORK, -14, 403, 0, "Work proof refused")             \
    X(HM_EPROOF_TIME, -15, 403, 0, "Time proof refused")             \
    X(HM_EBUSY, -16, 503, 0, "Busy")                                 \
    X(HM_ETIMEOUT, -17, 504, 0, "Timed out")                         \
    X(HM_ECORRUPT, -18, 500, 1, "Stored data is damaged")            \
    X(HM_EUNSUPPORTED, -19, 501, 0, "Not supported yet")             \
    X(HM_ECANCELLED, -20, 409, 0, "Cancelled")                       \
    X(HM_EUNAVAILABLE, -21, 503, 0, "Not available on this machine") \
    X(HM_ERANGE, -22, 400, 0, "Out of range")                        \
    X(HM_EINTERNAL, -23, 500, 1, "Internal error")

enum hm_error_code {
#define HM_X(name, code, http, fatal, title) name = (code),
    HM_ERROR_TABLE(HM_X)
#undef HM_X
};

#define HM_ERROR_TEXT_BYTES 384

struct hm_error {
    int code; /* 0 or HM_E*; the same value the function returned */
    char text[HM_ERROR_TEXT_BYTES]; /* one sentence, NUL-terminated, cleaned by hm_text_clean */
};

/* What may have come from outside (a file's name, another program's message), made fit for a terminal, for JSON
 * and for a message of the schema: control characters become blanks, bytes that are not UTF-8 "?", and a
 * character that was cut at the end is dropped. In place, never longer. */
void hm_text_clean(char *text);

/* Sets *error (when not NULL) and returns code, so that callers write
 * `return hm_fail(error, HM_EINVAL, "share is %u %%, must be 0-100", share);`
 * Text past HM_ERROR_TEXT_BYTES is cut. errno is kept. */
int hm_fail(struct hm_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As hm_fail, and appends ": " and strerror of errno (saved at entry). Where errno says ENOMEM, HM_EIO becomes
 * HM_ENOMEM: opendir and the like have no memory of ours. */
int hm_fail_errno(struct hm_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text that a callee left in *error (when not NULL). code is what the callee
 * returned, and is returned, so that nothing hangs on whether the caller's caller wants the text. */
int hm_error_prefix(struct hm_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const char *hm_error_name(int code); /* "HM_EINVAL"; "HM_E?" for an unknown code */
const char *hm_error_title(int code); /* "Invalid request" */
int hm_error_http(int code); /* 400; 500 for an unknown code */
int hm_error_is_fatal(int code);

#ifdef __cplusplus
}
#endif

#endif
