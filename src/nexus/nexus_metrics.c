#include "nexus_metrics.h"

#include <stdlib.h>

static int take(void *ctx, const uint8_t *data, size_t len, struct hm_error *error)
{
    struct hm_buf *out = ctx;

    if (out->len + len > NEXUS_METRICS_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the node's metrics are longer than %zu MiB",
                       NEXUS_METRICS_MAX_BYTES >> 20);
    return hm_buf_append(out, data, len) ? hm_fail(error, HM_ENOMEM, "out of memory") : 0;
}

int nexus_metrics_get(struct nexus_call *call, struct hm_buf *out)
{
    struct nexus_request request = {.method = "GET",
                                    .path = "/metrics",
                                    .take = take,
                                    .timeout_ms = NEXUS_CONNECT_TIMEOUT_MS,
                                    .wake_fd = -1,
                                    .ctx = out};
    int rc = nexus_connect(call);

    return rc ? rc : nexus_client_send(call->client, &request, NULL, &call->error);
}

double nexus_metric_sum(const char *text, const char *name)
{
    size_t len = strlen(name);
    double sum = 0;

    for (const char *line = text; line && *line;) {
        const char *end = strchr(line, '\n');

        if (strncmp(line, name, len) == 0 && (line[len] == ' ' || line[len] == '{')) {
            /* A label's value may hold "}" inside quotes; the sample is behind the last brace. */
            const char *from = line + len;

            if (*from == '{')
                for (const char *at = from; at != end && *at; at++)
                    if (*at == '}')
                        from = at + 1;
            sum += strtod(from, NULL);
        }
        line = end ? end + 1 : NULL;
    }
    return sum;
}
