#include "verify/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace ggufmill {

void parallel_for(size_t n, unsigned threads, const std::function<void(size_t)>& task) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr first;
  size_t first_index = n;
  const auto work = [&] {
    for (size_t i = next++; i < n; i = next++) {
      try {
        task(i);
      } catch (...) {
        next = n;
        const std::scoped_lock lock(mutex);
        if (i < first_index) {
          first_index = i;
          first = std::current_exception();
        }
      }
    }
  };
  {
    std::vector<std::jthread> pool;
    for (size_t t = 1; t < std::min<size_t>(threads, n); ++t) pool.emplace_back(work);
    work();
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace ggufmill
