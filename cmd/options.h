// The option tree of the program: every command and flag, its help, and what runs it.
#pragma once

namespace ggufmill {

// Parses and runs a command line. Answers the exit code; throws Error, also kUsage for a line that cannot be parsed.
int run_program(int argc, char** argv);

}  // namespace ggufmill
