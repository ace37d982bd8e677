#include "convert/arch/match_problems.h"

#include <string>

#include "convert/arch/arch.h"
#include "convert/refused.h"

namespace ggufmill {
namespace {

// More are counted, not kept: a checkpoint of another model has as many as it has tensors.
constexpr size_t kMaxKept = 10000;
constexpr std::array<std::string_view, 3> kKinds = {"unknown", "of another shape or type", "missing"};

}  // namespace

void MatchProblems::note(Problem kind, std::string_view tensor, std::string_view why, bool of_mtp) {
  Kind& k = kinds_[static_cast<size_t>(kind)];
  if (said_.size() < kMaxKept && !said_.insert(std::string(tensor) + ": " + std::string(why)).second) return;
  of_mtp_ += of_mtp;
  if (k.count++ < kMaxKept) k.kept.push_back({Severity::kError, "", std::string(tensor), std::string(why)});
}

void MatchProblems::throw_if_any(std::string_view folder, std::string_view architecture, bool may_leave_mtp_out) const {
  std::string counts, list;
  std::vector<Finding> findings;
  uint64_t total = 0;
  for (size_t i = 0; i < kinds_.size(); ++i) {
    const Kind& kind = kinds_[i];
    total += kind.count;
    if (kind.count > 0) counts += (counts.empty() ? "" : ", ") + std::to_string(kind.count) + " " + std::string(kKinds[i]);
    findings.insert(findings.end(), kind.kept.begin(), kind.kept.end());
  }
  if (total == 0) return;
  size_t listed = 0;
  for (size_t i = 0; i < kMaxListedProblems; ++i) {
    for (const Kind& kind : kinds_) {
      if (i >= kind.kept.size() || listed == kMaxListedProblems) continue;
      list += (list.empty() ? "" : "; ") + quoted_tensor(kind.kept[i].tensor) + " " + kind.kept[i].message;
      ++listed;
    }
  }
  if (listed < total) list += "; and " + std::to_string(total - listed) + " more";
  std::string hint = listed < total ? "ggufmill plan lists all of them" : "";
  if (may_leave_mtp_out && of_mtp_ == total) hint = "--no-mtp converts the model without its MTP block";
  throw Refused(std::string(folder) + ": the tensors are not those of " + std::string(architecture) + " with this config.json (" +
                    counts + "): " + list,
                std::move(findings), hint);
}

}  // namespace ggufmill
