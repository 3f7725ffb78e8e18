#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Replays the seeds and the corpus of every fuzz target, or fuzzes.
#   tests/fuzz/run.sh BUILD                 replays (BUILD: build/asan, or any other but build/fuzz)
#   tests/fuzz/run.sh BUILD SECONDS         fuzzes each target so long (BUILD: build/fuzz)
#   tests/fuzz/run.sh BUILD merge           makes the corpora small again, of BUILD/fuzz-work
# TARGETS="h1_request inflate" chooses targets. Prints a line a target, then the totals.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
build=$(realpath "${1:?which build}") || exit 2
mode=${2:-replay}
corpora=$PWD/tests/fuzz/corpus
work=$build/fuzz-work
passed=0 failed=0

mkdir -p "$work"
node tests/fuzz/seeds.mjs "$work/seeds" || exit 2
mapfile -t targets < <(sed -n 's/^relay_fuzz(\([a-z0-9_]*\) .*/\1/p' tests/fuzz/CMakeLists.txt)
[[ -z ${TARGETS:-} ]] || read -ra targets <<<"$TARGETS"

# unpacked TARGET: its corpus as files in a folder of the build.
unpacked() {
  mkdir -p "$work/corpus/$1" "$work/seeds/$1"
  [[ ! -f $corpora/$1.tar.gz ]] || tar -xzf "$corpora/$1.tar.gz" -C "$work/corpus/$1"
}

# end TARGET CODE WHAT: its line; a failure shows its log, and keeps the input that did it.
end() {
  if (($2 == 0)); then
    passed=$((passed + 1))
    echo "ok: $1 $3"
  else
    failed=$((failed + 1))
    echo "FAILED: $1 $3 (exit code $2)"
    grep -vE '^#|^INFO:|^0x' "$work/$1.log" | head -n 60 | cut -c 1-400 | sed 's/^/  /'
  fi
}

replay() {
  local code=0
  unpacked "$1"
  (cd "$work" && timeout -k 10 300 "$build/fuzz/$1_fuzz" "seeds/$1" "corpus/$1") >"$work/$1.log" 2>&1 || code=$?
  if ((code)); then
    end "$1" "$code" "broke on $work/$(cat "$work/replaying.txt")"
  else
    end "$1" 0 "replayed $(tail -n 1 "$work/$1.log") inputs"
  fi
}

fuzz() {
  local code=0
  unpacked "$1"
  mkdir -p "$work/new/$1" "$work/crashes"
  (cd "$work" && timeout -k 10 $(($2 + 300)) "$build/fuzz/$1_fuzz" -max_total_time="$2" -max_len=4096 \
    -timeout=10 -rss_limit_mb=2048 -artifact_prefix="crashes/$1-" -print_final_stats=1 \
    "new/$1" "corpus/$1" "seeds/$1") >"$work/$1.log" 2>&1 || code=$?
  end "$1" "$code" "ran $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$1.log") inputs"
}

# Keeps the smallest set of inputs that reaches all that any of them reaches, as an archive that does
# not depend on who made it.
merge() {
  local code=0
  unpacked "$1"
  mkdir -p "$work/new/$1" "$corpora"
  rm -rf "$work/merged/$1" && mkdir -p "$work/merged/$1"
  "$build/fuzz/$1_fuzz" -merge=1 -max_len=4096 "$work/merged/$1" "$work/seeds/$1" "$work/corpus/$1" \
    "$work/new/$1" >"$work/$1.log" 2>&1 || code=$?
  ((code)) || tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 -C "$work/merged/$1" -cf - . |
    gzip -9n >"$corpora/$1.tar.gz"
  end "$1" "$code" "keeps $(find "$work/merged/$1" -type f | wc -l) inputs"
}

for target in "${targets[@]}"; do
  case $mode in
    replay) replay "$target" ;;
    merge) merge "$target" ;;
    *) fuzz "$target" "$mode" ;;
  esac
done
echo "$passed passed, $failed failed, 0 skipped"
((failed == 0))
