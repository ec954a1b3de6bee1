/* Single cgroup files of a job. */
#ifndef HM_RUNTIME_CGROUP_FILE_H
#define HM_RUNTIME_CGROUP_FILE_H

#include "runtime_cgroup.h"

/* Path of a file in the job's cgroup; false when the controller is not there. */
bool runtime_cgroup_path(const struct runtime_cgroup_job *job, enum runtime_controller controller,
                         const char *file, char out[256]);
bool runtime_cgroup_put(const char *path, const char *value);
bool runtime_cgroup_set(const struct runtime_cgroup_job *job, enum runtime_controller controller,
                        const char *file, const char *value);
/* A file that holds one number; false when missing or "max". */
bool runtime_cgroup_number(const struct runtime_cgroup_job *job, enum runtime_controller controller,
                           const char *file, uint64_t *out);
/* The number after key in lines of "key number". */
bool runtime_cgroup_field(const struct runtime_cgroup_job *job, enum runtime_controller controller,
                          const char *file, const char *key, uint64_t *out);

#endif
