#include "verify/error_bounds.h"

#include <algorithm>
#include <cassert>

#include "quant/codecs.h"

namespace ggufmill {

double largest_relative_rmse(GgmlType type) {
  const Codec* codec = find_codec(type);
  assert(codec != nullptr && "only what can be decoded is compared");
  return codec->lossless_container ? 0 : std::min(0.95, static_cast<double>(codec->largest_error()));  // zeros have 1
}

}  // namespace ggufmill
