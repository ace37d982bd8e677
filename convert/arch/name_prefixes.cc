#include "convert/arch/name_prefixes.h"

namespace ggufmill {

NamePrefixes::NamePrefixes(const Layout& layout) : layout_(layout), seen_(layout.prefixes.size()) {}

bool NamePrefixes::is_mtp(std::string_view prefix) const {
  return !layout_.mtp_prefix.empty() && prefix.find(layout_.mtp_prefix) != std::string_view::npos;
}

std::string_view NamePrefixes::to_rules(const std::string& name) {
  for (size_t i = 0; i < layout_.prefixes.size(); ++i) {
    const Prefix& p = layout_.prefixes[i];
    if (!name.starts_with(p.from)) continue;
    seen_[i] = true;
    last_is_mtp_ = is_mtp(p.from);
    renamed_ = p.to + name.substr(p.from.size());
    return renamed_;
  }
  last_is_mtp_ = !layout_.mtp_prefix.empty() && name.starts_with(layout_.mtp_prefix);
  return name;
}

// Of the prefixes that fit, the one that says most. A block that only here is multi-token prediction has its own, seen or not.
std::string NamePrefixes::to_checkpoint(std::string_view name) const {
  const Prefix* best = nullptr;
  for (size_t i = 0; i < layout_.prefixes.size(); ++i) {
    const Prefix& p = layout_.prefixes[i];
    if (!name.starts_with(p.to) || !(seen_[i] || (is_mtp(p.from) && !is_mtp(p.to)))) continue;
    if (best == nullptr || p.to.size() > best->to.size()) best = &p;
  }
  return best == nullptr ? std::string(name) : best->from + std::string(name.substr(best->to.size()));
}

}  // namespace ggufmill
