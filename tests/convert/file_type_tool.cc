// file_type_tool FILE.gguf: the types that the program's presets for llama.cpp's file types give to the tensors of a GGUF file of
// any architecture, seen as a model to convert. One line per preset, without and with an importance matrix:
//   Q4_K_M 0 Q6_K Q4_K F32 ...        in the order of the file's tensors
// tests/cli/test_file_types.py compares them with what llama.cpp picks.
#include <iostream>

#include "convert/recipes/file_types.h"
#include "formats/gguf.h"

int main(int argc, char** argv) {
  using namespace ggufmill;
  if (argc != 2) return 64;
  const GgufHeader header = read_gguf_header(InputFile(argv[1]));
  Model model;
  model.architecture = *header.metadata.find_string("general.architecture");
  model.metadata = header.metadata;
  for (const GgufTensor& t : header.tensors) {
    model.tensors.emplace_back();
    model.tensors.back().name = t.name;
    model.tensors.back().ne = t.ne;
  }
  for (const FileType& file_type : file_types()) {
    for (const bool imatrix : {false, true}) {
      std::cout << file_type.name << ' ' << imatrix;
      const auto choices = choose_by_file_type(file_type, model, imatrix);
      for (size_t i = 0; i < choices.size(); ++i) {
        std::cout << ' ' << name(choices[i].wanted ? choices[i].type : header.tensors[i].type);
      }
      std::cout << '\n';
    }
  }
  return 0;
}
