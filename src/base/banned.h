/*
 * Functions that may not be called in HyperMesh, as compile errors.
 *
 * The build includes this file before everything else in every room and test (not in generated or foreign
 * code). The headers that declare the functions come first, so that the macros below meet only calls. The
 * name in the compiler's message says what to use.
 */
#ifndef HM_BANNED_H
#define HM_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* No bound on what is written, or a result without its final zero byte. */
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef stpcpy
#undef sprintf
#undef vsprintf
#undef gets
#define strcpy(...)   banned_strcpy_use_memcpy_or_snprintf
#define strcat(...)   banned_strcat_use_snprintf
#define strncpy(...)  banned_strncpy_use_memcpy_or_snprintf
#define strncat(...)  banned_strncat_use_snprintf
#define stpcpy(...)   banned_stpcpy_use_memcpy_or_snprintf
#define sprintf(...)  banned_sprintf_use_snprintf
#define vsprintf(...) banned_vsprintf_use_vsnprintf
#define gets(...)     banned_gets_use_fgets

/* State shared by the whole process. */
#undef strtok
#undef rand
#undef srand
#undef random
#undef srandom
#undef localtime
#undef gmtime
#undef ctime
#undef asctime
#define strtok(...)    banned_strtok_use_strtok_r
#define rand(...)      banned_rand_use_the_random_source_of_base
#define srand(...)     banned_srand_use_the_random_source_of_base
#define random(...)    banned_random_use_the_random_source_of_base
#define srandom(...)   banned_srandom_use_the_random_source_of_base
#define localtime(...) banned_localtime_use_localtime_r
#define gmtime(...)    banned_gmtime_use_gmtime_r
#define ctime(...)     banned_ctime_use_strftime
#define asctime(...)   banned_asctime_use_strftime

/* No way to tell an error from a number. */
#undef atoi
#undef atol
#undef atoll
#undef atof
#define atoi(...)  banned_atoi_use_a_checked_parser_of_base
#define atol(...)  banned_atol_use_a_checked_parser_of_base
#define atoll(...) banned_atoll_use_a_checked_parser_of_base
#define atof(...)  banned_atof_use_strtod_and_check

/* Stack without a limit; a shell in between; a threaded process copied. */
#undef alloca
#undef system
#undef popen
#undef fork
#undef vfork
#define alloca(...) banned_alloca_use_an_arena
#define system(...) banned_system_use_posix_spawn
#define popen(...)  banned_popen_use_posix_spawn
#define fork(...)   banned_fork_use_posix_spawn
#define vfork(...)  banned_vfork_use_posix_spawn

#endif
