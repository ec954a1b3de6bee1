/* Names and paths from outside: checked before anything is done with them. Pure functions. */
#ifndef HM_RUNTIME_PATH_H
#define HM_RUNTIME_PATH_H

#include "base.h"

#define RUNTIME_PATH_MAX_BYTES  4096 /* with NUL */
#define RUNTIME_PATH_MAX_DEPTH  128
#define RUNTIME_JOB_ID_MAX      32
#define RUNTIME_IMAGE_NAME_MAX  160 /* "name:tag" with NUL */
#define RUNTIME_IMAGE_LABEL_MAX 128 /* name or tag alone, without NUL */

/* [a-z0-9]{1,32}; HM_EINVAL. */
int runtime_job_id_check(const char *id, struct hm_error *error);
/* "name" or "name:tag" -> "name:tag"; HM_EINVAL. */
int runtime_image_name_parse(const char *text, char out[RUNTIME_IMAGE_NAME_MAX],
                             struct hm_error *error);
/* Path inside an archive or a root: relative, without "." and empty parts, "" for the root itself.
 * A leading "/" is dropped. HM_EPARSE for "..", HM_ELIMIT past length or depth. */
int runtime_path_normal(const char *text, char out[RUNTIME_PATH_MAX_BYTES], struct hm_error *error);
/* The same for `link` as seen from the folder that holds `path` (itself normal); ".." may go up, but
 * not out of the root. */
int runtime_path_resolve(const char *path, const char *link, char out[RUNTIME_PATH_MAX_BYTES],
                         struct hm_error *error);
/* Mount point in a container: absolute, normal, not "/" and not in /proc, /dev or /sys. HM_EINVAL. */
int runtime_mount_point_check(const char *path, const char *field, struct hm_error *error);
/* Folder on this machine: absolute, without "..". HM_EINVAL. */
int runtime_host_path_check(const char *path, const char *field, struct hm_error *error);

/* Writes "A/B" (or just B when A is empty); HM_ELIMIT when it does not fit. */
int runtime_path_join(char *out, size_t size, const char *a, const char *b, struct hm_error *error);

#endif
