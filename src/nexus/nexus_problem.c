/* Refusals of the API (RFC 9457) as errors of ours. */
#include "nexus_client.h"
#include "nexus_json.h"

static int code_by_name(const char *name)
{
    static const struct {
        const char *name;
        int code;
    } rows[] = {
#define HM_X(name, code, http, fatal, title) {#name, (code)},
        HM_ERROR_TABLE(HM_X)
#undef HM_X
    };

    for (size_t i = 0; i < HM_COUNT_OF(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].code;
    return 0;
}

static int code_by_status(long status)
{
    switch (status) {
    case 400:
        return HM_EINVAL;
    case 401:
        return HM_EAUTH;
    case 403:
        return HM_EPERM;
    case 404:
        return HM_ENOTFOUND;
    case 409:
        return HM_ECONFLICT;
    case 413:
        return HM_ELIMIT;
    case 501:
        return HM_EUNSUPPORTED;
    case 503:
        return HM_EBUSY;
    default:
        return HM_EIO;
    }
}

int nexus_problem_read(long status, struct hm_slice body, struct hm_error *error)
{
    NEXUS_AUTOJSON json_t *problem = NULL;
    const char *detail, *title;
    int code;

    if (hm_json_parse(body, JSON_REJECT_DUPLICATES, &problem, NULL) == HM_ENOMEM)
        return hm_fail(error, HM_ENOMEM, "no memory to read why the node refused (HTTP status %ld)",
                       status);
    detail = nexus_json_text(problem, "detail");
    title = nexus_json_text(problem, "title");
    code = code_by_name(nexus_json_text(problem, "code"));
    if (code == 0)
        code = code_by_status(status);
    if (detail[0] == '\0')
        detail = title;
    if (detail[0] == '\0')
        return hm_fail(error, code, "the node answered with HTTP status %ld and no reason", status);
    return hm_fail(error, code, "%s", detail);
}
