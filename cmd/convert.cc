#include "cmd/convert.h"

#include <cmath>
#include <iostream>
#include <map>
#include <memory>

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

struct ClassSum {
  uint64_t tensors = 0, elems = 0, bytes = 0;
  std::map<std::string, uint64_t> types;     // tensors of a type
  double squared_share = 0;                  // sum of elems x relative_rmse^2
  std::string worst_tensor;
  double worst_rmse = -1;
};

std::string type_list(const ClassSum& sum) {
  std::string out;
  for (const auto& [type, n] : sum.types) out += (out.empty() ? "" : " ") + type;
  return out;
}

// What became of each class, from the finished manifest.
void print_summary(const Plan& plan, const Manifest& manifest, std::ostream& out) {
  std::map<TensorClass, ClassSum> classes;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const PlannedTensor& t = plan.tensors[i];
    ClassSum& sum = classes[t.tensor_class];
    const double rmse = manifest.tensors[i].relative_rmse.value_or(0);
    ++sum.tensors;
    sum.elems += t.elems();
    sum.bytes += t.extent.bytes;
    ++sum.types[std::string(name(t.type))];
    sum.squared_share += static_cast<double>(t.elems()) * rmse * rmse;
    if (rmse > sum.worst_rmse) sum.worst_rmse = rmse, sum.worst_tensor = t.name;
  }
  using enum TextTable::Align;
  TextTable table({{"class", kLeft}, {"tensors", kRight}, {"weights", kRight}, {"types", kLeft}, {"size", kRight}, {"bits/weight", kRight},
                   {"rel. error", kRight}, {"worst tensor", kLeft}});
  for (const auto& [tensor_class, sum] : classes) {
    const double elems = static_cast<double>(sum.elems);
    table.row({std::string(name(tensor_class)), std::to_string(sum.tensors), format_count(sum.elems), type_list(sum), format_bytes(sum.bytes),
               format_fixed(8.0 * static_cast<double>(sum.bytes) / elems, 2), format_fixed(std::sqrt(sum.squared_share / elems), 5),
               sum.worst_rmse > 0 ? printable(sum.worst_tensor) : ""});
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
    std::cerr << "\nstopped; this resumes it: " << command_line << std::endl;
    raise_again();
  }
  if (!options.json && !options.quiet) {
    print_summary(job.plan, load_manifest(job.place.folder / manifest_file_name(job.plan.stem)), std::cout);
  }
  return 0;
}

}  // namespace ggufmill
