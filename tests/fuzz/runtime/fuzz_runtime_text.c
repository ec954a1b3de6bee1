/* Small texts from images, jobs and OCI runtimes. First byte: which parser; a second text follows the first NUL. */
#include <stdlib.h>

#include "runtime_digest.h"
#include "runtime_oci.h"
#include "runtime_path.h"
#include "runtime_sandbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_normal(const char *path)
{
    char again[RUNTIME_PATH_MAX_BYTES];

    must(path[0] != '/' && strlen(path) < RUNTIME_PATH_MAX_BYTES);
    must(runtime_path_normal(path, again, NULL) == 0 && strcmp(path, again) == 0);
}

static void try_paths(const char *text, const char *other)
{
    char normal[RUNTIME_PATH_MAX_BYTES], resolved[RUNTIME_PATH_MAX_BYTES];

    if (runtime_path_normal(text, normal, NULL) == 0) {
        check_normal(normal);
        if (runtime_path_resolve(normal, other, resolved, NULL) == 0)
            check_normal(resolved);
    }
    if (runtime_mount_point_check(text, "field", NULL) == 0)
        must(runtime_host_path_check(text, "field", NULL) == 0 && text[0] == '/');
}

static void try_names(const char *text)
{
    char name[RUNTIME_IMAGE_NAME_MAX], again[RUNTIME_IMAGE_NAME_MAX];
    struct runtime_digest digest;

    if (runtime_image_name_parse(text, name, NULL) == 0)
        must(strchr(name, ':') != NULL && name[0] != '/' &&
             (strstr(name, "..") == NULL || strstr(name, "..") > strchr(name, ':')) &&
             strrchr(name, '/') < strchr(name, ':') &&
             runtime_image_name_parse(name, again, NULL) == 0 && strcmp(name, again) == 0);
    if (runtime_job_id_check(text, NULL) == 0)
        must(strlen(text) <= RUNTIME_JOB_ID_MAX && strpbrk(text, "/.:") == NULL);
    if (runtime_digest_parse(text, &digest, NULL) == 0)
        must(strcmp(digest.text, text) == 0 && strlen(runtime_digest_hex(&digest)) == 64);
}

static void try_message(struct hm_slice log)
{
    char message[64];

    runtime_oci_message_parse(log, message, sizeof(message));
    must(strlen(message) < sizeof(message) && hm_utf8_valid(message, strlen(message)));
    (void)runtime_oci_is_command_fault(message);
}

static void try_user(const char *name, struct hm_slice file)
{
    for (unsigned want = 0; want < 5; want++) {
        uint32_t id = 77777;

        if (runtime_user_field(file, name, want, &id))
            must(id < 65536);
        else
            must(id == 77777);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text, *other;
    size_t first;

    if (len == 0)
        return 0;
    text = hm_strndup((const char *)data + 1, len - 1);
    if (text == NULL)
        return 0;
    first = strlen(text);
    other = first + 2 <= len ? hm_strndup((const char *)data + first + 2, len - first - 2) : NULL;
    switch (data[0] % 4) {
    case 0:
        try_paths(text, other != NULL ? other : "");
        break;
    case 1:
        try_names(text);
        break;
    case 2:
        try_message(hm_slice_of(data + 1, len - 1));
        break;
    default:
        if (first + 2 <= len)
            try_user(text, hm_slice_of(data + first + 2, len - first - 2));
    }
    hm_free(other);
    hm_free(text);
    return 0;
}
