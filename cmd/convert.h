// `ggufmill convert`.
#pragma once

#include <string>

#include "cmd/job.h"

namespace ggufmill {

// `command_line` is what resumes the run: printed when a signal stops it. Answers the exit code; throws Error.
int run_convert(const JobOptions& options, const std::string& command_line, const std::string& version);

}  // namespace ggufmill
