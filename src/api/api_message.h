/* Any message of proto/ as JSON: field names of the schema, money as decimal text, ids in their
 * text form, other bytes as hexadecimal, enums by name. Which field is which stands in one
 * table, api_message.c. */
#ifndef HM_API_MESSAGE_H
#define HM_API_MESSAGE_H

#include "api_field.h"

/* {"field": ...}; an Operation is {"op": "allocate", ...its fields}. */
void api_message_json(struct api_json *json, const ProtobufCMessage *message);
/* The fields alone, inside an object that is already open. NULL: nothing. `without` may be NULL. */
void api_message_put(struct api_json *json, const ProtobufCMessage *message, const char *without);
/* How a field is shown: API_TEXT for enums and text. Repeated fields have the form of their
 * element. */
enum api_form api_message_form(const ProtobufCMessageDescriptor *message,
                               const ProtobufCFieldDescriptor *field);
/* Name of an enum's value, as shown. */
const char *api_enum_name(const ProtobufCEnumDescriptor *descriptor, int value);

#endif
