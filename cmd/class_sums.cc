#include "cmd/class_sums.h"

namespace ggufmill {

std::string ClassSum::type_names() const {
  std::string out;
  for (const auto& [type, bytes] : type_bytes) out += (out.empty() ? "" : " ") + std::string(name(type));
  return out;
}

std::map<TensorClass, ClassSum> class_sums(const Plan& plan) {
  std::map<TensorClass, ClassSum> sums;
  for (const PlannedTensor& t : plan.tensors) {
    ClassSum& sum = sums[t.tensor_class];
    ++sum.tensors;
    sum.elems += t.elems();
    sum.bytes += t.extent.bytes;
    sum.type_bytes[t.type] += t.extent.bytes;
  }
  return sums;
}

double bits_per_weight(uint64_t bytes, uint64_t elems) {
  return elems == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(elems);
}

}  // namespace ggufmill
