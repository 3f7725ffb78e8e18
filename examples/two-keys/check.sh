#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Shows what README.md says of this example, against the mock upstream.
# shellcheck source=tests/support/example.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tests/support/example.sh"

export ALICE_KEY=cr_two_keys_alice_0123456789 BOB_KEY=cr_two_keys_bob_0123456789
export ANTHROPIC_API_KEY=sk-ant-api03-team GEMINI_API_KEY=AIza-studio
message() { printf '{"model":"%s","max_tokens":16,"messages":[{"role":"user","content":"hello"}]}' "$1"; }

start_mock --forbid $ALICE_KEY --forbid $BOB_KEY
start_relay

for _ in 1 2 3; do
  post /api/v1/messages $ALICE_KEY "$(message claude-sonnet-4-5)"
  expect_status 'a request of Alice within her limit' 200
done
post /api/v1/messages $ALICE_KEY "$(message claude-sonnet-4-5)"
expect_status "Alice's fourth request" 429
expect_body "Alice's fourth request" 'rate_limit_error'
seconds=$(sed -n 's/^retry-after: //p' <<<"$head")
# Starts are counted in whole seconds, of which the last may count one too many.
ok "retry-after is within the minute, not '$seconds'" test "${seconds:-0}" -ge 1 -a "${seconds:-0}" -le 61
post /api/v1/messages/count_tokens $ALICE_KEY "$(message claude-sonnet-4-5)"
expect_status 'counting tokens beyond the limit' 200

post /api/v1/messages $BOB_KEY "$(message claude-sonnet-4-5)"
expect_status "Bob's request" 200
post /api/v1/messages $BOB_KEY "$(message claude-opus-5-5)"
expect_status 'a model that Bob may not use' 403
expect_head 'a model that Bob may not use' 'x-should-retry: false'
post '/gemini/v1beta/models/gemini-2.5-pro:generateContent' $BOB_KEY '{"contents":[]}'
expect_status 'a service that Bob may not use' 403

post /api/v1/messages cr_nobody_0123456789 "$(message claude-sonnet-4-5)"
expect_status 'a wrong key' 401
expect_head 'a wrong key' 'x-should-retry: false'
expect_body 'a wrong key' 'authentication_error'

usage=$("$relay" usage --by key --json --config "$example/relay.yaml" 2>&1)
ok "relay usage names both keys: $usage" bash -c 'grep -q alice <<<"$1" && grep -q bob <<<"$1"' check "$usage"
ok 'no relay key reached the upstream' test "$(mock_says stats | field 'x.leaks.length')" = 0
