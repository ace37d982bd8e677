// quant_bench: speed and error of every codec on one core, beside ggml's encoder, run in turns in the same process. What
// `ggufmill types --measure` prints, with a choice of the SIMD target.
//   quant_bench --peer PATH/libggml-base.so [--types IQ3_S,Q3_K] [--data heavy] [--effort max] [--target AVX2]
// Per type and data set, without ("flat") and with importance ("imp."): our relative error and its ratio to ggml's (below 1: ours
// is smaller), our speed and its ratio to ggml's (above 1: ours is faster); the same for decoding. `-`: ggml cannot. Ends with
// the peak resident memory. The data: quant/measure/data_sets.h. Times are CPU times of one thread, medians.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cmd/measure.h"
#include "formats/error.h"
#include "quant/simd.h"

int main(int argc, char** argv) {
  using namespace ggufmill;
  MeasureOptionsText options;
  options.rows = 64;
  std::string target;
  CLI::App app("speed and error of every codec beside ggml's");
  add_measure_options(app, options);
  app.add_option("--target", target, "SIMD target")->check(CLI::IsMember(simd_targets()));
  CLI11_PARSE(app, argc, argv);
  if (!target.empty()) use_simd_target(target);
  try {
    measure_types(options, std::cout);
  } catch (const Error& error) {
    std::fprintf(stderr, "quant_bench: %s\n", error.what());
    return 1;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  if (!options.json && !options.markdown)
    std::printf("peak resident memory %.1f MiB\n", static_cast<double>(usage.ru_maxrss) / 1024);
  return 0;
}
