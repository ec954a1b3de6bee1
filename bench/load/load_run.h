/* The closed loop: each client sends a request, waits for the answer, sends the next. */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "load_conn.h"
#include "load_hist.h"
#include "load_text.h"

#define LOAD_CLIENTS_MAX 20000
#define LOAD_THREADS_MAX 16
/* A run with more refused or broken requests than this stops: its numbers would mean nothing. */
#define LOAD_ERRORS_MAX 1000

struct load_plan {
    struct load_address address;
    const char *method;
    struct load_text path;
    struct load_text body;
    bool has_body;
    struct hm_slice headers; /* whole lines, each ended by CR LF */
    struct load_lines lines;
    size_t clients;
    size_t threads;
    uint64_t range;
    uint64_t first_n;
    uint64_t requests; /* stop after as many; 0: after seconds */
    double warmup_s;
    double seconds;
};

struct load_result {
    struct load_hist hist;
    double seconds; /* of the counted part */
    uint64_t answered; /* with those not counted: before and after the counted part, and refusals */
    uint64_t errors;
    uint64_t reopened; /* connections that the server closed and the client opened again */
    uint64_t bytes_in;
    char first_error[LOAD_BODY_KEPT + 64];
};

/* Appends request number n of a client. */
int load_request_write(const struct load_plan *plan, const struct load_values *values,
                       struct hm_buf *out, struct hm_error *error);
/* result->hist.total and seconds say the rate. HM_EIO when the server cannot be talked to. */
int load_run(const struct load_plan *plan, struct load_result *result, struct hm_error *error);

#endif
