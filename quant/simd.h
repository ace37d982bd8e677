// The SIMD target that the encoders and decoders of this process use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ggufmill {

// "AVX3", "AVX2", "SSE4", "NEON", "EMU128" ...
std::string simd_target();
// Those that are compiled in and that this CPU has, the best first.
std::vector<std::string> simd_targets();
// For tests and benches: uses `name` from now on. False where it is none of simd_targets(). Not thread-safe.
bool use_simd_target(std::string_view name);

}  // namespace ggufmill
