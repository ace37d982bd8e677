#include "cmd/convert.h"

#include <cmath>
#include <iostream>
#include <map>
#include <memory>

#include "cmd/class_sums.h"
#include "cmd/progress_json.h"
#include "cmd/progress_text.h"
#include "cmd/signals.h"
#include "cmd/sizes.h"
#include "cmd/text_table.h"
#include "convert/executor.h"
#include "formats/error.h"
#include "formats/manifest.h"

namespace ggufmill {
namespace {

struct ClassError {
  double squared_share = 0;  // sum of elems x relative_rmse^2
  std::string worst_tensor;
  double worst_rmse = 0;
};

std::map<TensorClass, ClassError> class_errors(const Plan& plan, const Manifest& manifest) {
  std::map<TensorClass, ClassError> errors;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const PlannedTensor& t = plan.tensors[i];
    ClassError& e = errors[t.tensor_class];
    const double rmse = manifest.tensors[i].relative_rmse.value_or(0);
    e.squared_share += static_cast<double>(t.elems()) * rmse * rmse;
    if (rmse > e.worst_rmse) e.worst_rmse = rmse, e.worst_tensor = t.name;
  }
  return errors;
}

// What became of each class, from the finished manifest.
void print_summary(const Plan& plan, const Manifest& manifest, std::ostream& out) {
  using enum TextTable::Align;
  TextTable table({{"class", kLeft},
                   {"tensors", kRight},
                   {"weights", kRight},
                   {"types", kLeft},
                   {"size", kRight},
                   {"bits/weight", kRight},
                   {"rel. error", kRight},
                   {"worst tensor", kLeft}});
  std::map<TensorClass, ClassError> errors = class_errors(plan, manifest);
  for (const auto& [tensor_class, sum] : class_sums(plan)) {
    const ClassError& e = errors[tensor_class];
    table.row({std::string(name(tensor_class)), std::to_string(sum.tensors), format_count(sum.elems), sum.type_names(),
               format_bytes(sum.bytes), format_fixed(bits_per_weight(sum.bytes, sum.elems), 2),
               format_fixed(std::sqrt(e.squared_share / static_cast<double>(sum.elems)), 5), printable(e.worst_tensor)});
  }
  table.print(out);
}

}  // namespace

int run_convert(const JobOptions& options, const std::string& command_line, const std::string& version) {
  if (options.out.empty()) throw Error(Exit::kUsage, "convert: -o OUT is missing");
  watch_signals();
  const Job job = open_job(options, true);

  const Verbosity verbosity = options.quiet ? Verbosity::kQuiet : options.verbose ? Verbosity::kVerbose : Verbosity::kNormal;
  std::unique_ptr<EventSink> events;
  if (options.json) {
    events = std::make_unique<ProgressJson>();
  } else {
    events = std::make_unique<ProgressText>(verbosity);
  }
  events->planned(job.plan);

  RunOptions run;
  run.folder = job.place.folder;
  run.threads = job.threads;
  run.memory_bytes = job.memory_bytes;
  run.hash_sources = !options.no_source_hash;
  run.allow_nonfinite = options.allow_nonfinite;
  run.restart = options.restart;
  run.force = options.force;
  run.break_lock = options.break_lock;
  run.program_version = version;
  if (run_plan(job.plan, run, *events, stop_requested()) == Outcome::kStopped) {
    events.reset();  // its bar is gone from the terminal's line
    std::cerr << "stopped; this resumes it: " << command_line << std::endl;
    raise_again();
  }
  if (!options.json && !options.quiet) {
    print_summary(job.plan, load_manifest(job.place.folder / manifest_file_name(job.plan.stem)), std::cout);
  }
  return 0;
}

}  // namespace ggufmill
