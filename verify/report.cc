#include "verify/report.h"

namespace ggufmill {

void Report::error(const std::string& file, const Error& error) {
  if (error.code() != Exit::kBadInput) throw error;
  std::string message = error.message(), tensor;
  const std::string prefix = printable(file) + ": ";
  if (message.starts_with(prefix)) message.erase(0, prefix.size());
  constexpr std::string_view kTensor = "tensor \"", kEnd = "\": ";
  if (message.starts_with(kTensor)) {
    if (const size_t end = message.find(kEnd); end != std::string::npos) {
      tensor = message.substr(kTensor.size(), end - kTensor.size());
      message.erase(0, end + kEnd.size());
    }
  }
  this->error(file, tensor, message);
}

}  // namespace ggufmill
