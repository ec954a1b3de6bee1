/*
 * The one symbol that Debian 13's static OpenSSL wants and Debian 12's glibc (2.36) lacks: C23's strtol,
 * which differs from C17's only in also accepting the prefix 0b. OpenSSL reads /proc numbers with it.
 */
#include <stdlib.h>

long __isoc23_strtol(const char *text, char **end, int radix);

long __isoc23_strtol(const char *text, char **end, int radix)
{
    return strtol(text, end, radix);
}
