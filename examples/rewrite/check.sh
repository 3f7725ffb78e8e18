#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Shows what README.md says of this example, against the mock upstream.
# shellcheck source=tests/support/example.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tests/support/example.sh"

export RELAY_KEY=cr_rewrite_0123456789abcdef ANTHROPIC_API_KEY=sk-ant-api03-team
sent='{ "max_tokens" : 16,"model":  "fast", "x-unknown":1.50,"messages":[{"role":"user","content":"Grüße \u00e9"}]}'
wanted=${sent/\"fast\"/\"claude-haiku-4-5\"}

start_mock
start_relay

post /research/v1/messages $RELAY_KEY "$sent" -H 'x-experiment: 7' -H 'x-kept: yes'
expect_status 'a request' 200
seen=$(mock_says requests | field 'JSON.stringify(x.at(-1))')
id=$(field 'x.id' <<<"$seen")
sees() { grep -qiF -- "$1" <<<"$seen"; }
misses() { ! sees "$1"; }
ok 'the prefix is gone' sees '"/v1/messages"'
ok 'the model is the mapped one' sees '"model":"claude-haiku-4-5"'
ok 'x-team is set' sees '"x-team","research"'
ok 'x-experiment is gone' misses x-experiment
ok 'x-kept passed' sees '"x-kept","yes"'
mock_says "requests/$id/body" >"$scratch/seen"
ok "the rest of the body is as sent, not $(<"$scratch/seen")" cmp -s "$scratch/seen" <(printf '%s' "$wanted")
