// describe_model: config.json chooses the family, its rules the tensors, and the files beside it the metadata.
#include "convert/model.h"

#include <algorithm>

#include "convert/arch/arch.h"
#include "convert/model_card.h"
#include "convert/naming.h"
#include "convert/quantization_config.h"

namespace ggufmill {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;  // config.json has some KB
constexpr uint32_t kQuantizationVersion = 2;              // ggml.h: GGML_QNT_VERSION

// The order of the file: what it is, its parameters, then its tokenizer.
Metadata assemble_metadata(const Checkpoint& checkpoint, const Config& config, ArchDescription& description, Model& model,
                           bool with_tokenizer) {
  Metadata metadata;
  metadata.set("general.architecture", description.gguf_name);
  add_general_metadata(checkpoint, config, count_parameters(model.tensors), metadata, model.findings);
  for (const auto& [key, value] : description.metadata.entries()) metadata.set(key, value);
  metadata.set("general.quantization_version", kQuantizationVersion);
  if (with_tokenizer) add_tokenizer_metadata(checkpoint, config, description.tokenizer, metadata, model.findings);
  return metadata;
}

}  // namespace

std::string chat_template_file(const std::string& path) {
  std::string text = read_chat_template(path);
  if (text.empty()) throw Error(Exit::kBadInput, printable(path, 4096) + ": is empty");
  return text;
}

uint64_t ModelTensor::rows() const {
  uint64_t n = 1;
  for (size_t i = 1; i < ne.size(); ++i) n *= ne[i];
  return n;
}

uint64_t ModelTensor::elems() const { return ne[0] * rows(); }

Model describe_model(const Checkpoint& checkpoint, const ModelOptions& options) {
  if (!options.pre_tokenizer.empty()) check_pre_tokenizer_name(options.pre_tokenizer);
  const std::filesystem::path config_path = checkpoint.file("config.json");
  if (!checkpoint.has_file("config.json"))
    throw Error(Exit::kBadInput, config_path.string() + ": missing: the model is described there");
  const Config config(JsonDocument::load(config_path, kMaxConfigBytes));
  const Architecture& architecture = find_architecture(config);
  ModelOptions with_names = options;
  with_names.has_tensor = [&](std::string_view name) { return checkpoint.find(name) != nullptr; };
  ArchDescription description = architecture.describe(config, with_names);
  description.tokenizer.given_pre_tokenizer = options.pre_tokenizer;
  description.tokenizer.given_chat_template = options.chat_template;

  Model model;
  model.architecture = description.gguf_name;
  model.loads = description.loads;
  if (options.mtp == MtpMode::kOnly) model.loads.hint = "as a draft for speculative decoding, not alone";
  model.name = checkpoint.model_name();
  model.findings = std::move(description.findings);
  model.n_layers = static_cast<uint32_t>(description.layout.block_kinds.size());
  model.mtp_block = description.layout.mtp_block;
  model.n_experts = description.layout.n_experts;
  model.gqa_ratio = description.gqa_ratio;
  if (!options.vocab_only) {
    const QuantizationConfig quantization(checkpoint, config.root());
    Weights weights = bind_weights(checkpoint, quantization.block_size());
    quantization.check(weights.all, model.findings);
    model.weights = std::move(weights.all);
    MatchedTensors matched = match_tensors(checkpoint.folder().string(), model.weights, architecture.hf_name, architecture.rules,
                                           description.layout, options.mtp);
    model.tensors = std::move(matched.tensors);
    model.findings.insert(model.findings.end(), matched.findings.begin(), matched.findings.end());
    for (ModelTensor& computed : description.computed) {
      computed.fixed_type = GgmlType::F32;
      model.tensors.push_back(std::move(computed));
    }
    model.dropped = std::move(matched.dropped);
    model.dropped.insert(model.dropped.end(), weights.dropped.begin(), weights.dropped.end());
    model.left_out = std::move(matched.left_out);
    model.tied_output = std::none_of(model.tensors.begin(), model.tensors.end(),
                                     [](const ModelTensor& tensor) { return tensor.name == "output.weight"; });
    if (!model.left_out.empty() && options.mtp == MtpMode::kInclude) {
      model.findings.push_back({Severity::kWarning, "", "",
                                std::to_string(model.left_out.size()) + " tensors of an MTP block that " +
                                    std::string(description.why_mtp_left_out) + " are left out"});
    }
  }
  model.metadata = assemble_metadata(checkpoint, config, description, model, !options.tensors_only);
  return model;
}

}  // namespace ggufmill
