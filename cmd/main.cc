// ggufmill: the program. Every Error is caught here, printed as one line, and becomes the exit code.
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <string_view>
#include <system_error>

#include "cmd/options.h"
#include "cmd/progress_json.h"
#include "convert/refused.h"
#include "formats/error.h"

namespace {

bool wants_json(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--json") return true;
  }
  return false;
}

int fail(const ggufmill::Error& error, bool json) {
  const int code = static_cast<int>(error.code());
  const auto* refused = dynamic_cast<const ggufmill::Refused*>(&error);
  if (json) {
    ggufmill::print_error_event(code, error.message(), error.hint(),
                                refused == nullptr ? std::span<const ggufmill::Finding>{} : refused->findings());
  }
  std::cerr << "ggufmill: error: " << error.message() << '\n';
  if (!error.hint().empty()) std::cerr << "hint: " << error.hint() << '\n';
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  using ggufmill::Error;
  using ggufmill::Exit;
  const bool json = wants_json(argc, argv);
  // A failed assert ends here: exit code 70, as for every broken promise of the program's own, and not 134.
  std::signal(SIGABRT, [](int) { std::_Exit(static_cast<int>(Exit::kInternal)); });
  try {
    const int code = ggufmill::run_program(argc, argv);
    std::cout.flush();
    if (!std::cout) throw Error(Exit::kSystem, "standard output: cannot write");
    return code;
  } catch (const Error& error) {
    return fail(error, json);
  } catch (const std::bad_alloc&) {
    return fail(Error(Exit::kSystem, "out of memory", "a smaller --memory or fewer threads (-j) may help"), json);
  } catch (const std::system_error& error) {  // a folder that cannot be read, a thread that cannot be started
    return fail(Error(Exit::kSystem, ggufmill::printable(error.what(), 4096)), json);
  } catch (const std::exception& error) {
    return fail(Error(Exit::kInternal, std::string("internal error: ") + ggufmill::printable(error.what(), 300)), json);
  }
}
