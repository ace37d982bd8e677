#include "cmd/options.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <functional>
#include <iostream>
#include <map>

#include "cmd/convert.h"
#include "cmd/expected_values.h"
#include "cmd/inspect.h"
#include "cmd/job.h"
#include "cmd/plan.h"
#include "cmd/recipe.h"
#include "cmd/types.h"
#include "cmd/verify.h"
#include "convert/nearest.h"
#include "formats/error.h"
#include "quant/codecs.h"

namespace ggufmill {
namespace {

constexpr const char* kVersion = GGUFMILL_VERSION;

constexpr const char* kShortHelp = R"(ggufmill turns very large model checkpoints into GGUF.

  ggufmill inspect SOURCE              what is in a checkpoint or GGUF
  ggufmill plan SOURCE                 what convert would do: types, sizes, disk, time
  ggufmill convert SOURCE -o OUT.gguf  one pass over the source, quantized GGUF out
  ggufmill verify OUT --source SOURCE  hashes, structure and values of the result

SOURCE is a Hugging Face folder, a hub cache snapshot or a hub name such as org/name that the local cache holds.
'ggufmill --help' lists all commands, 'ggufmill COMMAND --help' shows flags and examples.
)";

// A shell can take this word as it stands.
std::string shell_word(const std::string& word) {
  const bool plain =
      !word.empty() &&
      word.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-") == std::string::npos;
  if (plain) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string shell_line(int argc, char** argv) {
  std::string out;
  for (int i = 0; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--restart") continue;  // the resuming line must not discard the work
    out += (out.empty() ? "" : " ") + shell_word(argv[i]);
  }
  return out;
}

// A GGUF path as it stands (the stem of a split is no file), else a source by path or hub name.
std::filesystem::path path_or_hub_name(const std::string& given) {
  return given.ends_with(".gguf") ? std::filesystem::path(given) : resolve_source(given, hub_cache());
}

// An empty value is an unset shell variable more often than a wish.
const CLI::Validator kNotEmpty(
    [](std::string& value) { return value.empty() ? std::string("must not be empty") : std::string(); }, "");

class OptionTree {
 public:
  OptionTree(std::string resume_line) : resume_line_(std::move(resume_line)) {
    app_.name("ggufmill");
    app_.description("Turns very large model checkpoints into GGUF: streaming, mixed precision, resumable, verified.");
    app_.set_version_flag("--version",
                          std::string("ggufmill ") + kVersion + " (encoding version " + std::to_string(kEncodingVersion) + ")");
    app_.require_subcommand(0, 1);
    app_.footer(exit_code_text());
    verify_.threads = usable_cores();
    add_convert();
    add_plan();
    add_verify();
    add_inspect();
    add_recipe();
    add_types();
  }

  int run(int argc, char** argv) {
    if (argc <= 1) {
      std::cerr << kShortHelp;
      return static_cast<int>(Exit::kUsage);
    }
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& e) {
      return app_.exit(e);  // --help, --version
    } catch (const CLI::ParseError& e) {
      throw usage_error(e);
    }
    for (const auto& [command, action] : actions_) {
      if (command->parsed()) return action();
    }
    throw Error(Exit::kUsage, "no command given", "'ggufmill --help' lists the commands");
  }

 private:
  static std::string exit_code_text() {
    std::string out = "Exit codes:\n";
    for (const ExitCodeRow& row : exit_codes()) {
      const std::string code = std::to_string(static_cast<int>(row.code));
      out += "  " + code + std::string(4 - code.size(), ' ') + std::string(row.meaning) + "\n";
    }
    return out;
  }

  CLI::App* command(CLI::App& parent, const char* name, const char* description, const char* examples,
                    std::function<int()> action) {
    CLI::App* c = parent.add_subcommand(name, description);
    c->footer(std::string("Examples:\n") + examples);
    actions_.emplace_back(c, std::move(action));
    return c;
  }

  // The flags that convert and plan share.
  void add_job_options(CLI::App& c, JobOptions& o) {
    c.add_option("SOURCE", o.source, "model folder, hub snapshot, .safetensors file or hub name")->required();
    c.add_option("-o,--output", o.out,
                 "OUT.gguf, or a folder (existing, or ending in '/') for files named after model and recipe")
        ->check(kNotEmpty);
    c.add_option("-r,--recipe", o.recipe, "recipe FILE or PRESET ('ggufmill recipe list'); default: the model family's")
        ->check(kNotEmpty);
    c.add_option("-t,--tensor-type", o.tensor_types,
                 "PATTERN=TYPE, a rule before the recipe's; regex found in the GGUF name; repeatable")
        ->allow_extra_args(false);
    c.add_option("--tensor-type-file", o.tensor_type_file, "the same, one a line")->check(kNotEmpty);
    c.add_option("--imatrix", o.imatrix, "importance matrix (GGUF)")->check(kNotEmpty);
    c.add_flag("--keep-nvfp4", o.keep_nvfp4, "repack NVFP4 tensors of the source bit for bit, whatever the recipe says");
    c.add_flag("--keep-mxfp4", o.keep_mxfp4, "the same for MXFP4");
    c.add_flag("--fp8-as-q8", o.fp8_as_q8, "8-bit floats of the source become Q8_0, whatever the recipe says");
    c.add_option("--effort", o.effort,
                 "how long encoders search (default; the presets that copy llama.cpp's converter round as it does)")
        ->check(CLI::IsMember(effort_names()));
    c.add_option("--objective", o.objective,
                 "what encoders minimize: squared error times importance, or times importance x sqrt(mean square + value^2) "
                 "(the type's own)")
        ->check(CLI::IsMember(objective_names()));
    c.add_option("--split-max-size", o.split_max_size, "largest shard (one file up to 50G, then 50G shards)")->check(kNotEmpty);
    c.add_option("--split-max-tensors", o.split_max_tensors, "most tensors in a shard")
        ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40));
    c.add_flag("--no-split", o.no_split, "one file whatever its size");
    c.add_option("--metadata", o.metadata, "KEY=TYPE:VALUE, overrides or adds metadata; repeatable")->allow_extra_args(false);
    c.add_flag("--vocab-only", o.vocab_only, "header and tokenizer only");
    c.add_option("--pre", o.pre_tokenizer, "NAME of llama.cpp's pre-tokenizer, instead of what tokenizer.json shows")
        ->check(kNotEmpty);
    c.add_option("--chat-template", o.chat_template, "FILE with a chat template (Jinja), instead of the checkpoint's")
        ->check(kNotEmpty);
    c.add_flag("--no-mtp", o.no_mtp, "leave the multi-token-prediction block out");
    c.add_flag("--mtp-only", o.mtp_only, "only the multi-token-prediction block and what it shares");
    c.add_flag("--no-source-hash", o.no_source_hash, "do not compute the source files' SHA-256 along the way");
    c.add_flag("--allow-nonfinite", o.allow_nonfinite, "pass NaN and Inf in tensors that are quantized");
    c.add_flag("--break-lock", o.break_lock, "take over an output that another host seems to hold");
    c.add_option("-j,--threads", o.threads, "worker threads (all cores)")->check(CLI::Range(1u, 4096u));
    c.add_option("--memory", o.memory, "ceiling for buffers")->capture_default_str();
    c.add_flag("--restart", o.restart, "discard an interrupted run's work");
    c.add_flag("--force", o.force, "replace an existing finished OUT");
    c.add_flag("--json", o.json, "JSON on stdout");
    c.add_flag("-q,--quiet", o.quiet, "quiet");
    c.add_flag("-v,--verbose", o.verbose, "verbose");
  }

  void add_convert() {
    CLI::App* c = command(app_, "convert", "one pass over the source, quantized GGUF out",
                          "  ggufmill convert model/ -o out/ --imatrix imatrix.gguf\n"
                          "  ggufmill convert model/ -o model-q8.gguf -r Q8_0\n"
                          "  ggufmill convert model/ -o out/ -t 'blk\\.(0|1)\\..*exps=Q4_K' --split-max-size 20G\n",
                          [this] { return run_convert(convert_, resume_line_, kVersion); });
    add_job_options(*c, convert_);
  }

  void add_plan() {
    CLI::App* c = command(app_, "plan", "what convert would do, without doing it",
                          "  ggufmill plan model/\n"
                          "  ggufmill plan model/ -r mine.toml -v\n"
                          "  ggufmill plan model/ --json | jq .total_bytes\n",
                          [this] { return run_plan_command(plan_); });
    add_job_options(*c, plan_);
  }

  void add_verify() {
    CLI::App* c = command(app_, "verify", "integrity of an output or a download; with --source its values too",
                          "  ggufmill verify out/model.gguf\n"
                          "  ggufmill verify out/model.gguf --source model/ --full\n"
                          "  ggufmill verify model/                         (a download, before conversion)\n",
                          [this] { return verify(); });
    c->add_option("OUT", verify_out_, "GGUF file, split member or stem, folder, or a checkpoint folder")->required();
    CLI::Option* source =
        c->add_option("--source", verify_source_, "compare the dequantized values with this checkpoint")->check(kNotEmpty);
    CLI::Option* sample = c->add_option("--sample", verify_.sample, "fraction of rows compared per tensor")
                              ->check(CLI::Range(0.0, 1.0))
                              ->capture_default_str();
    sample->needs(source);
    c->add_flag("--full", verify_.full, "compare every row")->excludes(sample)->needs(source);
    c->add_option("--seed", verify_.seed, "of the sample")->needs(source)->capture_default_str();
    c->add_option("--max-error", max_errors_, "CLASS=VALUE, largest relative error of a class; repeatable")
        ->allow_extra_args(false)
        ->needs(source);
    c->add_option("-j,--threads", verify_.threads, "files hashed at once (all cores)")->check(CLI::Range(1u, 4096u));
    c->add_flag("--json", verify_.json, "one JSON object on stdout");
    c->add_flag("-v,--verbose", verify_.verbose, "verbose");
  }

  int verify() {
    verify_.out = path_or_hub_name(verify_out_);
    if (!std::isfinite(verify_.sample)) throw Error(Exit::kUsage, "--sample: expected a fraction from 0 to 1");
    if (!verify_source_.empty()) {
      verify_.source = [this](const std::vector<std::string>& names) { return expected_values(verify_source_, names); };
    }
    for (const std::string& entry : max_errors_) {
      const size_t equals = entry.find('=');
      double value = 0;
      const bool known = equals != std::string::npos && find_tensor_class(entry.substr(0, equals)).has_value();
      if (!known || !CLI::detail::lexical_cast(entry.substr(equals + 1), value)) {
        throw Error(Exit::kUsage, "--max-error " + printable(entry) + ": expected CLASS=VALUE, such as experts=0.2");
      }
      verify_.max_error[entry.substr(0, equals)] = value;
    }
    return run_verify(verify_);
  }

  void add_inspect() {
    CLI::App* c = command(app_, "inspect", "what is in a checkpoint, GGUF or importance matrix",
                          "  ggufmill inspect model/\n"
                          "  ggufmill inspect out/model-00001-of-00006.gguf --json\n",
                          [this] {
                            inspect_.path = path_or_hub_name(inspect_source_);
                            return run_inspect(inspect_);
                          });
    c->add_option("PATH", inspect_source_, "checkpoint folder, GGUF, importance matrix or hub name")->required();
    c->add_flag("--json", inspect_.json, "one JSON object on stdout");
    c->add_flag("-v,--verbose", inspect_.verbose, "every key and tensor");
    c->add_flag("--scales", inspect_.scales, "read the scales of all blocks of a quantized checkpoint, also above 1 GiB of them");
  }

  void add_recipe() {
    CLI::App* recipe = app_.add_subcommand("recipe", "the recipes, and what one would do to a model");
    recipe->require_subcommand(1);
    CLI::App* list = command(*recipe, "list", "the recipes that ship with the program", "  ggufmill recipe list\n",
                             [this] { return run_recipe_list(recipe_json_); });
    list->add_flag("--json", recipe_json_, "JSON on stdout");
    CLI::App* show = command(*recipe, "show", "the text of a recipe",
                             "  ggufmill recipe show Q4_K_M\n  ggufmill recipe show NAME > mine.toml\n",
                             [this] { return run_recipe_show(recipe_name_); });
    show->add_option("NAME", recipe_name_)->required();
    CLI::App* check =
        command(*recipe, "check", "checks a recipe file; with SOURCE, what it would do",
                "  ggufmill recipe check mine.toml model/\n", [this] { return run_recipe_check(recipe_name_, recipe_source_); });
    check->add_option("FILE", recipe_name_)->required();
    check->add_option("SOURCE", recipe_source_);
  }

  void add_types() {
    CLI::App* c = command(app_, "types", "every type: bits per weight, block size, what can be done with it",
                          "  ggufmill types\n"
                          "  ggufmill types --measure --types IQ3_S,Q4_K\n"
                          "  ggufmill types --measure --peer libggml-base.so --source model/\n",
                          [this] { return run_types(types_); });
    c->add_flag("--json", types_.json, "JSON on stdout");
    CLI::Option* measure = c->add_flag("--measure", types_.measure, "error and speed of each encoder on this machine");
    for (const std::string& flag : add_measure_options(*c, types_.measuring)) c->get_option("--" + flag)->needs(measure);
  }

  // CLI11's words, with the nearest known flag or command where one is near.
  Error usage_error(const CLI::ParseError& e) {
    CLI::App* where = &app_;
    while (!where->get_subcommands().empty()) where = where->get_subcommands().back();
    std::vector<std::string> known;
    for (const CLI::Option* option : where->get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
    for (const CLI::App* sub : where->get_subcommands([](CLI::App*) { return true; })) known.push_back(sub->get_name());
    std::string command;
    for (const CLI::App* a = where; a != &app_; a = a->get_parent())
      command = a->get_name() + (command.empty() ? "" : " ") + command;
    const std::string help = "'ggufmill " + command + (command.empty() ? "" : " ") + "--help' shows the flags";
    for (const std::string& extra : app_.remaining(true)) {
      const std::string word = extra.substr(0, extra.find('='));
      const std::string near = nearest_word(word, known);
      const char* kind = word.starts_with('-') ? "flag " : where == &app_ ? "command " : "argument ";
      return Error(Exit::kUsage, (where == &app_ ? "" : command + ": ") + "unknown " + kind + printable(extra),
                   near.empty() ? help : "did you mean " + near + "?");
    }
    std::string text = e.what();
    std::ranges::replace(text, '\n', ' ');
    return Error(Exit::kUsage, (command.empty() ? "" : command + ": ") + printable(text, 300), help);
  }

  CLI::App app_;
  std::string resume_line_;
  std::vector<std::pair<CLI::App*, std::function<int()>>> actions_;
  JobOptions convert_, plan_;
  VerifyOptions verify_;
  std::string verify_out_, verify_source_;
  std::vector<std::string> max_errors_;
  InspectOptions inspect_;
  std::string inspect_source_;
  bool recipe_json_ = false;
  std::string recipe_name_, recipe_source_;
  TypesOptions types_;
};

}  // namespace

int run_program(int argc, char** argv) { return OptionTree(shell_line(argc, argv)).run(argc, argv); }

}  // namespace ggufmill
