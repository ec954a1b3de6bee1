/* Debian builds libngtcp2.a without -fPIC: it refers to libc's variable stderr in a way that only a program may. In our
 * shared library the name is bound (-Wl,--wrap=stderr) to this pointer, which is set before any code of the library runs. */
#include <stdio.h>

extern FILE *__real_stderr;
extern FILE *__wrap_stderr;
__attribute__((visibility("hidden"))) FILE *__wrap_stderr;

__attribute__((constructor)) static void local_stderr_set(void)
{
    __wrap_stderr = __real_stderr;
}
