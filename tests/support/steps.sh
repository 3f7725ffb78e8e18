# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The steps of a test run: each is a command with a time limit, a log, and the counts that the log tells
# of. Sourced by tests/run.sh, which sets: logs (a folder), skips (the file of excused skips), only (names
# of the wanted steps, none: all), list (1: print the names of the steps, run nothing). RELAY_TEST_RUN is
# inherited by each process that a step starts, so that what it leaves behind is found.

# Read by tests/run.sh at the end.
passed=0 failed=0 skipped=0
troubles=()

# wanted NAME: whether --only asks for this step.
wanted() {
  local name
  ((${#only[@]})) || return 0
  for name in "${only[@]}"; do [[ $1 != "$name"* ]] || return 0; done
  return 1
}

# excused NAME: whether the file of skips names this test, and a reason.
excused() { sed -n '/^#/d; s/ # .\+$//p' "$skips" | grep -qxF -- "$1"; }

# The processes of this run that are still there, after two seconds in which to end.
left_behind() {
  local tries found
  for ((tries = 0; tries < 20; tries++)); do
    found=$(living)
    [[ -n $found ]] || return
    sleep 0.1
  done
  echo "$found"
}

living() {
  local entry id
  for entry in /proc/[0-9]*; do
    id=${entry#/proc/}
    [[ $id != "$$" && $id != "$BASHPID" ]] || continue
    ! grep -qsz "^RELAY_TEST_RUN=$RELAY_TEST_RUN\$" "$entry/environ" || printf '%s\n' "$id"
  done
}

# trouble NAME WHAT: one more failure, told again at the end.
trouble() {
  failed=$((failed + 1))
  troubles+=("$1: $2")
  echo "  $2"
}

# step NAME SECONDS COMMAND…: runs it with its output in a log, counts the tests that the log tells of,
# and adds what they do not tell: an exit code, no test at all, a skip that nobody excused, a process
# that is still there.
step() {
  local name=$1 limit=$2
  shift 2
  if ((list)); then echo "$name"; return; fi
  wanted "$name" || return
  local log=$logs/$name.log code=0 at=$SECONDS counts told excused_skips=0 leftover id
  local told_passed told_failed told_skipped
  timeout -k 20 "$limit" "$@" >"$log" 2>&1 </dev/null || code=$?
  mapfile -t counts < <(awk -f "${BASH_SOURCE[0]%/*}/count_tests.awk" "$log")
  read -r told_passed told_failed told_skipped <<<"${counts[0]}"
  passed=$((passed + told_passed)) failed=$((failed + told_failed))
  printf '%-26s %5d passed %3d failed %3d skipped %5d s\n' \
    "$name" "$told_passed" "$told_failed" "$told_skipped" $((SECONDS - at))
  ((told_failed == 0)) || troubles+=("$name: $told_failed failed")
  for told in "${counts[@]:1}"; do
    if excused "$told"; then
      excused_skips=$((excused_skips + 1))
    else
      trouble "$name" "skipped, and $skips does not say why: $told"
    fi
  done
  skipped=$((skipped + excused_skips))
  ((told_skipped <= ${#counts[@]} - 1)) || trouble "$name" "$told_skipped skipped, but the log names fewer"
  if ((code == 124 || code == 137)); then
    trouble "$name" "not done after $limit s"
  elif ((code != 0 && told_failed == 0)); then
    trouble "$name" "exit code $code"
  elif ((code == 0 && told_passed + told_failed + told_skipped == 0)); then
    trouble "$name" "ran no test"
  fi
  leftover=$(left_behind)
  if [[ -n $leftover ]]; then
    for id in $leftover; do echo "  still there: $id $(tr '\0' ' ' <"/proc/$id/cmdline" 2>/dev/null)"; done
    # shellcheck disable=SC2086  # a list of ids
    kill -9 $leftover 2>/dev/null
    trouble "$name" "left processes behind"
  fi
  if ((code != 0 || told_failed != 0)); then
    echo "  --- the end of $log"
    grep -vE '^\[( RUN      |       OK )\]|^\s*✔|^ok: ' "$log" | tail -n 40 | sed 's/^/  /'
    echo "  ---"
  fi
}
