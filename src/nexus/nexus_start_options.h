/* Options of the verbs that make or start a node, which mean the same everywhere: rows for their tables. */
#ifndef HM_NEXUS_START_OPTIONS_H
#define HM_NEXUS_START_OPTIONS_H

#include "nexus_option.h"

/* clang-format off */
#define NEXUS_PLOT_OPTION                                                                     \
    {.name = "plot", .value = "SIZE", .help = "space that a new node commits; default: 64M"}
#define NEXUS_RUNTIME_OPTION                                                                  \
    {.name = "runtime", .value = "NAME",                                                      \
     .help = "container runtime; default: whichever works", .words = "crun runc"}
#define NEXUS_LOG_LEVEL_OPTION                                                                \
    {.name = "log-level", .value = "LEVEL",                                                   \
     .help = "how much a node's log says; default: info", .words = "error warn info debug"}
#define NEXUS_ENGINE_PATH_OPTION                                                              \
    {.name = "engine-path", .value = "FILE",                                                  \
     .help = "CometBFT's binary; default: where scripts/setup --cluster puts it, then PATH",  \
     .words = "@file"}
#define NEXUS_COMMISSION_OPTION                                                               \
    {.name = "commission", .value = "PPM",                                                    \
     .help = "of its validator, of the rewards, in parts per million; default: 0"}
/* clang-format on */

#endif
