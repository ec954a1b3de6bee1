/* Pure parsers of the kernel's text files. Every byte is taken as hostile: nothing is trusted to be text, to
 * end in a newline or to be short. */
#ifndef HM_ASSET_TEXT_H
#define HM_ASSET_TEXT_H

#include "base.h"

#define ASSET_VALUE_BYTES 256 /* an attribute's value with its NUL; the ledger's limit */
#define ASSET_PATH_BYTES  1024

/* Takes the next line (without newline) or blank-separated word off *rest; false when nothing is left. */
bool asset_text_line(struct hm_slice *rest, struct hm_slice *line);
bool asset_text_word(struct hm_slice *rest, struct hm_slice *word);
struct hm_slice asset_text_trim(struct hm_slice text);
bool asset_text_is(struct hm_slice text, const char *word);
/* "key : value" or "key=value": the value of the first line with that key, trimmed. */
bool asset_text_field(struct hm_slice text, const char *key, char separator,
                      struct hm_slice *value);

/* Whole trimmed text as decimal or 0x-number; false on anything else. */
bool asset_text_u64(struct hm_slice text, uint64_t *value);
/* Printable ASCII only, runs of others become one space, trimmed, cut to fit. */
void asset_text_clean(struct hm_slice text, char *out, size_t out_bytes);
/* [A-Za-z0-9._-] only, others become '-'; for hardware ids. */
void asset_text_id(struct hm_slice text, char *out, size_t out_bytes);
/* proc_meminfo(5), and the meminfo of a NUMA node ("Node 0 MemTotal: ..."). Bytes; 0 when absent. */
struct asset_meminfo {
    uint64_t total, free, available, swap;
    uint64_t huge_count, huge_free, huge_page; /* default size: pages, pages, bytes */
    uint64_t huge_bytes; /* all sizes, taken from what programs can use */
};
/* False when there is no MemTotal. */
bool asset_text_meminfo(struct hm_slice text, struct asset_meminfo *out);

/* proc_cpuinfo(5) of the first processor: x86 "model name" and "flags", Arm "Features". */
struct asset_cpuinfo {
    char model[128];
    char
        flags[ASSET_VALUE_BYTES]; /* the interesting ones that are there, sorted, space-separated */
    uint64_t mhz; /* 0: not said */
};
void asset_text_cpuinfo(struct hm_slice text, struct asset_cpuinfo *out);

/* proc_pid_mountinfo(5), with octal escapes undone. */
struct asset_mount {
    char root[ASSET_PATH_BYTES];
    char point[ASSET_PATH_BYTES];
    char type[64];
    char source[ASSET_PATH_BYTES];
    char super_options[ASSET_PATH_BYTES];
    uint64_t major, minor;
    bool read_only;
};
bool asset_text_mount(struct hm_slice line, struct asset_mount *out);
/* The mount that a (clean, absolute) path lies on: longest mount point, the last one of equals. */
bool asset_text_mount_of(struct hm_slice mountinfo, const char *path, struct asset_mount *out);
/* Where a cgroup hierarchy is mounted: controller "cpu", ... for v1, NULL for v2. */
bool asset_text_cgroup_mount(struct hm_slice mountinfo, const char *controller,
                             struct asset_mount *out);
/* The path of a process in it, from its cgroup file (cgroups(7)). */
bool asset_text_cgroup_path(struct hm_slice cgroup, const char *controller, char *out,
                            size_t out_bytes);

#endif
