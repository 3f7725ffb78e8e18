#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Shows what README.md says of this example, against the mock upstream and a redis-server.
# shellcheck source=tests/support/example.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tests/support/example.sh"

export RELAY_KEY=cr_redis_alice_0123456789 ANTHROPIC_API_KEY=sk-ant-api03-team
export ENCRYPTION_KEY=0123456789abcdef0123456789abcdef
export REDIS_HOST=127.0.0.1 REDIS_PASSWORD=redis-example-0123
REDIS_PORT=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
export REDIS_PORT
message='{"model":"claude-sonnet-4-5","max_tokens":16,"messages":[{"role":"user","content":"hello"}]}'

start_redis() {
  redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --requirepass $REDIS_PASSWORD --dir "$scratch" --save '' \
    --appendonly yes >"$scratch/redis.log" 2>&1 &
  redis=$!
  programs+=("$redis")
}
# becomes PATH TEXT: within ten seconds the answer holds it.
becomes() {
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    [[ $(curl -sS --max-time 20 "$url$1") != *"$2"* ]] || return 0
    sleep 0.1
  done
  return 1
}
requests() { "$relay" usage --by key --json --config "$example/relay.yaml" 2>/dev/null | field 'x.total.requests'; }

start_mock
start_redis
start_relay
serving=${programs[-1]}
ok 'it connects' becomes /health '"redis":"connected"'
post /api/v1/messages $RELAY_KEY "$message"
expect_status 'a request' 200

kill -9 "$redis"
wait "$redis" 2>/dev/null || true
ok 'a lost store shows' becomes /health '"status":"degraded"'
ok 'and is named' becomes /health '"redis":"disconnected"'
post /api/v1/messages $RELAY_KEY "$message"
expect_status 'a request meanwhile' 200

start_redis
ok 'it comes back' becomes /health '"status":"ok"'
ok 'commands are counted' becomes /ready '"store_commands":{"month":'
kill "$serving"
wait "$serving"
rm -rf "$scratch/data" "$scratch/relay.port"
start_relay
ok "another machine has all of it: $(requests)" test "$(requests)" = 2

refusal=$(env -u ENCRYPTION_KEY "$relay" check --config "$example/relay.yaml" 2>&1)
ok 'without an encryption key it does not start' grep -qF 'ENCRYPTION_KEY' <<<"$refusal"
