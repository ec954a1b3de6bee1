/* A backup of the whole node while it runs. */
#include "api_handlers.h"

int api_handle_backup(struct api_call *call, struct hm_error *error)
{
    const char *path = api_record_get(&call->body, "path")->text;
    char *passphrase = (char *)(uintptr_t)api_record_get(&call->body, "passphrase")->text;
    struct api_backup backup = {0};
    int rc;

    if (path[0] != '/')
        rc = hm_fail(error, HM_EINVAL, "path must be absolute: it is on the node's machine");
    else if (passphrase[0] == '\0')
        rc = hm_fail(error, HM_EINVAL, "passphrase must not be empty");
    else
        rc = call->backend->backup_create(call->backend->ctx, path, hm_slice_str(passphrase),
                                          &call->arena, &backup, error);
    hm_wipe(passphrase, strlen(passphrase));
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_put_text(&call->json, "path", backup.path ? backup.path : path);
    json_out_put_u64(&call->json, "bytes", backup.bytes);
    json_out_put_u64(&call->json, "height", backup.height);
    json_out_put_hash(&call->json, "state_root", backup.state_root);
    json_out_close(&call->json, '}');
    return 0;
}
