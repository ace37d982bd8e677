#!/usr/bin/env bash
# Which objective an encoder should minimize (quant/row_context.h): squared error times importance, or times
# importance * sqrt(mean square + value^2). Converts the trained miniature with every matrix in one type, once with each
# objective, and lets kld.mjs say which file is nearer to BF16 and whether by more than chance: "magnitude - importance" below
# zero says that magnitude is better. Tensors without importance (token_embd, output) have the same bytes in both.
#
# One conversion is one draw: with importance that differs by 10 % at random the difference moves by about 0.5 % of the KLD,
# which kld.mjs cannot see. A difference below 2 % needs more draws (IMATRIX) before it says anything.
#
# usage: bench/objective.sh [TYPE...]
#   MILL     the program (build/ggufmill)           NODE  holds node_modules/node-llama-cpp (build/node)
#   OUT      where the files go (build/objective)   KLD   more flags of kld.mjs, as "--text FILE --chunks 90"
#   IMATRIX  importance matrix (the miniature's own); FLAGS  more flags of `ggufmill convert`, as "--effort max"
set -euo pipefail
cd "$(dirname "$0")/.."
mill=${MILL:-build/ggufmill}
out=${OUT:-build/objective}
imatrix=${IMATRIX:-tests/data/mini-eval/imatrix.gguf}
types=("$@")
[ $# -gt 0 ] || types=(Q3_K IQ4_XS IQ4_NL Q6_K Q4_K Q5_K IQ3_S IQ3_XXS IQ2_S IQ2_XS IQ2_XXS)

mkdir -p "$out"
convert() { "$mill" convert tests/data/mini-nemotron3 --quiet --force --no-source-hash "$@"; }
convert --recipe auto --output "$out/BF16.gguf"
files=()
for type in "${types[@]}"; do
  for objective in importance magnitude; do
    file=$out/$type-$objective.gguf
    # shellcheck disable=SC2086
    convert --recipe auto --tensor-type ".*=$type" --imatrix "$imatrix" --objective "$objective" --output "$file" ${FLAGS:-}
    files+=("$file")
  done
done
# shellcheck disable=SC2086
exec node bench/kld.mjs --node "${NODE:-build/node}" --pairs ${KLD:-} "$out/BF16.gguf" "${files[@]}"
