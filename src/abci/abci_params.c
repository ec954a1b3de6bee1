/* The engine's rules for consensus parameters (CometBFT v0.38, types/params.go: ValidateBasic), as far as the changed ones
 * show; a part that is absent stays as it is. */
#include "abci_private.h"

static bool key_type_known(const char *type)
{
    return type != NULL && (strcmp(type, "ed25519") == 0 || strcmp(type, "secp256k1") == 0);
}

static int block_check(const Hypermesh__Abci__BlockParams *block, struct hm_error *error)
{
    if (block->max_bytes == 0 || block->max_bytes < -1 || block->max_bytes > ABCI_BLOCK_MAX_BYTES)
        return hm_fail(error, HM_EINTERNAL, "block.max_bytes %lld, must be -1 or 1 to %lld",
                       (long long)block->max_bytes, (long long)ABCI_BLOCK_MAX_BYTES);
    if (block->max_gas < -1)
        return hm_fail(error, HM_EINTERNAL, "block.max_gas %lld, must be -1 or more",
                       (long long)block->max_gas);
    return 0;
}

static int evidence_check(const Hypermesh__Abci__EvidenceParams *evidence,
                          const Hypermesh__Abci__BlockParams *block, struct hm_error *error)
{
    const Hypermesh__Abci__Duration *age = evidence->max_age_duration;
    int64_t limit = block != NULL && block->max_bytes > 0 ? block->max_bytes : ABCI_BLOCK_MAX_BYTES;

    if (evidence->max_age_num_blocks <= 0)
        return hm_fail(error, HM_EINTERNAL, "evidence.max_age_num_blocks %lld, must be over 0",
                       (long long)evidence->max_age_num_blocks);
    if (age == NULL || age->seconds < 0 || age->nanos < 0 || (age->seconds == 0 && age->nanos == 0))
        return hm_fail(error, HM_EINTERNAL, "evidence.max_age_duration must be over 0");
    if (evidence->max_bytes < 0 || evidence->max_bytes > limit)
        return hm_fail(error, HM_EINTERNAL, "evidence.max_bytes %lld, must be 0 to %lld",
                       (long long)evidence->max_bytes, (long long)limit);
    return 0;
}

int abci_params_check(const Hypermesh__Abci__ConsensusParams *params, struct hm_error *error)
{
    int rc = 0;

    if (params == NULL)
        return 0;
    if (params->block != NULL)
        rc = block_check(params->block, error);
    if (rc == 0 && params->evidence != NULL)
        rc = evidence_check(params->evidence, params->block, error);
    if (rc)
        return rc;
    if (params->validator != NULL) {
        const Hypermesh__Abci__ValidatorParams *validator = params->validator;

        if (validator->n_pub_key_types == 0)
            return hm_fail(error, HM_EINTERNAL, "validator.pub_key_types is empty");
        for (size_t i = 0; i < validator->n_pub_key_types; i++)
            if (!key_type_known(validator->pub_key_types[i]))
                return hm_fail(error, HM_EINTERNAL,
                               "validator.pub_key_types holds a type the engine does not know");
    }
    if (params->abci != NULL && params->abci->vote_extensions_enable_height < 0)
        return hm_fail(error, HM_EINTERNAL, "abci.vote_extensions_enable_height %lld is negative",
                       (long long)params->abci->vote_extensions_enable_height);
    return 0;
}
