#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The lints that a tool of somebody else does, each shown a bad sample first, which it must find:
#   tests/lint/tools.sh format          clang-format-19 over all C++
#   tests/lint/tools.sh shell           shellcheck over all shell scripts
#   tests/lint/tools.sh tidy BUILD      clang-tidy-19 over the program, as compiled in folder BUILD
#   tests/lint/tools.sh speed BUILD     no file but a test took over 5 s to compile in BUILD
#   tests/lint/tools.sh libraries RELAY what RELAY links is what the Dockerfile installs
#   tests/lint/tools.sh workflow        .ci/run is there, executable, and calls tests/run.sh
# Findings are file:line: message. Ends with a line of counts.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2

passed=0 failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# expect TITLE COMMAND…: counts one check.
expect() {
  local title=$1
  shift
  if "$@"; then
    echo "ok: $title"
    passed=$((passed + 1))
  else
    echo "FAILED: $title"
    failed=$((failed + 1))
  fi
}
refuses() { ! "$@" >"$scratch/out" 2>&1; }
ours() { git ls-files -z --cached --others --exclude-standard -- "$@" | sort -zu | existing; }
existing() { while IFS= read -r -d '' file; do [[ ! -f $file ]] || printf '%s\0' "$file"; done; }

format_all() {
  # clang-format says "file:line:column: error: …" for each line; the first of a file is enough.
  ours '*.cc' '*.h' | xargs -0 -r clang-format-19 --dry-run -Werror 2>&1 |
    sed -n 's/^\([^ ]*:[0-9]*\):[0-9]*: error: .*/\1: not as clang-format-19 writes it/p' |
    sort -u -t: -k1,1 | { ! grep .; }
}
bad_format() {
  printf 'int  F( ) {return 1;}\n' >"$scratch/bad.cc"
  refuses clang-format-19 --style=file:.clang-format --dry-run -Werror "$scratch/bad.cc"
}

scripts() {
  ours '*.sh' .ci/run
}
bad_shell() {
  # shellcheck disable=SC2016
  printf '#!/bin/sh\nrm -rf $1\n' >"$scratch/bad.sh"
  refuses shellcheck "$scratch/bad.sh"
}
shell_all() { scripts | xargs -0 -r shellcheck -x -S warning -f gcc; }

# tidy_errors: what clang-tidy said, once each (a header is seen by many files), as file:line: message.
tidy_errors() {
  sed -nE "s|^$PWD/||; s/^(.*:[0-9]+):[0-9]+: (error|warning): /\1: /p" | sort -u
}
bad_tidy() {
  printf 'int* bad = 0;\n' >"$scratch/bad.cc"
  refuses clang-tidy-19 --quiet --config-file=.clang-tidy "$scratch/bad.cc" -- -std=c++23 &&
    tidy_errors <"$scratch/out" | grep -q ':1: .*modernize-use-nullptr'
}
tidy_all() {
  local build=$1
  [[ -f $build/compile_commands.json ]] || { echo "$build:1: no compile_commands.json"; return 1; }
  ours 'core/*.cc' 'upstreams/*.cc' 'filters/*.cc' 'admin/*.cc' |
    xargs -0 -n 1 -P "$(nproc)" clang-tidy-19 --quiet -p "$build" >"$scratch/tidy" 2>"$scratch/crash"
  # 123: one of them found something; more than that: one of them fell over.
  (($? <= 123)) || { tail -n 20 "$scratch/crash"; return 1; }
  tidy_errors <"$scratch/tidy" | { ! grep .; }
}

