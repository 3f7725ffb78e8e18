#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what the tests need, builds, runs everything, and ends with one line of totals.
#   tests/run.sh [--long] [--only NAME]… [--list] [--no-install]
# --only NAME: the steps that begin with NAME (and the builds they need); may be repeated
# --long: the long forms: more rounds, fuzzing, the whole benchmark (hours, not minutes)
# --list: prints the steps and ends
# --no-install: fails where a package is missing
# Logs are kept in build/test-logs. A skipped test fails the run unless tests/skips.txt names it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
# shellcheck source=tests/support/packages.sh
. tests/support/packages.sh

# Rooms with something that crosses threads: their tests run under the thread sanitizer too.
thread_tests=(core_async_test core_base_test core_net_test core_store_test core_metrics_test
  core_exchange_test upstreams_test admin_test)

only=() list=0 install=1
export RELAY_LONG=${RELAY_LONG:-}
while (($#)); do
  case $1 in
    --long) RELAY_LONG=1 ;;
    --only) only+=("${2:?--only takes the name of a step}"); shift ;;
    --list) list=1 ;;
    --no-install) install=0 ;;
    *) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
  esac
  shift
done

logs=$PWD/build/test-logs
skips=tests/skips.txt
begun=$SECONDS
export RELAY_TEST_RUN=$$.$RANDOM

# shellcheck source=tests/support/steps.sh
. tests/support/steps.sh

