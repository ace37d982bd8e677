// quant_bench: speed and error of every codec on one core, beside ggml's encoder, run in turns in the same process.
//   quant_bench --peer PATH/libggml-base.so [--types IQ3_S,Q3_K] [--data heavy] [--effort max] [--target AVX2]
// Prints the SIMD target, and per type and data set
//   flat, weighted   without and with importance: our relative error and its ratio to ggml's (below 1: ours is smaller), our speed
//                    in million weights per second and its ratio to ggml's (above 1: ours is faster)
//   decode           million weights per second, and the ratio to ggml's
// and the peak resident memory. `-`: ggml cannot. The data: quant/measure/data_sets.h. Times are CPU times of one thread, medians.
// clang-format off
#include "quant/simd_targets.h"
#include <hwy/highway.h>
// clang-format on

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>

#include "formats/error.h"
#include "quant/measure/type_figures.h"

namespace ggufmill {
namespace {

struct Options {
  std::string peer, target, source;
  std::vector<std::string> types, data;
  size_t rows = 64, columns = 4096;
  int rounds = 5;
  Effort effort = Effort::kDefault;
  Objective objective = Objective::kImportance;
};

void choose_target(const std::string& name) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    if (name == hwy::TargetName(target)) {
      hwy::SetSupportedTargetsForTest(target);
      hwy::GetChosenTarget().Update(hwy::SupportedTargets());
      return;
    }
  }
  throw Error(Exit::kUsage, "--target: " + name + ": this CPU or build does not have it");
}

std::string chosen_target() {
  const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  return hwy::TargetName(targets & -targets);
}

std::string ratio(double value) {
  if (value == 0) return "-";
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.3f" : "%.1f", value);
  return text;
}

void print(const EncodeFigures& f) {
  std::printf(" | %8.5f %6s %8.1f %6s", f.error, ratio(f.error_ratio()).c_str(), f.weights_per_second / 1e6, ratio(f.speed_ratio).c_str());
}

void print(const Codec& codec, const std::string& data, const TypeFigures& f) {
  std::printf("%-8s %-9s", name(codec.type).data(), data.c_str());
  print(f.flat);
  print(f.weighted);
  const double decode = f.peer_decode_per_second > 0 ? f.decode_per_second / f.peer_decode_per_second : 0;
  std::printf(" | %7.0f %6s\n", f.decode_per_second / 1e6, ratio(decode).c_str());
  std::fflush(stdout);
}

struct Group {
  std::string name;
  std::vector<DataSet> sets;
};

std::vector<Group> data_groups(const Options& options) {
  constexpr uint64_t kSeed = 7;
  std::vector<Group> groups;
  const auto wanted = [&](const char* name) { return options.data.empty() || std::ranges::find(options.data, name) != options.data.end(); };
  if (wanted("gaussian")) groups.push_back({"gaussian", {gaussian_data(options.rows, options.columns, kSeed)}});
  if (wanted("heavy")) groups.push_back({"heavy", {heavy_data(options.rows, options.columns, kSeed)}});
  if (wanted("nvfp4")) groups.push_back({"nvfp4", {nvfp4_data(options.rows, options.columns, kSeed)}});
  if (!options.source.empty()) groups.push_back({"tensors", checkpoint_data(options.source, options.rows, kSeed)});
  return groups;
}

void run(const Options& options) {
  std::optional<GgmlPeer> peer;
  if (!options.peer.empty()) peer.emplace(options.peer);
  if (!options.target.empty()) choose_target(options.target);
  const std::vector<Group> groups = data_groups(options);
  std::printf("SIMD target %s\n", chosen_target().c_str());
  std::printf("%-8s %-9s | flat: error    x    Mw/s      x | imp.: error    x    Mw/s      x |  decode      x\n", "type", "data");
  const auto wanted = [&](const Codec& codec) {
    return options.types.empty() || std::ranges::any_of(options.types, [&](const std::string& t) { return find_ggml_type(t) == &info(codec.type); });
  };
  for (const Codec& codec : codecs()) {
    if (codec.encode == nullptr || !wanted(codec)) continue;
    for (const Group& group : groups) {
      print(codec, group.name,
            measure_type(codec, group.sets,
                         {.peer = peer ? &*peer : nullptr, .effort = options.effort, .objective = options.objective, .rounds = options.rounds}));
    }
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("peak resident memory %.1f MiB\n", static_cast<double>(usage.ru_maxrss) / 1024);
}

}  // namespace
}  // namespace ggufmill

int main(int argc, char** argv) {
  using namespace ggufmill;
  Options options;
  CLI::App app("speed and error of every codec beside ggml's");
  app.add_option("--peer", options.peer, "libggml-base.so of a llama.cpp build");
  app.add_option("--types", options.types, "types, separated by commas (all)")->delimiter(',');
  app.add_option("--data", options.data, "gaussian, heavy, nvfp4 (all)")->delimiter(',');
  app.add_option("--source", options.source, "a checkpoint whose matrices are measured too");
  app.add_option("--rows", options.rows, "rows of each data set, at most of each matrix")->check(CLI::PositiveNumber);
  app.add_option("--columns", options.columns, "a multiple of 256")->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds, "runs of each side; 0: errors alone");
  app.add_option("--target", options.target, "a SIMD target: AVX3, AVX2, SSE4, EMU128 ...");
  std::string effort = "default", objective = "importance";
  app.add_option("--effort", effort)->check(CLI::IsMember(effort_names()))->capture_default_str();
  app.add_option("--objective", objective)->check(CLI::IsMember(objective_names()))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  options.effort = *find_effort(effort);
  options.objective = *find_objective(objective);
  try {
    run(options);
  } catch (const Error& error) {
    std::fprintf(stderr, "quant_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
