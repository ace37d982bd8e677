// How long a plan's encoding takes here: each type's encoder is timed on a small sample on this machine, now.
#pragma once

#include "convert/plan.h"

namespace ggufmill {

// CPU seconds of encoding for the whole plan on one core. Takes well under a second.
double estimate_encode_seconds(const Plan& plan);

}  // namespace ggufmill
