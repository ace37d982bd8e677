# cmake -DROOT=FOLDER -P check.cmake: compares the sources under ROOT with the picture of docs/architecture.md. Run by every
# build and as a test.
#   1. Includes: `#include "folder/..."` only along the arrows, between the five folders of the program.
#   2. Model names: only in convert/arch, convert/tokenizer and convert/recipes. All other code is about any model.
# Prints one line per breach, FILE: what, and fails if there is one.

cmake_minimum_required(VERSION 3.25)

set(sees_formats formats)
set(sees_quant formats quant)
set(sees_convert formats quant convert)
set(sees_verify formats quant verify)
set(sees_cmd formats quant convert verify cmd)
set(folders formats quant convert verify cmd)

set(model_names "nemotron|deepseek|qwen|kimi|minitron|mistral|pixtral|gpt[-_]oss|glm[-_]?[0-9]")
set(may_name_models "^convert/(arch|tokenizer|recipes)/")

set(breaches "")
set(count 0)
foreach(folder IN LISTS folders)
  file(GLOB_RECURSE sources RELATIVE ${ROOT} ${ROOT}/${folder}/*)
  foreach(source IN LISTS sources)
    math(EXPR count "${count} + 1")
    file(STRINGS ${ROOT}/${source} includes REGEX "^[ \t]*#[ \t]*include[ \t]+\"[^\"]*/")
    foreach(line IN LISTS includes)
      string(REGEX REPLACE "^[^\"]*\"([^/\"]*)/.*" "\\1" included "${line}")
      if(included IN_LIST folders AND NOT included IN_LIST sees_${folder})
        list(JOIN sees_${folder} " " seen)
        list(APPEND breaches "${source}: ${line} goes against the arrows (${folder} sees: ${seen})")
      endif()
    endforeach()
    if(NOT source MATCHES "${may_name_models}")
      file(READ ${ROOT}/${source} text)
      string(TOLOWER "${text}" text)
      if(text MATCHES "${model_names}")
        list(APPEND breaches "${source}: names a model (${CMAKE_MATCH_0})")
      endif()
    endif()
  endforeach()
endforeach()

if(count EQUAL 0)
  message(FATAL_ERROR "no sources under ${ROOT}")
endif()
if(breaches)
  foreach(breach IN LISTS breaches)
    message(NOTICE "${breach}")
  endforeach()
  message(FATAL_ERROR "the sources break the picture of docs/architecture.md")
endif()
message(STATUS "arrows and model names: ${count} files follow the picture")
