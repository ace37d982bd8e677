// What a plan has of each tensor class: the rows of the tables that plan and convert print.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "convert/plan.h"

namespace ggufmill {

struct ClassSum {
  uint64_t tensors = 0, elems = 0, bytes = 0;
  std::map<GgmlType, uint64_t> type_bytes;
  std::string type_names() const;  // "IQ3_XXS IQ3_S", by type number
};
std::map<TensorClass, ClassSum> class_sums(const Plan& plan);

// 0 where there are no weights.
double bits_per_weight(uint64_t bytes, uint64_t elems);

}  // namespace ggufmill
