/* Validators and stake: what requests hold and answers say. */
#include "api_rows.h"

/* clang-format off */
#define PPM_ROW .name = "commission_ppm", .form = JSON_FORM_UINT
static const struct api_field declare[] = {
    {.name = "key", .form = JSON_FORM_HEX, MUST, .about = "Ed25519 public key with which the validator's engine signs: 64 digits."},
    {.name = "proof", .form = JSON_FORM_HEX, MUST, .about = "That key's signature of the chain and the operator: 128 digits."},
    {.name = "bond", .form = JSON_FORM_MONEY, MUST, .about = "HYPER that the operator delegates to itself."},
    {PPM_ROW, .about = "Of the rewards, before they are shared out, in parts per million; 0 when left out."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_declare = {.name = "ValidatorNew", ROWS(declare)};
static const struct api_field commission[] = {
    {PPM_ROW, MUST},
};
const struct api_fields api_body_commission = {.name = "CommissionNew", ROWS(commission)};
static const struct api_field delegate[] = {
    {.name = "amount", .form = JSON_FORM_MONEY, MUST},
    ACCOUNT_ROW,
};
const struct api_fields api_body_delegate = {.name = "DelegateNew", ROWS(delegate)};
static const struct api_field undelegate[] = {
    {.name = "amount", .form = JSON_FORM_MONEY, .about = "All when left out."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_undelegate = {.name = "UndelegateNew", ROWS(undelegate)};
static const struct api_field redelegate[] = {
    {.name = "to", .form = JSON_FORM_ACCOUNT, MUST, .about = "Operator of the other validator: name or id."},
    {.name = "amount", .form = JSON_FORM_MONEY, .about = "All when left out."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_redelegate = {.name = "RedelegateNew", ROWS(redelegate)};
const struct api_fields api_answer_validator = {.name = "Validator", MESSAGE(validator)};
LIST_OF_MESSAGES(validators, "ValidatorList", validator);
LIST_OF_MESSAGES(delegations, "DelegationList", delegation);
static const struct api_field stake[] = {
    {.name = "validator", .form = JSON_FORM_ACCOUNT, MUST},
    {.name = "stake", .form = JSON_FORM_MONEY, MUST, .about = "HYPER that it would bring now."},
    {.name = "leaving", .form = JSON_FORM_MONEY, MUST, .about = "HYPER that is not free yet."},
    {.name = "free_ms", .form = JSON_FORM_UINT, MUST, .about = "When the last of that is free, at the latest; 0: nothing leaves."},
    {.name = "rewards", .form = JSON_FORM_MONEY, MUST, .about = "CAES to be taken, without an operator's commission."},
};
static const struct api_fields stake_fields = {.name = "Stake", ROWS(stake)};
LIST_OF_FIELDS(stakes, "StakeList", stake_fields);
