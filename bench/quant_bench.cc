// quant_bench: speed and error of every codec on one core. Prints the SIMD target that was chosen, and per type
//   encode     million weights per second, flat and with importance
//   x scalar   the flat speed over that of the same search on Highway's scalar target, measured in the same run
//   decode     million weights per second
//   error      relative RMSE: flat, unweighted; with importance, weighted by it
// and the peak resident memory. Usage: quant_bench [TYPE ...]. The data: Student's t with 5 degrees of freedom, rows and columns
// of varying size, 0.02 % outliers of 6 times, rounded to BF16; importance lognormal, 0.5 % of the columns 50 times.
// clang-format off
#include "quant/simd_targets.h"
#include <hwy/highway.h>
// clang-format on

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <string_view>
#include <vector>

#include "quant/codecs.h"
#include "quant/f16.h"

namespace ggufmill {
namespace {

constexpr size_t kRows = 64;
constexpr size_t kColumns = 4096;

struct Data {
  std::vector<float> values, importance;
};

Data make_data() {
  std::mt19937_64 random(7);
  std::student_t_distribution<double> student(5);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  std::vector<double> column(kColumns);
  Data data{std::vector<float>(kRows * kColumns), std::vector<float>(kColumns)};
  for (double& c : column) c = std::exp(0.3 * normal(random));
  for (float& w : data.importance) w = static_cast<float>(std::exp(normal(random)) * (uniform(random) < 0.005 ? 50 : 1));
  for (size_t r = 0; r < kRows; ++r) {
    const double size = 0.02 * std::exp(0.3 * normal(random)) / std::sqrt(5.0 / 3.0);
    for (size_t c = 0; c < kColumns; ++c) {
      const double x = size * column[c] * student(random) * (uniform(random) < 0.0002 ? 6 : 1);
      data.values[r * kColumns + c] = bf16_to_f32(f32_to_bf16(static_cast<float>(x)));
    }
  }
  return data;
}

// The best of three runs over all rows, in million weights per second.
template <class Run>
double speed(Run run) {
  double best = 0;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t r = 0; r < kRows; ++r) run(r);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, kRows * kColumns / seconds / 1e6);
  }
  return best;
}

double relative_error(const Data& data, const std::vector<float>& decoded, bool weighted) {
  double error = 0, value = 0;
  for (size_t i = 0; i < decoded.size(); ++i) {
    const double w = weighted ? data.importance[i % kColumns] : 1.0;
    const double x = data.values[i], d = decoded[i] - x;
    error += w * d * d;
    value += w * x * x;
  }
  return std::sqrt(error / value);
}

void choose_targets(int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

void measure(const Codec& codec, const Data& data) {
  const GgmlTypeInfo& type = info(codec.type);
  const size_t row_bytes = kColumns / type.block_elems * type.block_bytes;
  std::vector<std::byte> blocks(kRows * row_bytes);
  std::vector<float> decoded(data.values.size());
  const auto encode = [&](std::span<const float> importance) {
    return speed([&](size_t r) {
      codec.encode(std::span(data.values).subspan(r * kColumns, kColumns), importance,
                   std::span(blocks).subspan(r * row_bytes, row_bytes));
    });
  };
  const auto decode = [&] {
    return speed([&](size_t r) {
      codec.decode(std::span<const std::byte>(blocks).subspan(r * row_bytes, row_bytes),
                   std::span(decoded).subspan(r * kColumns, kColumns));
    });
  };
  choose_targets(HWY_STATIC_TARGET);
  const double scalar = encode({});
  choose_targets(0);
  const double flat = encode({});
  const double decode_speed = decode();
  const double flat_error = relative_error(data, decoded, false);
  const double weighted = encode(data.importance);
  decode();
  std::printf("%-8s %9.1f %9.1f %9.1f %10.0f %10.5f %10.5f\n", type.name.data(), flat, weighted, flat / scalar, decode_speed,
              flat_error, relative_error(data, decoded, true));
}

}  // namespace
}  // namespace ggufmill

int main(int argc, char** argv) {
  using namespace ggufmill;
  const Data data = make_data();
  choose_targets(0);
  const int64_t best = hwy::SupportedTargets() & HWY_TARGETS;
  std::printf("SIMD target %s, reference %s\n", hwy::TargetName(best & -best), hwy::TargetName(HWY_STATIC_TARGET));
  std::printf("%-8s %9s %9s %9s %10s %10s %10s\n", "type", "flat", "importance", "x scalar", "decode", "error", "weighted");
  for (const Codec& codec : codecs()) {
    const auto named = [&](const char* argument) { return find_ggml_type(std::string_view(argument)) == &info(codec.type); };
    if (argc == 1 || std::any_of(argv + 1, argv + argc, named)) measure(codec, data);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("peak resident memory %.1f MiB\n", static_cast<double>(usage.ru_maxrss) / 1024);
  return 0;
}
