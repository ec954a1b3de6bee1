/* What many rows of the tables are made of; for api_tables_*.c alone. */
#ifndef HM_API_ROWS_H
#define HM_API_ROWS_H

#include "api_tables.h"

#define ROWS(table)   .rows = (table), .count = HM_COUNT_OF(table)
#define MESSAGE(name) .message = &hypermesh__##name##__descriptor
#define MUST          .flags = API_REQUIRED
#define MUST_NULL     .flags = API_REQUIRED | API_NULLABLE
#define MUST_LIST     .flags = API_REQUIRED | API_LIST
/* clang-format off */
#define ACCOUNT_ROW {.name = "account", .form = JSON_FORM_ACCOUNT, .about = "Who acts: a name of the node's keystore, or an id whose key it has."}
#define NEXT_ROW    {.name = "next", .form = JSON_FORM_TEXT, MUST_NULL, .about = "Cursor for ?after=, or null: there is no more."}
#define RECEIPT_ROW {.name = "receipt", .form = JSON_FORM_OBJECT, MUST, .fields = &api_answer_receipt}
#define PAGE_ROWS \
    {.name = "after", .form = JSON_FORM_TEXT, .about = "The next of the page before."}, \
    {.name = "limit", .form = JSON_FORM_UINT, .about = "At most this many items, 1 to 1000; 100 when left out."}
/* clang-format on */

/* A list as an answer: api_answer_LIST. */
#define LIST_OF_FIELDS(list, schema, of)                                                    \
    static const struct api_field list[] = {                                                \
        {.name = "items", .form = JSON_FORM_OBJECT, MUST_LIST, .fields = &(of)}, NEXT_ROW}; \
    const struct api_fields api_answer_##list = {.name = (schema), ROWS(list)}
#define LIST_OF_MESSAGES(list, schema, of)                                              \
    static const struct api_field list[] = {                                            \
        {.name = "items", .form = JSON_FORM_OBJECT, MUST_LIST, MESSAGE(of)}, NEXT_ROW}; \
    const struct api_fields api_answer_##list = {.name = (schema), ROWS(list)}

#endif
