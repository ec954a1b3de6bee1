/* A program that runs beside a tool: the tool is started in its place, starts it, and ends as it does. So a relay can stand
 * where an engine is expected: who started it sees one process, with the engine's output, signals and exit status. */
#ifndef BESIDE_H
#define BESIDE_H

#include "base.h"

/* Starts argv[0] (looked for on PATH; argv ends with NULL). From then on SIGTERM, SIGINT and SIGHUP go to it, and when it ends
 * this process does, with its exit status (128 + signal when one ended it). Once, before any other thread is started. HM_EIO. */
int beside_start(char *const *argv, struct hm_error *error);

#endif
