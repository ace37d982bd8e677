// sources: the speed of decoding and repacking published quantized forms (quant/source_codes.h, quant/repack.h), beside memcpy of
// the same bytes in the same run.
//   sources [--values 33554432] [--rounds 15] [--target AVX2] [--json]
// Per scheme: GB/s of the source (codes and scales), the time of a memcpy of those bytes over ours, values per second, and the
// time of a memcpy of the f32 values over ours (1 is a decoder's limit: the values have to be written). Scales are decoded along
// with the codes. BF16 is decoded by its codec, for reference. Repacking: its output in GB/s and the time of a memcpy of the
// output over ours. Twice: on 32 Ki values, again and again ("cache"), which is how the converter's tiles see their rows, and on
// buffers beyond the caches ("memory"). CPU times of one thread; in each round all run in turns; medians over the rounds. Ends
// with the SIMD target and the peak resident memory.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "quant/codecs.h"
#include "quant/repack.h"
#include "quant/simd.h"
#include "quant/source_codes.h"

namespace {

using namespace ggufmill;

constexpr size_t kRowElems = 8192;
constexpr size_t kCacheElems = 32 << 10;

// group_elems 0: the row; per_tensor: one scale for all rows.
struct Scheme {
  const char* name;
  SourceCodes codes;
  SourceScales scales;
  uint32_t group_elems;
  bool per_tensor;
  float tensor_scale;
};
constexpr Scheme kSchemes[] = {
    {"NVFP4", SourceCodes::kE2M1, SourceScales::kE4M3, 16, false, 0.00037f},
    {"MXFP4", SourceCodes::kE2M1, SourceScales::kE8M0, 32, false, 1},
    {"INT4 /32", SourceCodes::kInt4, SourceScales::kBF16, 32, false, 1},
    {"FP8 per tensor", SourceCodes::kE4M3, SourceScales::kF32, 0, true, 1},
    {"FP8 per channel", SourceCodes::kE4M3, SourceScales::kF32, 0, false, 1},
    {"FP8 block 128", SourceCodes::kE4M3, SourceScales::kF32, 128, false, 1},
    {"MXFP8", SourceCodes::kE4M3, SourceScales::kE8M0, 32, false, 1},
    {"FP8 E5M2", SourceCodes::kE5M2, SourceScales::kF32, 0, true, 1},
};

std::vector<std::byte> random_bytes(size_t count, uint64_t seed, unsigned below) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>((random() >> 40) % below);
  return bytes;
}

// FP8 codes as weights have them, all magnitudes up to `largest`; no NaN.
std::vector<std::byte> random_codes(SourceCodes codes, size_t count) {
  if (info(codes).bits == 4) return random_bytes(count / 2, 1, 256);
  std::vector<std::byte> bytes = random_bytes(count, 1, 256);
  for (std::byte& byte : bytes) byte = (byte & std::byte{0x7F}) > std::byte{0x7B} ? std::byte{0x11} : byte;
  return bytes;
}

