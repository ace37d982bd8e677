// A loop over independent tasks on a few threads.
#pragma once

#include <cstddef>
#include <functional>

namespace ggufmill {

// Calls task(0) ... task(n - 1), each once, on up to `threads` threads (at least one). An exception stops the hand-out of further
// tasks; after all threads ended, that of the smallest index is thrown.
void parallel_for(size_t n, unsigned threads, const std::function<void(size_t)>& task);

}  // namespace ggufmill
