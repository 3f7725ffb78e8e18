#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# From a fresh clone to a streamed answer: installs what is missing, builds relay, starts it on port 3000
# with the project's relay.yaml, shows one streamed request, and serves until Ctrl-C.
#   examples/quickstart/run.sh [--once]
# --once: stops what it started after that request
#
# With ANTHROPIC_API_KEY, GEMINI_API_KEY, CLAUDE_CODE_OAUTH_TOKEN or GOOGLE_ACCESS_TOKEN set, requests go to
# the vendor; with none of them, to a mock on this machine. PORT and HOST choose the address, RELAY_KEY
# the key. What it makes (the key, logs, state) is in build/quickstart.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck source=tests/support/packages.sh
. tests/support/packages.sh

say() { printf '\n== %s\n' "$*"; }
fail() { printf '\nquickstart: %s\n' "$*" >&2; exit 1; }

once=0
case ${1-} in
  '') ;;
  --once) once=1 ;;
  *) sed -n '3,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac

export HOST=${HOST:-127.0.0.1} PORT=${PORT:-3000}
place=$PWD/build/quickstart
relay=${RELAY_BIN:-$PWD/build/release/relay}
relay_id='' mock_id=''
mkdir -p "$place" || exit 1

finish() {
  local code=$? id
  trap - EXIT
  for id in $relay_id $mock_id; do kill "$id" 2>/dev/null; done
  for id in $relay_id $mock_id; do wait "$id" 2>/dev/null; done
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_for FILE ID LOG WHAT: until the program has written its port, at most 10 s.
wait_for() {
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    [[ ! -s $1 ]] || return 0
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 "$3" >&2
  fail "$4 did not start; what it said is above, and in $3"
}

if ((PORT != 0)) && answers "$PORT"; then
  fail "port $PORT is taken. Stop what listens there, or choose another: PORT=3001 $0"
fi

install_packages "${build_packages[@]}" "${quickstart_packages[@]}" || exit

if [[ -z ${RELAY_BIN-} ]]; then
  say "Building relay into build/release (minutes the first time; log: $place/build.log)"
  {
    { [[ -f build/release/build.ninja ]] || cmake --preset release -DRELAY_TESTS=OFF; } &&
      cmake --build --preset release --target relay
  } >"$place/build.log" 2>&1 || {
    grep -E 'error:|CMake Error' "$place/build.log" | head -n 10 >&2
    tail -n 20 "$place/build.log" >&2
    fail "the build failed; the whole log is $place/build.log"
  }
fi
"$relay" --version || fail "$relay does not run"

if [[ -z ${RELAY_KEY-} ]]; then
  if [[ ! -s $place/relay.key ]]; then
    (umask 077 && printf 'cr_%s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$place/relay.key")
  fi
  RELAY_KEY=$(<"$place/relay.key")
fi
export RELAY_KEY RELAY_DATA=${RELAY_DATA:-$place/data}
mkdir -p "$RELAY_DATA"

if [[ -z ${ANTHROPIC_API_KEY-}${GEMINI_API_KEY-}${CLAUDE_CODE_OAUTH_TOKEN-}${GOOGLE_ACCESS_TOKEN-} ]]; then
  node=$(find_node 18 tests/e2e/node) || fail 'the mock upstream needs Node 18 or newer; or set ANTHROPIC_API_KEY'
  rm -f "$place/mock.port"
  "$node" tests/support/mock/mock.mjs --port 0 --port-file "$place/mock.port" >"$place/mock.log" 2>&1 &
  mock_id=$!
  wait_for "$place/mock.port" $mock_id "$place/mock.log" 'the mock upstream'
  mock=http://127.0.0.1:$(head -n 1 "$place/mock.port")
  export CLAUDE_ENDPOINT=$mock GEMINI_ENDPOINT=$mock CODE_ASSIST_UPSTREAM=$mock
  export ANTHROPIC_API_KEY=sk-ant-api03-quickstart GEMINI_API_KEY=AIza-quickstart
  say "No vendor key is set, so a mock upstream on this machine ($mock) answers in the vendors' place"
else
  say 'A vendor key is set: requests go to the vendor, and cost what they cost there'
fi

rm -f "$place/relay.port"
"$relay" serve --config relay.yaml --port-file "$place/relay.port" >"$place/relay.log" 2>&1 &
relay_id=$!
wait_for "$place/relay.port" $relay_id "$place/relay.log" relay
port=$(head -n 1 "$place/relay.port")
url=http://127.0.0.1:$port
say "relay serves on $url (log: $place/relay.log)"
curl -sS --max-time 10 "$url/health" && echo

# show PATH HEADERS… BODY: the request as one would type it, and its answer as it comes.
show() {
  local path=$1 body=${*: -1} header options=()
  for header in "${@:2:$#-2}"; do options+=(-H "$header"); done
  say 'One streamed request'
  printf "curl -N '%s'" "$url$path"
  printf " \\\\\n  -H '%s'" "${@:2:$#-2}"
  printf " \\\\\n  -d '%s'\n\n" "$body"
  curl -sSN --fail-with-body --max-time 120 "$url$path" "${options[@]}" -d "$body" ||
    fail "the request failed; $place/relay.log has more"
  echo
}

if [[ -n ${ANTHROPIC_API_KEY-} ]]; then
  show /api/v1/messages "x-api-key: $RELAY_KEY" 'anthropic-version: 2023-06-01' 'content-type: application/json' \
    "{\"model\":\"${CLAUDE_MODEL:-claude-opus-5-5}\",\"max_tokens\":64,\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}"
elif [[ -n ${GEMINI_API_KEY-} ]]; then
  show "/gemini/v1beta/models/${GEMINI_MODEL:-gemini-2.5-flash}:streamGenerateContent?alt=sse" "x-goog-api-key: $RELAY_KEY" \
    'content-type: application/json' '{"contents":[{"role":"user","parts":[{"text":"Say hello."}]}]}'
else
  say "The only account is a subscription, which serves its vendor's own client and no other: try it as below"
fi

say 'Point a client at it'
cat <<EOF
Claude Code:   ANTHROPIC_BASE_URL=$url/api/ ANTHROPIC_AUTH_TOKEN=$RELAY_KEY claude
Gemini CLI:    CODE_ASSIST_ENDPOINT=$url/gemini GOOGLE_CLOUD_ACCESS_TOKEN=$RELAY_KEY GOOGLE_GENAI_USE_GCA=true gemini
Others, and what to mind with each: README.md
What was used: RELAY_DATA=$RELAY_DATA $relay usage --by model
EOF

((once)) && exit 0
say 'Serving until Ctrl-C'
wait $relay_id
code=$?
relay_id=''
tail -n 5 "$place/relay.log" >&2
fail "relay ended by itself (exit code $code); its log is $place/relay.log"