std::vector<std::byte> random_scales(SourceScales kind, size_t count) {
  if (kind == SourceScales::kE4M3) return random_bytes(count, 2, 0x7F);
  if (kind == SourceScales::kE8M0) {
    std::vector<std::byte> bytes = random_bytes(count, 2, 16);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(std::to_integer<unsigned>(byte) + 110);
    return bytes;
  }
  std::vector<std::byte> bytes(count * scale_bytes(kind));
  const float scale = 0.0123f;
  const auto* upper = reinterpret_cast<const std::byte*>(&scale) + 4 - scale_bytes(kind);  // of BF16 the upper half
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = upper[i % scale_bytes(kind)];
  return bytes;
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// What is measured: a piece of work on `values` values, run `repeats` times a round.
struct Work {
  std::function<void()> run;
  std::vector<double> seconds = {};

  double median() {
    std::nth_element(seconds.begin(), seconds.begin() + static_cast<ptrdiff_t>(seconds.size() / 2), seconds.end());
    return seconds[seconds.size() / 2];
  }
};

struct Line {
  std::string name;
  size_t values, bytes;  // bytes of the form
  bool decodes;
  Work ours, copy_bytes, copy_values;
};

Work copy_of(const std::vector<std::byte>& from, std::vector<std::byte>& to, size_t bytes) {
  return {[&from, &to, bytes] {
    std::memcpy(to.data(), from.data(), bytes);
    asm volatile("" ::: "memory");
  }};
}

// The buffers that all lines share; `values` f32 each.
struct Buffers {
  explicit Buffers(size_t values) : decoded(values), from(4 * values, std::byte{1}), to(4 * values, std::byte{2}) {}
  std::vector<float> decoded;
  std::vector<std::byte> from, to;
};

Line decode_line(const Scheme& scheme, size_t count, Buffers& buffers) {
  const uint32_t group = scheme.group_elems != 0 ? scheme.group_elems : kRowElems;
  const size_t per_row = kRowElems / group, row_bytes = kRowElems * info(scheme.codes).bits / 8;
  auto codes = std::make_shared<std::vector<std::byte>>(random_codes(scheme.codes, count));
  auto scales = std::make_shared<std::vector<std::byte>>(random_scales(scheme.scales, count / group));
  const auto decode = [=, &buffers] {
    float decoded_scales[kRowElems / 16];
    const size_t bytes = per_row * scale_bytes(scheme.scales);
    for (size_t r = 0; r < count / kRowElems; ++r) {
      decode_scales(scheme.scales, std::span(*scales).subspan(scheme.per_tensor ? 0 : r * bytes, bytes),
                    std::span(decoded_scales).first(per_row));
      decode_codes(scheme.codes, std::span(*codes).subspan(r * row_bytes, row_bytes), std::span(decoded_scales).first(per_row),
                   group, scheme.tensor_scale, std::span(buffers.decoded).subspan(r * kRowElems, kRowElems));
    }
  };
  const size_t bytes = codes->size() + scales->size();
  return {scheme.name,
          count,
          bytes,
          true,
          {decode},
          copy_of(buffers.from, buffers.to, bytes),
          copy_of(buffers.from, buffers.to, 4 * count)};
}

Line bf16_line(size_t count, Buffers& buffers) {
  auto bytes = std::make_shared<std::vector<std::byte>>(random_scales(SourceScales::kBF16, count));
  const Codec& codec = *find_codec(GgmlType::BF16);
  const auto decode = [=, &buffers, &codec] { codec.decode(*bytes, std::span(buffers.decoded).first(count)); };
  return {"BF16",
          count,
          2 * count,
          true,
          {decode},
          copy_of(buffers.from, buffers.to, 2 * count),
          copy_of(buffers.from, buffers.to, 4 * count)};
}

using RepackFn = void (*)(std::span<const std::byte>, std::span<const std::byte>, std::span<std::byte>) noexcept;

Line repack_line(const char* name, GgmlType type, SourceScales kind, size_t group, RepackFn repack, size_t count,
                 Buffers& buffers) {
  auto codes = std::make_shared<std::vector<std::byte>>(random_codes(SourceCodes::kE2M1, count));
  auto scales = std::make_shared<std::vector<std::byte>>(random_scales(kind, count / group));
  const size_t bytes = count / info(type).block_elems * info(type).block_bytes;
  auto blocks = std::make_shared<std::vector<std::byte>>(bytes);
  const auto run = [=] { repack(*codes, *scales, *blocks); };
  return {name, count, bytes, false, {run}, copy_of(buffers.from, buffers.to, bytes), {}};
}

std::vector<Line> all_lines(size_t count, Buffers& buffers) {
  std::vector<Line> lines;
  for (const Scheme& scheme : kSchemes) lines.push_back(decode_line(scheme, count, buffers));
  lines.push_back(bf16_line(count, buffers));
  lines.push_back(repack_line("repack NVFP4", GgmlType::NVFP4, SourceScales::kE4M3, 16, repack_nvfp4, count, buffers));
  lines.push_back(repack_line("repack MXFP4", GgmlType::MXFP4, SourceScales::kE8M0, 32, repack_mxfp4, count, buffers));
  return lines;
}

void measure(std::vector<Line>& lines, int rounds, size_t repeats) {
  for (int round = -1; round < rounds; ++round) {  // the first one warms up
    for (Line& line : lines) {
      for (Work* work : {&line.ours, &line.copy_bytes, &line.copy_values}) {
        if (!work->run) continue;
        const double start = cpu_seconds();
        for (size_t i = 0; i < repeats; ++i) work->run();
        if (round >= 0) work->seconds.push_back((cpu_seconds() - start) / static_cast<double>(repeats));
      }
    }
  }
}

nlohmann::ordered_json figures(std::vector<Line>& lines) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (Line& line : lines) {
    const double seconds = line.ours.median();
    nlohmann::ordered_json row = {{"name", line.name},
                                  {"gb_per_second", static_cast<double>(line.bytes) / seconds / 1e9},
                                  {"to_memcpy_of_source", line.copy_bytes.median() / seconds},
                                  {"values_per_second", static_cast<double>(line.values) / seconds}};
    if (line.decodes) row["to_memcpy_of_values"] = line.copy_values.median() / seconds;
    rows.push_back(row);
  }
  return rows;
}

