// What an interrupted run left: the journal replayed against the plan, the part files and the source shards as they are now.
#pragma once

#include <atomic>
#include <optional>

#include "convert/journal.h"
#include "convert/ledger.h"
#include "convert/plan.h"
#include "convert/work_folder.h"

namespace ggufmill {

struct Resumed {
  bool interrupted = false;            // the journal had a plan
  bool stopped = false;                // `stop` was set while rows were checked: the ledger is not complete
  std::optional<FinishRecord> finish;  // only renames are left
};

// Fills `ledger` with what can be kept and writes to the journal what cannot: rows from shards that changed, rows in part files
// that are gone or of another size, rows whose bytes are damaged. A new journal gets the plan's record, and part files that it
// knows nothing of are removed. Throws kCannotCreate where the journal belongs to another plan, naming the difference.
Resumed resume(const Plan& plan, const WorkFolder& folder, Journal& journal, Ledger& ledger, const std::atomic<bool>& stop);

}  // namespace ggufmill
