// SIGINT and SIGTERM: the first asks for a clean stop, a second SIGINT ends at once.
#pragma once

#include <atomic>

namespace ggufmill {

// Sets the handlers; SIGXFSZ is ignored, so that a file size limit is an error and not a death.
void watch_signals();
const std::atomic<bool>& stop_requested();
// Ends the process by the signal that asked for the stop, so that a shell sees 130 or 143.
[[noreturn]] void raise_again();

}  // namespace ggufmill
