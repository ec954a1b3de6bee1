/* A test program that starts itself again: plainly, or below the preload library that notes and spoils what it does
 * to the disk (powercut_preload.c). For cmocka tests; what must not happen fails the test. */
#ifndef HM_POWERCUT_RUN_H
#define HM_POWERCUT_RUN_H

#include <stdint.h>
#include <sys/types.h>

/* argv and environment entries end with NULL; extra goes before what is inherited. */
pid_t powercut_spawn(char *const argv[], char *const extra[]);
int powercut_wait(pid_t pid); /* as waitpid says */
int powercut_spawn_and_wait(char *const argv[], char *const extra[]);
/* Below the library: what is written under `folder` goes into the file `log`, with these faults ("": none). Returns the
 * exit status. */
int powercut_run(char *const argv[], const char *folder, const char *log, const char *faults);
/* In that program: what it has answered cannot be taken back. Nothing without the library. */
void powercut_promise(uint64_t n);

#endif
