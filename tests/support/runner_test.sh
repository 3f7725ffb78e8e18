#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The test of the test runner: a red test, a skip without a reason, a runner that ran nothing, one that
# hangs or leaves a process behind must each turn the run red.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
logs=$scratch skips=$scratch/skips.txt
printf '# a comment\nPool.Slow # takes an hour\na sentence: with words # no network\nPool.NoReason\n' >"$skips"
good=0 bad=0

# expect TITLE "PASSED FAILED SKIPPED" COMMAND…: what a step adds to the totals.
expect() {
  local title=$1 expected=$2 got
  shift 2
  got=$(
    only=() list=0
    RELAY_TEST_RUN=$title.$$
    export RELAY_TEST_RUN
    # shellcheck source=tests/support/steps.sh
    . ./steps.sh
    step try "${limit:-20}" "$@" >"$scratch/shown"
    echo "$passed $failed $skipped"
  )
  if [[ $got == "$expected" ]]; then
    good=$((good + 1))
  else
    echo "FAILED: $title: $got, not $expected"
    sed 's/^/  /' "$scratch/shown"
    bad=$((bad + 1))
  fi
}
# shellcheck disable=SC2016
says=(bash -c 'printf "%s\n" "$@"' says) fails=(bash -c 'printf "%s\n" "$@"; exit 1' fails)

expect 'green GoogleTest' '12 0 0' "${says[@]}" '[==========] 12 tests ran.' '[  PASSED  ] 12 tests.'
expect 'red GoogleTest' '3 2 0' "${fails[@]}" '[  PASSED  ] 3 tests.' '[  FAILED  ] 2 tests, listed below:' \
  '[  FAILED  ] Pool.Waits' '[  FAILED  ] Pool.Wakes'
expect 'excused GoogleTest skip' '3 0 1' "${says[@]}" '[  SKIPPED ] Pool.Slow (0 ms)' '[  PASSED  ] 3 tests.' \
  '[  SKIPPED ] 1 test, listed below:' '[  SKIPPED ] Pool.Slow'
expect 'skip that nobody excused' '3 1 0' "${says[@]}" '[  PASSED  ] 3 tests.' \
  '[  SKIPPED ] 1 test, listed below:' '[  SKIPPED ] Pool.Other'
expect 'skip without a reason' '3 1 0' "${says[@]}" '[  PASSED  ] 3 tests.' \
  '[  SKIPPED ] 1 test, listed below:' '[  SKIPPED ] Pool.NoReason'
expect 'disabled test' '3 1 0' "${says[@]}" '[  PASSED  ] 3 tests.' '  YOU HAVE 1 DISABLED TEST'
expect 'green node' '7 0 0' "${says[@]}" 'ℹ tests 7' 'ℹ pass 7' 'ℹ fail 0' 'ℹ cancelled 0' 'ℹ skipped 0' 'ℹ todo 0'
expect 'red node' '6 2 0' "${fails[@]}" '# pass 6' '# fail 1' '# cancelled 1' '# skipped 0' '# todo 0'
expect 'excused node skip' '6 0 1' "${says[@]}" '  ﹣ a sentence: with words (0.2ms) # no network' 'ℹ pass 6' 'ℹ skipped 1'
expect 'excused TAP skip' '6 0 1' "${says[@]}" 'ok 3 - a sentence: with words # SKIP no network' '# pass 6' '# skipped 1'
expect 'node test that is still to do' '6 1 0' "${says[@]}" 'not ok 3 - later # TO''DO' '# pass 6' '# todo 1'
expect 'our own counts, summed' '5 0 0' "${says[@]}" '2 passed, 0 failed, 0 skipped' '3 passed, 0 failed, 0 skipped'
expect 'skip that the log does not name' '2 1 0' "${says[@]}" '2 passed, 0 failed, 1 skipped'
expect 'crash after green tests' '2 1 0' "${fails[@]}" '2 passed, 0 failed, 0 skipped'
expect 'runner that ran nothing' '0 1 0' "${says[@]}" 'all is well'
limit=1 expect 'runner that hangs' '0 1 0' sleep 30
expect 'process left behind' '1 1 0' bash -c 'sleep 60 & echo "1 passed, 0 failed, 0 skipped"'

echo "$good passed, $bad failed, 0 skipped"
((bad == 0))
