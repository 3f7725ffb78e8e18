#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Shows what README.md says of the quickstart: run.sh --once, with the program that is built already.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
passed=0 failed=0
shown=$(mktemp)
trap 'rm -f "$shown"' EXIT
ok() {
  local title=$1
  shift
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $title"; fi
}
says() { grep -qF -- "$1" "$shown"; }
export RELAY_BIN=${RELAY_BIN:-$PWD/build/release/relay}
unset ANTHROPIC_API_KEY GEMINI_API_KEY CLAUDE_CODE_OAUTH_TOKEN GOOGLE_ACCESS_TOKEN RELAY_KEY

PORT=0 examples/quickstart/run.sh --once >"$shown" 2>&1 </dev/null
ok 'it ends with 0' test $? = 0
ok 'it says that a mock answers' says 'a mock upstream on this machine'
ok 'it shows the health' says '"status":"ok"'
ok 'it shows a streamed answer' says 'event: content_block_delta'
ok 'the answer comes to its end' says 'event: message_stop'
ok 'it tells how to point Claude Code at it' says 'ANTHROPIC_BASE_URL=http://127.0.0.1:'
ok 'it tells where to see what was used' says 'usage --by model'
first=$(grep -oE 'cr_[0-9a-f]{64}' "$shown" | head -n 1)
ok 'it has made a key' test -n "$first"

PORT=0 examples/quickstart/run.sh --once >"$shown" 2>&1 </dev/null
ok 'it can be run again' test $? = 0
ok 'and keeps the key' says "$first"

# A port that is taken: the mock of a third run.
node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => console.log(s.address().port)); setTimeout(() => process.exit(), 20000)' >"$shown.port" &
holder=$!
for _ in {1..50}; do [[ -s $shown.port ]] || sleep 0.1; done
PORT=$(<"$shown.port") examples/quickstart/run.sh --once >"$shown" 2>&1 </dev/null
ok 'a taken port ends it' test $? = 1
ok 'and is named' says "port $(<"$shown.port") is taken"
kill $holder
wait $holder 2>/dev/null
rm -f "$shown.port"
((failed == 0)) || cat "$shown"
echo "$passed passed, $failed failed, 0 skipped"
((failed == 0))
