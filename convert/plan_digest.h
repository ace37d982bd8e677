// The digest of a plan: what a journal belongs to. It covers the header bytes, the resolved decisions (not the recipe's text: a
// changed comment changes nothing), the sources' names, sizes and header hashes, the importance matrix's hash, and
// kEncodingVersion.
#pragma once

#include "convert/plan.h"

namespace ggufmill {

// Fills plan.digest_parts, plan.digest and plan.recipe_hash from the rest of the plan.
void add_digest(Plan& plan);

}  // namespace ggufmill
