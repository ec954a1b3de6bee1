/* Join tickets: what requests hold and answers say. */
#include "api_rows.h"

/* clang-format off */
static const struct api_field ticket_new[] = {
    {.name = "expires", .form = JSON_FORM_DURATION, .about = "How long it is good; an hour when left out, 12 at most."},
    {.name = "role", .form = JSON_FORM_TEXT, .about = "What the newcomer is to be: full (follows the others) when left out, or validator."},
    {.name = "addresses", .form = JSON_FORM_TEXT, .flags = API_LIST, .about = "ADDRESS:PORT where it reaches this node's door, up to 8; when left out where the door listens."},
    {.name = "fund", .form = JSON_FORM_BOOL, .about = "This node's user pays the newcomer's accounts 11000 HYPER when it has come."},
    {.name = "bond", .form = JSON_FORM_MONEY, .about = "And so much HYPER more for a validator's bond."},
};
const struct api_fields api_body_ticket = {.name = "JoinTicketNew", ROWS(ticket_new)};

#define ISSUED_ROWS \
    {.name = "id", .form = JSON_FORM_HEX, MUST}, \
    {.name = "role", .form = JSON_FORM_TEXT, MUST, .about = "full or validator"}, \
    {.name = "funded", .form = JSON_FORM_BOOL, MUST}, \
    {.name = "bond", .form = JSON_FORM_MONEY, MUST}, \
    {.name = "issued_ms", .form = JSON_FORM_UINT, MUST}, \
    {.name = "expires_ms", .form = JSON_FORM_UINT, MUST}, \
    {.name = "revoked", .form = JSON_FORM_BOOL, MUST}, \
    {.name = "used_by", .form = JSON_FORM_TEXT, MUST_NULL, .about = "Id of the engine node that joined with it; null: not used."}, \
    {.name = "used_ms", .form = JSON_FORM_UINT, MUST, .about = "0: not used."}
static const struct api_field issued[] = {ISSUED_ROWS};
static const struct api_fields issued_fields = {.name = "JoinTicketIssued", ROWS(issued)};
LIST_OF_FIELDS(tickets, "JoinTicketList", issued_fields);
static const struct api_field ticket[] = {
    ISSUED_ROWS,
    {.name = "ticket", .form = JSON_FORM_TEXT, MUST, .about = "What the newcomer is handed; a secret until it is used, and not shown again."},
    {.name = "addresses", .form = JSON_FORM_TEXT, MUST_LIST},
};
const struct api_fields api_answer_ticket = {.name = "JoinTicket", ROWS(ticket)};
/* clang-format on */
