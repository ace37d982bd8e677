#include "cmd/job.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>

#include "cmd/sizes.h"
#include "convert/finish.h"
#include "formats/error.h"
#include "formats/gguf.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

ModelOptions model_options(const JobOptions& options) {
  if (options.no_mtp && options.mtp_only) throw Error(Exit::kUsage, "--no-mtp and --mtp-only exclude each other");
  ModelOptions out;
  if (options.no_mtp) out.mtp = MtpMode::kLeaveOut;
  if (options.mtp_only) out.mtp = MtpMode::kOnly;
  out.vocab_only = options.vocab_only;
  out.pre_tokenizer = options.pre_tokenizer;
  if (!options.chat_template.empty()) out.chat_template = chat_template_file(options.chat_template);
  return out;
}

SplitOptions split_options(const JobOptions& options) {
  const int given = !options.split_max_size.empty() + (options.split_max_tensors > 0) + options.no_split;
  if (given > 1) throw Error(Exit::kUsage, "--split-max-size, --split-max-tensors and --no-split exclude each other");
  SplitOptions split;
  if (options.no_split) split.mode = SplitOptions::Mode::kNone;
  if (options.split_max_tensors > 0) {
    split.mode = SplitOptions::Mode::kTensors;
    split.max_tensors = options.split_max_tensors;
  }
  if (!options.split_max_size.empty()) {
    split.mode = SplitOptions::Mode::kSize;
    split.max_bytes = parse_size(options.split_max_size, "--split-max-size");
    if (split.max_bytes == 0) throw Error(Exit::kUsage, "--split-max-size: must be larger than 0");
  }
  return split;
}

PlanOptions plan_options(const JobOptions& options, const OutputPlace& place) {
  PlanOptions out;
  if (!options.recipe.empty()) out.recipe = options.recipe;
  for (const std::string& rule : options.tensor_types) out.type_rules.push_back(parse_type_option(rule));
  if (!options.tensor_type_file.empty()) {
    for (Rule& rule : load_type_file(options.tensor_type_file)) out.type_rules.push_back(std::move(rule));
  }
  if (!options.imatrix.empty()) out.imatrix = std::make_shared<const Imatrix>(fs::path(options.imatrix));
  if (options.keep_nvfp4) out.keep.insert(GgmlType::NVFP4);
  if (options.keep_mxfp4) out.keep.insert(GgmlType::MXFP4);
  out.fp8_as_q8 = options.fp8_as_q8;
  out.split = split_options(options);
  out.effort = find_effort(options.effort);
  out.objective = find_objective(options.objective);
  for (const std::string& entry : options.metadata) out.metadata.push_back(parse_metadata_option(entry));
  out.stem = place.stem;
  return out;
}

// OUT never is, and never lies over, a file that is read.
void refuse_source_as_output(const Job& job) {
  std::error_code unreadable;
  if (!fs::is_directory(job.place.folder, unreadable)) return;
  std::vector<fs::path> sources;
  for (const Shard& shard : job.plan.shards) sources.push_back(shard.path);
  if (job.plan.imatrix != nullptr) sources.push_back(job.plan.imatrix->file().path());
  for (const fs::path& path : existing_outputs(job.place.folder, job.plan.stem)) {
    for (const fs::path& source : sources) {
      if (!fs::equivalent(path, source, unreadable)) continue;
      throw Error(Exit::kCannotCreate,
                  printable(path.string(), 4096) + ": is the source file " + printable(source.filename().string()));
    }
  }
}

}  // namespace

fs::path hub_cache() {
  const auto variable = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const fs::path p = variable("HF_HUB_CACHE"); !p.empty()) return p;
  if (const fs::path p = variable("HF_HOME"); !p.empty()) return p / "hub";
  if (const fs::path p = variable("XDG_CACHE_HOME"); !p.empty()) return p / "huggingface" / "hub";
  return variable("HOME") / ".cache" / "huggingface" / "hub";
}

unsigned usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

OutputPlace resolve_output(const std::string& out, bool create) {
  const fs::path path = out;
  std::error_code unreadable;
  if (fs::is_directory(path, unreadable)) return {path, ""};
  if (out.ends_with('/')) {
    std::error_code failed;
    if (create) fs::create_directories(path, failed);
    if (failed) throw Error(Exit::kCannotCreate, printable(out, 4096) + ": cannot create: " + failed.message());
    return {path, ""};
  }
  if (path.extension() != ".gguf" || path.stem().empty()) {
    throw Error(Exit::kUsage, "-o " + printable(out, 4096) +
                                  ": expected a path that ends in .gguf, or a folder (an existing one, or ending in '/')");
  }
  if (parse_split_name(path)) {
    throw Error(Exit::kUsage, "-o " + printable(out, 4096) + ": is the name of one file of a split",
                "give STEM.gguf: shards are numbered by the program");
  }
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (create && !fs::is_directory(folder, unreadable)) {
    throw Error(Exit::kCannotCreate, printable(folder.string(), 4096) + ": no such folder",
                "mkdir -p " + printable(folder.string(), 4096));
  }
  return {folder, path.stem().string()};
}

Job open_job(const JobOptions& options, bool create_folder) {
  Job job;
  job.threads = options.threads > 0 ? options.threads : usable_cores();
  job.memory_bytes = parse_size(options.memory, "--memory");
  const ModelOptions model = model_options(options);
  job.place = options.out.empty() ? OutputPlace{".", ""} : resolve_output(options.out, false);
  const PlanOptions plan = plan_options(options, job.place);
  const Checkpoint checkpoint(resolve_source(options.source, hub_cache()));
  job.plan = make_plan(checkpoint, describe_model(checkpoint, model), plan);
  if (!options.out.empty() && create_folder) job.place = resolve_output(options.out, true);
  refuse_source_as_output(job);
  return job;
}

}  // namespace ggufmill
