// Runs a test body on every SIMD target that is compiled in and that this CPU has.
#pragma once

// clang-format off
#include "quant/simd_targets.h"
#include <hwy/highway.h>
// clang-format on

#include <cstdint>
#include <string>

namespace ggufmill {

// body(name of the target). Afterwards the best target is chosen again.
template <class Body>
void on_each_simd_target(Body body) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body(std::string(hwy::TargetName(target)));
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace ggufmill