void print(const char* title, const nlohmann::ordered_json& rows) {
  std::printf("%-18s %9s %10s %12s %12s\n", title, "GB/s", "/ memcpy", "10^9 val/s", "/ memcpy f32");
  for (const auto& row : rows) {
    std::printf("  %-16s %9.2f %10.2f %12.2f", row["name"].get<std::string>().c_str(), row["gb_per_second"].get<double>(),
                row["to_memcpy_of_source"].get<double>(), row["values_per_second"].get<double>() / 1e9);
    if (row.contains("to_memcpy_of_values")) std::printf(" %12.2f", row["to_memcpy_of_values"].get<double>());
    std::printf("\n");
  }
}

nlohmann::ordered_json measure_all(size_t count, int rounds, size_t repeats) {
  Buffers buffers(count);
  std::vector<Line> lines = all_lines(count, buffers);
  measure(lines, rounds, repeats);
  return figures(lines);
}

}  // namespace

int main(int argc, char** argv) {
  size_t values = 32 << 20;
  int rounds = 15;
  std::string target;
  bool json = false;
  CLI::App app("speed of decoding and repacking published quantized forms beside memcpy");
  app.add_option("--values", values, "values of the buffers beyond the caches; made a multiple of the row of 8192")
      ->check(CLI::Range(kRowElems, size_t{1} << 32))
      ->capture_default_str();
  app.add_option("--rounds", rounds, "rounds whose median counts")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--target", target, "SIMD target")->check(CLI::IsMember(simd_targets()));
  app.add_flag("--json", json, "figures as one JSON object");
  CLI11_PARSE(app, argc, argv);
  if (!target.empty()) use_simd_target(target);

  const nlohmann::ordered_json cache = measure_all(kCacheElems, rounds, 200);
  const nlohmann::ordered_json memory = measure_all(values / kRowElems * kRowElems, rounds, 1);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const std::string used = target.empty() ? simd_target() : target;
  if (json) {
    std::printf(
        "%s\n",
        nlohmann::ordered_json(
            {{"simd_target", used}, {"peak_resident_bytes", usage.ru_maxrss * 1024}, {"cache", cache}, {"memory", memory}})
            .dump(2)
            .c_str());
    return 0;
  }
  print("cache", cache);
  print("memory", memory);
  std::printf("SIMD target %s, peak resident memory %.1f MiB\n", used.c_str(), static_cast<double>(usage.ru_maxrss) / 1024);
  return 0;
}
