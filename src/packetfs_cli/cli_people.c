#include "cli_people.h"

#include <errno.h>
#include <unistd.h>

#define CONTACT_FILE_MAX_BYTES 65536

static int failed(struct cli_call *call, const struct hm_error *why)
{
    return cli_fail(call, why->code, "%s", why->text);
}

int cli_identity(struct cli_call *call, struct packetfs_identity **out)
{
    const char *file = cli_value(call, "identity"), *dir = cli_value(call, "key-dir");
    HM_AUTOFREE char *path = file != NULL  ? hm_strdup(file)
                             : dir != NULL ? hm_asprintf("%s/identity", dir)
                                           : NULL;
    int rc;

    if (path == NULL && (file != NULL || dir != NULL))
        return cli_no_memory(call);
    rc = packetfs_identity_open(path, out, &call->error);
    if (rc == PACKETFS_ENOTFOUND)
        call->hint = "packetfs identity create makes one";
    return rc;
}

int cli_contact(struct cli_call *call, const char *file, struct packetfs_contact **out)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc = cli_read(call, file, CONTACT_FILE_MAX_BYTES, &text);

    if (rc == 0)
        rc = packetfs_contact_parse((struct packetfs_bytes){text.data, text.len}, out,
                                    &call->error);
    if (rc == PACKETFS_EPARSE) {
        HM_AUTOFREE char *why = hm_strdup(call->error.text);
        rc = cli_fail(call, rc, "%s: %s", file, why != NULL ? why : "no identity");
        call->hint = "the public part is what packetfs identity show prints, or the file *.pub";
    }
    return rc;
}

/* --- --for --- */

int cli_for_read(struct cli_call *call, struct cli_for *out)
{
    size_t at = 0;
    const char *file;
    int rc = 0;

    *out = (struct cli_for){.count = 0};
    while (rc == 0 && (file = cli_next(call, "for", &at)) != NULL) {
        if (strcmp(file, "me") == 0) {
            const char *own = cli_value(call, "identity");
            out->me = own != NULL ? own : "";
            continue;
        }
        if (out->count == PACKETFS_SLOTS_MAX)
            rc = cli_fail(call, PACKETFS_ELIMIT, "a volume has at most %d slots",
                          PACKETFS_SLOTS_MAX);
        else
            rc = cli_contact(call, file, &out->list[out->count]);
        out->count += rc == 0;
    }
    if (rc != 0)
        cli_for_release(out);
    return rc;
}

void cli_for_release(struct cli_for *people)
{
    for (size_t i = 0; i < people->count; i++)
        packetfs_contact_close(people->list[i]);
    *people = (struct cli_for){.count = 0};
}

int cli_for_admit(struct cli_call *call, const char *dir, const struct packetfs_unlock *unlock,
                  const struct cli_for *people)
{
    struct packetfs_identity *own = NULL;
    int rc = people->count > 0 ? cli_identity(call, &own) : 0;

    for (size_t i = 0; rc == 0 && i < people->count; i++)
        rc = packetfs_key_admit(dir, unlock, own, people->list[i], &call->error);
    packetfs_identity_close(own);
    return rc;
}

static int read_input(struct cli_call *call, size_t limit, struct hm_buf *out)
{
    for (;;) {
        if (hm_buf_reserve(out, 65536) != 0)
            return cli_no_memory(call);
        ssize_t got = read(STDIN_FILENO, out->data + out->len, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cli_fail(call, PACKETFS_EIO, "standard input cannot be read");
        if (got == 0)
            return 0;
        out->len += (size_t)got;
        if (out->len > limit)
            return cli_fail(call, PACKETFS_ELIMIT, "standard input has more than %zu bytes", limit);
    }
}

int cli_read(struct cli_call *call, const char *file, size_t limit, struct hm_buf *out)
{
    struct hm_error why = {0};

    if (file == NULL || strcmp(file, "-") == 0)
        return read_input(call, limit, out);
    return hm_file_read(file, limit, out, &why) != 0 ? failed(call, &why) : 0;
}

int cli_write(struct cli_call *call, const char *file, bool text, const void *data, size_t len)
{
    struct hm_error why = {0};
    int rc;

    if (file != NULL && strcmp(file, "-") != 0)
        rc = hm_file_replace(file, data, len, 0600, &why);
    else if (!text && isatty(STDOUT_FILENO))
        return cli_fail(call, PACKETFS_EINVAL,
                        "this is nothing for a terminal; --output FILE says where to put it");
    else
        rc = hm_write_all(STDOUT_FILENO, data, len, &why);
    return rc != 0 ? failed(call, &why) : 0;
}
