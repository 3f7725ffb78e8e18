#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The program itself on the files of tests/golden: a wrong one prints exactly the lines beside it to standard
# error and ends with 2, a good one ends with 0 and prints its lines among its notes.
#   tests/golden/run.sh [RELAY]
set -uo pipefail
relay=$(realpath "${1:-build/release/relay}")
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2

passed=0 failed=0
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# judge CODE EXPECTED-FILE GOOD: prints what is wrong with what the program said.
judge() {
  if (($3)); then
    (($1 == 0)) || echo "exit code $1, not 0"
    grep -vxF -f "$errors" "$2" | sed 's/^/not said: /'
  else
    (($1 == 2)) || echo "exit code $1, not 2"
    diff "$2" "$errors" | sed -n 's/^</not said: /p; s/^>/said: /p'
  fi
}

run_folder() {
  local file good code wrong variables
  cd "$1" || exit 2
  mapfile -t variables <environment
  for file in *.yaml; do
    good=0
    [[ $file != good-* ]] || good=1
    code=0
    timeout 20 env -i PATH="$PATH" "${variables[@]}" "$relay" check --config "$file" >/dev/null 2>"$errors" || code=$?
    wrong=$(judge $code "${file%.yaml}.expected" $good)
    if [[ -z $wrong ]]; then
      passed=$((passed + 1))
    else
      failed=$((failed + 1))
      echo "FAILED: $1/$file"
      sed 's/^/  /' <<<"$wrong"
    fi
  done
  cd ..
}
run_folder config
run_folder chains
echo "$passed passed, $failed failed, 0 skipped"
((failed == 0 && passed > 0))