# need PRESET [TARGET…]: configures, and builds those of the targets that there are; each build once. A
# failed one is one failure, and returns 1.
declare -A built
need() {
  local preset=$1 log=$logs/build-$1.log at=$SECONDS code=0 targets
  shift
  if ((list)); then return 0; fi
  if [[ -z ${built[$preset $*]-} ]]; then
    timeout -k 20 300 cmake --preset "$preset" -DRELAY_TESTS=ON >"$log" 2>&1 </dev/null || code=$?
    mapfile -t targets < <(ninja -C "build/$preset" -t targets all 2>/dev/null | sed 's/: .*//' |
      grep -xF -f <(printf '%s\n' "$@"))
    if ((code == 0 && ${#targets[@]})); then
      timeout -k 20 2400 cmake --build --preset "$preset" --target "${targets[@]}" >>"$log" 2>&1 </dev/null || code=$?
    fi
    built[$preset $*]=$code
    printf '%-26s %s %37d s\n' "build $preset" "$( ((code)) && echo FAILED || echo 'done  ')" $((SECONDS - at))
    if ((code)); then
      trouble "build $preset" "exit code $code"
      grep -E 'error:|FAILED|CMake Error|undefined' "$log" | head -n 30 | sed 's/^/  /'
      echo "  --- the end of $log"
      tail -n 15 "$log" | sed 's/^/  /'
    fi
  fi
  return "${built[$preset $*]}"
}

any_wanted() {
  local name
  if ((list)); then return 0; fi
  for name in "$@"; do ! wanted "$name" || return 0; done
  # A longer --only, such as unit-core_http, wants its group as well.
  for name in "${only[@]}"; do for group in "$@"; do [[ $name != "$group"* ]] || return 0; done; done
  return 1
}

# unit PRESET PREFIX [NAME…]: each test binary of a build, or those that are named.
unit() {
  local preset=$1 prefix=$2 binary
  shift 2
  if ((list)); then echo "$prefix-<folder of tests>"; return; fi
  for binary in build/"$preset"/tests/*_test; do
    [[ -x $binary ]] || continue
    (($# == 0)) || [[ " $* " == *" ${binary##*/} "* ]] || continue
    step "$prefix-$(basename "$binary" _test)" 600 tests/support/netns.sh "$binary" --gtest_color=no
  done
}

((list)) || mkdir -p "$logs"
if ((!list)); then
  mapfile -t missing < <(missing_packages "${build_packages[@]}" "${test_packages[@]}")
  if ((${#missing[@]} && !install)); then
    echo "missing packages: ${missing[*]}" >&2
    exit 3
  fi
  timeout -k 20 1200 bash -c '. tests/support/packages.sh && install_packages "$@"' install \
    "${missing[@]}" >"$logs/install.log" 2>&1 </dev/null ||
    { code=$?; tail -n 20 "$logs/install.log" >&2; exit $code; }
  node=$(find_node 20 tests/e2e/node) || exit 3
  PATH=$(dirname "$node"):$PATH
  export PATH
fi

if command -v ccache >/dev/null; then
  export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
fi
symbolizer=$(command -v llvm-symbolizer-19 || true)
export ASAN_OPTIONS=detect_stack_use_after_return=1:check_initialization_order=1:strict_init_order=1
export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=second_deadlock_stack=1
[[ -z $symbolizer ]] || export ASAN_SYMBOLIZER_PATH=$symbolizer TSAN_OPTIONS=$TSAN_OPTIONS:external_symbolizer_path=$symbolizer
# What a developer has set must not decide what the tests see.
unset PORT HOST JWT_SECRET ENCRYPTION_KEY ADMIN_USERNAME ADMIN_PASSWORD RELAY_KEY RELAY_DATA METRICS_TOKEN LOG_LEVEL \
  REDIS_HOST REDIS_PORT REDIS_PASSWORD REDIS_ENABLE_TLS REDIS_URL ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN \
  ANTHROPIC_BASE_URL CLAUDE_CODE_OAUTH_TOKEN GEMINI_API_KEY GOOGLE_ACCESS_TOKEN CLAUDE_ENDPOINT GEMINI_ENDPOINT \
  CODE_ASSIST_UPSTREAM
export TZ=UTC LC_ALL=C.UTF-8

# --- what text alone tells
step lint-text 120 node tests/lint/run.mjs
step lint-format 120 tests/lint/tools.sh format
step lint-shell 120 tests/lint/tools.sh shell
step lint-workflow 60 tests/lint/tools.sh workflow
step runner 60 tests/support/runner_test.sh

# --- the program as it is shipped
# Unit tests are for the builds below: linking each of them with the optimizer would take longer than
# all that runs here.
release_targets=(relay bench_load bench_upstream)
release_steps=(golden mock e2e examples lint-libraries lint-speed)
if any_wanted "${release_steps[@]}" && need release "${release_targets[@]}"; then
  step lint-libraries 60 tests/lint/tools.sh libraries build/release/relay
  step lint-speed 300 tests/lint/tools.sh speed build/release
  step golden 300 tests/golden/run.sh build/release/relay
  step mock 300 tests/support/netns.sh node --test --test-reporter=spec tests/support/mock/mock_test.mjs tests/support/mock/oauth_test.mjs
  step e2e 1200 tests/e2e/run.sh
  for example in examples/*/check.sh; do
    step "examples-$(basename "$(dirname "$example")")" 300 tests/support/netns.sh "$example"
  done
fi

# --- under sanitizers
if any_wanted unit fuzz-replay && need asan all; then
  unit asan unit
  step fuzz-replay 600 tests/fuzz/run.sh build/asan
fi
if any_wanted tsan && need tsan "${thread_tests[@]}"; then
  unit tsan tsan "${thread_tests[@]}"
fi
if [[ -n $RELAY_LONG ]] && any_wanted fuzz-long && need fuzz fuzz_targets; then
  step fuzz-long 9000 tests/fuzz/run.sh build/fuzz 600
fi
if any_wanted lint-tidy && need release "${release_targets[@]}"; then
  step lint-tidy 1200 tests/lint/tools.sh tidy build/release
fi

# --- what it costs, beside nginx
if any_wanted bench && need release "${release_targets[@]}"; then
  bench=(tests/bench/run.sh)
  [[ -n $RELAY_LONG ]] || bench+=(--quick)
  ((list)) || install_packages nginx-light >"$logs/install-nginx.log" 2>&1 || trouble bench 'nginx-light is missing'
  # It has no count of its own: every answer of it was checked, or it fails.
  step bench 900 bash -c '"$@" && echo "1 passed, 0 failed, 0 skipped"' bench "${bench[@]}"
  ((list)) || ! wanted bench || sed 's/^/  /' "$logs/bench.log"
fi

((!list)) || exit 0
echo
echo "$((SECONDS - begun)) s"
for trouble in "${troubles[@]}"; do echo "FAILED $trouble"; done
if ((passed + failed == 0)); then
  echo "no step begins with: ${only[*]}" >&2
  exit 2
fi
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
