/* How the library fails: one sentence in the caller's buffer, names for the codes. */
#include "stoq_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void set_text(struct stoq_error *error, int code,
                                                           const char *format, va_list args)
{
    error->code = code;
    (void)vsnprintf(error->text, sizeof(error->text), format, args);
    hm_text_clean(error->text);
}

int stoq_fail(struct stoq_error *error, int code, const char *format, ...)
{
    if (error != NULL) {
        va_list args;
        va_start(args, format);
        set_text(error, code, format, args);
        va_end(args);
    }
    return code;
}

int stoq_fail_errno(struct stoq_error *error, int code, const char *format, ...)
{
    int saved = errno;
    if (error != NULL) {
        va_list args;
        va_start(args, format);
        set_text(error, code, format, args);
        va_end(args);
        size_t used = strlen(error->text);
        (void)snprintf(error->text + used, sizeof(error->text) - used, ": %s", strerror(saved));
        hm_text_clean(error->text);
    }
    errno = saved;
    return code == STOQ_EIO && saved == ENOMEM ? STOQ_ENOMEM : code;
}

const char *stoq_code_name(int code)
{
    switch (code) {
    case STOQ_OK:
        return "STOQ_OK";
    case STOQ_EINVAL:
        return "STOQ_EINVAL";
    case STOQ_ENOMEM:
        return "STOQ_ENOMEM";
    case STOQ_EIO:
        return "STOQ_EIO";
    case STOQ_ENOTFOUND:
        return "STOQ_ENOTFOUND";
    case STOQ_EPERM:
        return "STOQ_EPERM";
    case STOQ_EAUTH:
        return "STOQ_EAUTH";
    case STOQ_EPARSE:
        return "STOQ_EPARSE";
    case STOQ_ELIMIT:
        return "STOQ_ELIMIT";
    case STOQ_EBUSY:
        return "STOQ_EBUSY";
    case STOQ_ETIMEOUT:
        return "STOQ_ETIMEOUT";
    case STOQ_EUNSUPPORTED:
        return "STOQ_EUNSUPPORTED";
    case STOQ_ECLOSED:
        return "STOQ_ECLOSED";
    case STOQ_EINTERNAL:
        return "STOQ_EINTERNAL";
    default:
        return "STOQ_E?";
    }
}

const char *stoq_version(void)
{
    return HM_VERSION;
}
