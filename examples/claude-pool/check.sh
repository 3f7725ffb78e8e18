#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Shows what README.md says of this example, against the mock upstream.
# shellcheck source=tests/support/example.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tests/support/example.sh"

export RELAY_KEY=cr_claude_pool_0123456789abcdef
export FIRST_KEY=sk-ant-api03-first SECOND_KEY=sk-ant-api03-second THIRD_KEY=sk-ant-api03-third
message='{"model":"claude-sonnet-4-5","max_tokens":16,"messages":[{"role":"user","content":"hello"}]}'
served() { mock_says stats | field "x.credentials['$1']?.requests ?? 0"; }

start_mock
start_relay

post /api/v1/messages $RELAY_KEY "$message"
expect_status 'the first request' 200
ok 'the account with the best priority serves' test "$(served $FIRST_KEY)" = 1

mock_script '{"match":{"credential":"sk-ant-api03-first"},"faults":["status-429;retry-after=3600"],"repeat":true}'
post /api/v1/messages $RELAY_KEY "$message"
expect_status 'with the first account limited' 200
ok 'nothing of the limit reaches the client' bash -c '! grep -qi "retry-after" <<<"$1"' check "$head"
ok 'the limited account was asked once' test "$(served $FIRST_KEY)" = 2

post /api/v1/messages $RELAY_KEY "$message"
expect_status 'the next one' 200
ok 'and is left alone then' test "$(served $FIRST_KEY)" = 2

before=$(served $SECOND_KEY)
for _ in 1 2 3 4; do
  post /api/v1/messages $RELAY_KEY "$message" -H 'x-claude-code-session-id: 11111111-0000-4000-8000-000000000001'
done
more=$(($(served $SECOND_KEY) - before))
ok "a session stays with one account: $more of 4 on one" test $((more % 4)) = 0

mock_script '{"match":{"path":"/v1/messages"},"faults":["status-429;retry-after=120"],"repeat":true}'
post /api/v1/messages $RELAY_KEY "$message"
expect_status 'with every account limited' 429
expect_head 'with every account limited' 'retry-after: '
expect_body 'with every account limited' 'rate_limit_error'
