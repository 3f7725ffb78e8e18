# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the check.sh of an example is made of: its relay.yaml before the mock upstream, requests, and what
# must come of them. Sourced first; it starts nothing. Prints the counts at the end.

example=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
relay=${RELAY_BIN:-$project/build/release/relay}
mock_program=$project/tests/support/mock/mock.mjs
scratch=$(mktemp -d)
passed=0 failed=0
programs=()
export PORT=0 HOST=127.0.0.1 RELAY_DATA=$scratch/data

finish() {
  local id
  trap - EXIT
  for id in "${programs[@]}"; do kill "$id" 2>/dev/null; done
  for id in "${programs[@]}"; do wait "$id" 2>/dev/null; done
  if ((failed)); then
    echo "--- the relay's log"
    tail -n 20 "$scratch/relay.log"
  fi
  rm -rf "$scratch"
  echo "$passed passed, $failed failed, 0 skipped"
  ((failed == 0 && passed > 0)) || exit 1
  exit 0
}
trap finish EXIT
trap 'exit 1' INT TERM

# ok TITLE COMMAND…: counts one check.
ok() {
  local title=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $title"
  fi
}

port_of() { # FILE LOG
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    [[ ! -s $1 ]] || { head -n 1 "$1"; return; }
    sleep 0.1
  done
  tail -n 20 "$2" >&2
  return 1
}

# start_mock [option…]: sets `mock` to its URL, and the endpoints of relay.yaml to it.
start_mock() {
  local port
  node "$mock_program" --port 0 --port-file "$scratch/mock.port" "$@" >"$scratch/mock.log" 2>&1 &
  programs+=($!)
  port=$(port_of "$scratch/mock.port" "$scratch/mock.log") || { ok 'the mock starts' false; exit; }
  mock=http://127.0.0.1:$port
  export CLAUDE_ENDPOINT=$mock GEMINI_ENDPOINT=$mock CODE_ASSIST_UPSTREAM=$mock
}

# start_relay [FILE]: checks and serves the example's relay.yaml; sets `url`.
start_relay() {
  local port file=${1:-$example/relay.yaml}
  mkdir -p "$RELAY_DATA"
  ok 'relay check finds nothing wrong' "$relay" check --config "$file"
  "$relay" serve --config "$file" --port-file "$scratch/relay.port" >"$scratch/relay.log" 2>&1 &
  programs+=($!)
  port=$(port_of "$scratch/relay.port" "$scratch/relay.log") || { ok 'the relay starts' false; exit; }
  url=http://127.0.0.1:$port
}

# post PATH KEY BODY [curl option…]: sets `status`, `head` and `body` to what came back.
post() {
  local path=$1 key=$2 data=$3
  shift 3
  status=$(curl -sS --max-time 20 -o "$scratch/body" -D "$scratch/head" -w '%{http_code}' "$url$path" \
    -H "x-api-key: $key" -H 'content-type: application/json' -H 'anthropic-version: 2023-06-01' -d "$data" "$@")
  body=$(<"$scratch/body") head=$(tr -d '\r' <"$scratch/head" | tr '[:upper:]' '[:lower:]')
}

expect_status() { # TITLE STATUS
  ok "$1: status $status, not $2: $body" test "$status" = "$2"
}
expect_body() { # TITLE TEXT
  ok "$1: '$2' is not in: $body" grep -qF -- "$2" <<<"$body"
}
expect_head() { # TITLE TEXT, in lower case
  ok "$1: '$2' is not in: $head" grep -qF -- "$2" <<<"$head"
}

# upstream PATH-OF-JSON…: what the mock saw of all requests, e.g. `upstream requests '.[].model'`.
mock_says() { curl -sS --max-time 20 "$mock/__mock/$1"; }
# script JSON: the faults of the requests to come.
mock_script() { curl -sS --max-time 20 -o /dev/null "$mock/__mock/script" -d "$1"; }
# field FILTER: reads JSON from standard input, evaluates `x` => FILTER in JavaScript, prints it.
field() { node -e 'const x = JSON.parse(require("fs").readFileSync(0)); console.log(eval(process.argv[1]))' "$1"; }
