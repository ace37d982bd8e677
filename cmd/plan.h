// `ggufmill plan`.
#pragma once

#include "cmd/job.h"

namespace ggufmill {

// Prints what convert would do. Answers the exit code; throws Error.
int run_plan_command(const JobOptions& options);

}  // namespace ggufmill