# Names of packages, one a line, in the stage of the Dockerfile that is run.
installed_at_run() {
  awk '/^FROM /{stage++} stage == 2 && !/^ *#/' "$1" | grep -oE '\blib[a-z0-9.+-]+' | sort -u
}
# Which package of Debian brings each library that a program needs, but for what every image has.
linked_packages() {
  ldd "$1" | awk '$2 == "=>" {print $3}' | while read -r library; do
    dpkg -S "$library" 2>/dev/null || dpkg -S "${library#/usr}" 2>/dev/null ||
      dpkg -S "$(realpath "$library")" 2>/dev/null || echo "unknown-owner-of-$library"
  done | sed 's/:.*//' | sort -u | grep -vxE 'libc6|libgcc-s1|libstdc\+\+6|zlib1g'
}
libraries_agree() {
  local program=$1 dockerfile=$2
  # What the listed packages bring along by themselves need not be listed again.
  local listed brought missing spare
  listed=$(installed_at_run "$dockerfile")
  brought=$(for name in $listed; do
    dpkg-query -W -f '${Depends}\n' "$name" 2>/dev/null
  done | grep -oE 'lib[a-z0-9.+-]+' | sort -u)
  missing=$(comm -23 <(linked_packages "$program") <(printf '%s\n%s\n' "$listed" "$brought" | sort -u))
  spare=$(comm -13 <(linked_packages "$program") <(printf '%s\n' "$listed"))
  [[ -z $missing ]] || echo "$dockerfile:1: $program needs ${missing//$'\n'/ }, which no line installs"
  [[ -z $spare ]] || echo "$dockerfile:1: $program does not need ${spare//$'\n'/ }"
  [[ -z $missing$spare ]]
}
bad_libraries() {
  printf 'FROM a\nFROM b\nRUN apt-get install liblzma5\n' >"$scratch/Dockerfile"
  refuses libraries_agree "$1" "$scratch/Dockerfile"
}

# Names what takes more than SECONDS of processor time to compile in BUILD. The log of ninja (start,
# end in ms, …, output) knows how long each took beside other compilers: what that clears is not
# compiled again.
slow_files() {
  local build=$1 seconds=$2 file command took bad=0
  for file in $(awk -F'\t' -v most="$seconds" '$4 ~ /\.cc\.o$/ && $4 !~ /^tests\// { took[$4] = $2 - $1 }
      END { for (file in took) if (took[file] > 1000 * most) print file }' "$build/.ninja_log"); do
    command=$(ninja -C "$build" -t commands -s "$file") || return 1
    took=$(cd "$build" && TIMEFORMAT=%U && { time CCACHE_DISABLE=1 bash -c "$command" >&2; } 2>&1 | tail -1)
    awk -v took="$took" -v most="$seconds" 'BEGIN { exit took <= most }' || continue
    echo "$file:1: takes $took s to compile; keep the headers of libraries out of ours"
    bad=1
  done
  return $bad
}
bad_speed() {
  printf '# ninja log v5\n0\t20000\t0\tcore/a.cc.o\tx\n' >"$scratch/.ninja_log"
  printf 'rule slow\n  command = for n in $$(seq 200000); do :; done\nbuild core/a.cc.o: slow\n' >"$scratch/build.ninja"
  refuses slow_files "$scratch" 0.01 && slow_files "$scratch" 10
}

case ${1-} in
  format)
    expect 'format finds what it is for' bad_format
    expect 'format: all C++ is as clang-format-19 writes it' format_all
    ;;
  shell)
    expect 'shell finds what it is for' bad_shell
    expect 'shell: shellcheck finds nothing' shell_all
    ;;
  tidy)
    expect 'tidy finds what it is for' bad_tidy
    expect 'tidy: clang-tidy-19 finds nothing' tidy_all "${2:?BUILD}"
    ;;
  speed)
    expect 'speed finds what it is for' bad_speed
    expect 'speed: no file of the program takes long to compile' slow_files "${2:?BUILD}" 5
    ;;
  libraries)
    expect 'libraries finds what it is for' bad_libraries "${2:?RELAY}"
    expect 'libraries: the image has what the program links' libraries_agree "$2" Dockerfile
    ;;
  workflow)
    expect 'workflow: .ci/run is executable' test -x .ci/run
    expect 'workflow: .ci/run calls tests/run.sh' grep -q tests/run.sh .ci/run
    ;;
  *)
    sed -n '/^# The lints/,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
echo "$passed passed, $failed failed, 0 skipped"
((failed == 0))
