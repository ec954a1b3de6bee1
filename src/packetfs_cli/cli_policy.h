/* The written policy on the command line: what is said about the data and its surroundings, and what follows. */
#ifndef HM_PACKETFS_CLI_POLICY_H
#define HM_PACKETFS_CLI_POLICY_H

#include "cli.h"

#define CLI_POLICY_OPTIONS                                                                      \
    {.name = "store",                                                                           \
     .value = "WHOM",                                                                           \
     .help =                                                                                    \
         "may who stores and carries it know sizes and where pieces begin? default: untrusted", \
     .words = "untrusted trusted"},                                                             \
        {.name = "link",                                                                        \
         .value = "MBIT",                                                                       \
         .help = "over what it will be sent, in Mbit/s; default: it stays here"},               \
        {.name = "data",                                                                        \
         .value = "KIND",                                                                       \
         .help = "what it is; default: mixed",                                                  \
         .words = "mixed packed repetitive"},                                                   \
    {                                                                                           \
        .name = "size", .value = "SIZE", .help = "how much it will be, if you know"             \
    }

/* What --store, --link, --data and --size say; what they do not say stays. */
int cli_circumstances(struct cli_call *call, struct packetfs_circumstances *out);
void cli_explain(bool json, const struct packetfs_reason reasons[PACKETFS_REASONS]);

/* What lies below the paths, looked at here: how much, and whether it is packed. */
struct cli_measure {
    uint64_t bytes, files;
    uint64_t sampled,
        dense; /* bytes that were looked at, and those of them that nothing compresses */
    uint64_t unread; /* folders and files that could not be read */
};
#define CLI_MEASURE_FILES_MAX  10000000
#define CLI_MEASURE_DEPTH_MAX  256
#define CLI_MEASURE_SAMPLE     ((size_t)65536) /* bytes of one file, from its middle */
#define CLI_MEASURE_SAMPLE_MIN ((size_t)4096) /* fewer say nothing */
/* Symbolic links are not followed. PACKETFS_ENOTFOUND: the path itself; PACKETFS_ELIMIT. */
int cli_measure(struct cli_call *call, const char *path, struct cli_measure *out);
/* Bytes as good as evenly spread; len >= CLI_MEASURE_SAMPLE_MIN. Pure. */
bool cli_is_dense(const uint8_t *data, size_t len);

#endif
