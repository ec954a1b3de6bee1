#include "ledger_rule.h"

#include <stdio.h>

#include "ledger.h"

static const struct ledger_rule_info rules[] = {
#define LEDGER_X(symbol, name, code, says) {name, code, says},
    LEDGER_RULE_TABLE(LEDGER_X)
#undef LEDGER_X
};
_Static_assert(HM_COUNT_OF(rules) == LEDGER_RULE_COUNT, "a rule has no row");
#define LEDGER_X(symbol, name, code, says) \
    _Static_assert(sizeof(name) <= LEDGER_RULE_NAME_MAX_BYTES, "a rule's name is too long");
LEDGER_RULE_TABLE(LEDGER_X)
#undef LEDGER_X

#define RULE_OPEN  " (rule "
#define RULE_CLOSE ")"
#define SENTENCE_MAX_BYTES                                                            \
    (HM_ERROR_TEXT_BYTES - LEDGER_REFUSAL_PREFIX_BYTES - LEDGER_RULE_NAME_MAX_BYTES - \
     sizeof RULE_OPEN - sizeof RULE_CLOSE)

const struct ledger_rule_info *ledger_rule_list(size_t *count)
{
    *count = HM_COUNT_OF(rules);
    return rules;
}

int ledger_refuse(struct hm_error *error, enum ledger_rule rule, const char *format, ...)
{
    char sentence[SENTENCE_MAX_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return hm_fail(error, rules[rule].code, "%s" RULE_OPEN "%s" RULE_CLOSE, sentence,
                   rules[rule].name);
}

int ledger_refuse_as(struct hm_error *error, enum ledger_rule rule, int code)
{
    char sentence[SENTENCE_MAX_BYTES];

    if (!error || code == 0 || hm_error_is_fatal(code))
        return code;
    memcpy(sentence, error->text, sizeof sentence - 1);
    sentence[sizeof sentence - 1] = '\0';
    return hm_fail(error, code, "%s" RULE_OPEN "%s" RULE_CLOSE, sentence, rules[rule].name);
}

const char *ledger_rule_in(const char *sentence)
{
    size_t len = strlen(sentence);

    for (size_t i = 0; i < HM_COUNT_OF(rules); i++) {
        size_t name = strlen(rules[i].name);
        size_t whole = name + strlen(RULE_OPEN RULE_CLOSE);
        const char *at = sentence + len - whole;

        if (len >= whole && memcmp(at, RULE_OPEN, strlen(RULE_OPEN)) == 0 &&
            memcmp(at + strlen(RULE_OPEN), rules[i].name, name) == 0 && sentence[len - 1] == ')')
            return rules[i].name;
    }
    return "";
}
