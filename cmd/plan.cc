#include "cmd/plan.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cmd/class_sums.h"
#include "cmd/sizes.h"
#include "cmd/text_table.h"
#include "convert/estimate.h"
#include "convert/executor.h"
#include "convert/finish.h"
#include "convert/part_files.h"
#include "convert/refused.h"
#include "formats/error.h"
#include "formats/file.h"

namespace ggufmill {
namespace {

using Json = nlohmann::ordered_json;

namespace fs = std::filesystem;

// The folder itself, or where it is still to be made the one above that is there.
fs::path existing_folder(const fs::path& folder) {
  std::error_code unreadable;
  fs::path at = fs::absolute(folder, unreadable);
  while (!fs::is_directory(at, unreadable) && at.has_relative_path()) at = at.parent_path();
  return at;
}

// Too little disk is a finding of a plan, not an error. An interrupted run's blocks count as had.
void add_disk_finding(const Job& job, std::vector<Finding>& findings) {
  const uint64_t needed = disk_bytes_needed(job.plan, work_folder_path(job.plan, job.place.folder));
  const uint64_t free = free_disk_bytes(existing_folder(job.place.folder));
  if (needed <= free) return;
  findings.push_back({Severity::kWarning, "", "",
                      "not enough disk space: " + format_bytes(needed) + " are needed, " + format_bytes(free) + " are free"});
}

// What convert would refuse about OUT.
void add_output_findings(const Job& job, const JobOptions& options, std::vector<Finding>& findings) {
  if (options.out.empty()) return;
  if (!std::filesystem::is_directory(job.place.folder)) {
    if (!options.out.ends_with('/'))
      findings.push_back({Severity::kWarning, "", "", job.place.folder.string() + ": no such folder"});
    return;
  }
  const auto existing = existing_outputs(job.place.folder, job.plan.stem);
  if (existing.empty() || options.force) return;
  findings.push_back(
      {Severity::kWarning, "", "", existing[0].string() + ": exists already; convert needs --force to replace it"});
}

// "NVFP4, groups of 16"; several where experts differ; empty for tensors that no source tensor gives.
std::string source_text(const Plan& plan, const PlannedTensor& tensor) {
  std::set<std::string> schemes;
  for (const Piece& p : tensor.pieces) schemes.insert(plan.sources[p.source].scheme());
  std::string text;
  for (const std::string& scheme : schemes) text += (text.empty() ? "" : "; ") + scheme;
  return text;
}

void print_json(const Job& job, const std::vector<Finding>& findings) {
  const Plan& plan = job.plan;
  Json out;
  out["model"] = plan.model_name;
  out["architecture"] = plan.architecture;
  out["recipe"] = plan.recipe_name;
  out["loads_from"] = plan.loads.from;
  out["total_bytes"] = plan.total_bytes();
  out["parameters"] = plan.parameters();
  out["bits_per_weight"] = bits_per_weight(plan.total_bytes(), plan.parameters());
  out["source_bytes"] = plan.source_bytes();
  out["files"] = Json::array();
  for (const PlannedFile& f : plan.files) out["files"].push_back({{"path", f.name}, {"bytes", f.bytes}});
  out["classes"] = Json::array();
  for (const auto& [tensor_class, sum] : class_sums(plan)) {
    out["classes"].push_back(
        {{"name", name(tensor_class)}, {"tensors", sum.tensors}, {"parameters", sum.elems}, {"bytes", sum.bytes}});
  }
  out["tensors"] = Json::array();
  for (const PlannedTensor& t : plan.tensors) {
    out["tensors"].push_back({{"name", t.name},
                              {"type", name(t.type)},
                              {"shape", t.ne},
                              {"class", name(t.tensor_class)},
                              {"file", plan.files[t.file].name},
                              {"offset", t.extent.file_offset},
                              {"bytes", t.extent.bytes},
                              {"reason", t.reason},
                              {"source", source_text(plan, t)},
                              {"effort", name(t.effort)},
                              {"objective", name(t.objective)}});
  }
  out["findings"] = Json::array();
  for (const Finding& f : findings) {
    Json finding = {{"severity", name(f.severity)}, {"message", f.message}};
    if (!f.file.empty()) finding["file"] = f.file;
    if (!f.tensor.empty()) finding["tensor"] = f.tensor;
    out["findings"].push_back(finding);
  }
  std::cout << out.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
}

void print_classes(const Plan& plan) {
  using enum TextTable::Align;
  TextTable table({{"class", kLeft},
                   {"tensors", kRight},
                   {"weights", kRight},
                   {"types", kLeft},
                   {"size", kRight},
                   {"bits/weight", kRight},
                   {"share", kRight}});
  const double all = static_cast<double>(std::max<uint64_t>(1, plan.total_bytes()));
  for (const auto& [tensor_class, sum] : class_sums(plan)) {
    table.row({std::string(name(tensor_class)), std::to_string(sum.tensors), format_count(sum.elems), sum.type_names(),
               format_bytes(sum.bytes), format_fixed(bits_per_weight(sum.bytes, sum.elems), 2),
               format_fixed(100 * static_cast<double>(sum.bytes) / all, 1) + " %"});
  }
  table.rule();
  table.row({"total", std::to_string(plan.tensors.size()), format_count(plan.parameters()), "", format_bytes(plan.total_bytes()),
             format_fixed(bits_per_weight(plan.total_bytes(), plan.parameters()), 2), "100.0 %"});
  table.print(std::cout);
}

void print_tensors(const Plan& plan) {
  using enum TextTable::Align;
  TextTable table({{"tensor", kLeft},
                   {"type", kLeft},
                   {"shape", kLeft},
                   {"source", kLeft},
                   {"class", kLeft},
                   {"file", kRight},
                   {"offset", kRight},
                   {"bytes", kRight},
                   {"why", kLeft}});
  for (const PlannedTensor& t : plan.tensors) {
    std::string shape;
    for (const uint64_t d : t.ne) shape += (shape.empty() ? "" : "x") + std::to_string(d);
    table.row({printable(t.name), std::string(name(t.type)), shape, source_text(plan, t), std::string(name(t.tensor_class)),
               std::to_string(t.file + 1), std::to_string(t.extent.file_offset), std::to_string(t.extent.bytes),
               printable(t.reason)});
  }
  table.print(std::cout);
}

void print_text(const Job& job, const JobOptions& options, const std::vector<Finding>& findings) {
  const Plan& plan = job.plan;
  std::cout << printable(plan.model_name) << " (" << plan.architecture << "): " << format_bytes(plan.source_bytes()) << " in "
            << plan.shards.size() << (plan.shards.size() == 1 ? " shard" : " shards") << ", recipe " << plan.recipe_name
            << "\n\n";
  if (options.verbose) {
    print_tensors(plan);
    std::cout << '\n';
  }
  if (!options.quiet) {
    print_classes(plan);
    std::cout << '\n';
  }
  constexpr size_t kShownFiles = 4;
  for (size_t f = 0; f < plan.files.size(); ++f) {
    if (!options.verbose && plan.files.size() > kShownFiles && f == kShownFiles - 1) {
      std::cout << "... " << plan.files.size() - kShownFiles + 1 << " files more (-v shows all)\n";
      break;
    }
    std::cout << plan.files[f].name << "  " << format_bytes(plan.files[f].bytes) << "  " << plan.files[f].n_tensors
              << " tensors\n";
  }
  const double cpu = estimate_encode_seconds(plan);
  std::cout << "\nloads   in llama.cpp " << plan.loads.from << " and later"
            << (plan.loads.hint.empty() ? "" : ", " + plan.loads.hint) << "\n"
            << "disk    " << format_bytes(plan.total_bytes()) << " (" << plan.total_bytes() << " bytes)\n"
            << "memory  " << format_bytes(job.memory_bytes) << " of buffers (--memory) and up to 0.2 GB besides\n"
            << "time    " << format_seconds(cpu / job.threads) << " of encoding on " << job.threads
            << (job.threads == 1 ? " thread" : " threads")
            << " (each encoder timed just now), or as long as the disk takes to read " << format_bytes(plan.source_bytes())
            << "\n";
  if (!findings.empty()) std::cout << '\n';
  for (const Finding& f : findings) std::cout << to_line(f) << '\n';
}

// All that speaks against a model, a line each; the error that follows counts it and names the first.
void print_refusal(const Refused& refused) {
  for (const Finding& f : refused.findings()) std::cout << to_line(f) << '\n';
  std::cout.flush();
}

}  // namespace

int run_plan_command(const JobOptions& options) try {
  const Job job = open_job(options, false);
  std::vector<Finding> findings = job.plan.findings;
  add_output_findings(job, options, findings);
  add_disk_finding(job, findings);
  if (options.json) {
    print_json(job, findings);
  } else {
    print_text(job, options, findings);
  }
  return 0;
} catch (const Refused& refused) {
  if (!options.json) print_refusal(refused);
  throw;
}

}  // namespace ggufmill
