// How a checkpoint begins its names, and how the rules have them: {"language_model.", ""}, {"mtp.layers.0.", "model.layers.60."}.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/arch/arch.h"

namespace ggufmill {

class NamePrefixes {
 public:
  explicit NamePrefixes(const Layout& layout);
  // `name` as the rules have it; valid until the next call.
  std::string_view to_rules(const std::string& name);
  // Whether the name asked for last is of multi-token prediction by its beginning.
  bool last_is_mtp() const { return last_is_mtp_; }
  // A rule's name as this checkpoint would have it, going by the names asked for so far.
  std::string to_checkpoint(std::string_view name) const;

 private:
  bool is_mtp(std::string_view prefix) const;

  const Layout& layout_;
  std::vector<bool> seen_;  // of layout_.prefixes
  std::string renamed_;
  bool last_is_mtp_ = false;
};

}  // namespace ggufmill
