#include "said.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static FILE *kept;
static char text[SAID_MAX_BYTES + 1];

void said_begin(enum hm_log_level level)
{
    kept = tmpfile();
    assert_non_null(kept);
    hm_log_setup(fileno(kept), level, 0);
}

void said_end(void)
{
    hm_log_setup(STDERR_FILENO, HM_LOG_INFO, 0);
    assert_int_equal(fclose(kept), 0);
    kept = NULL;
}

/* With pread: the place where the next line goes is the descriptor's. */
unsigned said(const char *words)
{
    unsigned count = 0;
    ssize_t len = pread(fileno(kept), text, SAID_MAX_BYTES, 0);

    assert_true(len >= 0);
    text[len] = '\0';
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++)
        count++;
    return count;
}

void said_forget(void)
{
    assert_int_equal(ftruncate(fileno(kept), 0), 0);
    assert_int_equal(lseek(fileno(kept), 0, SEEK_SET), 0);
}
