#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Shows what README.md says of this example, against the mock upstream.
# shellcheck source=tests/support/example.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tests/support/example.sh"

export RELAY_KEY=cr_gemini_0123456789abcdef GEMINI_API_KEY=AIza-studio
prompt='{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}'
assist='{"model":"gemini-2.5-pro","project":"any","user_prompt_id":"1","request":{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}}'

start_mock --forbid $RELAY_KEY
start_relay

post '/gemini/v1beta/models/gemini-2.5-pro:generateContent' none "$prompt" -H "x-goog-api-key: $RELAY_KEY" -H 'x-api-key;'
expect_status 'the key in x-goog-api-key' 200
expect_body 'the key in x-goog-api-key' '"candidates"'

status=$(curl -sS --max-time 20 -o "$scratch/body" -w '%{http_code}' -H 'content-type: application/json' -d "$prompt" \
  "$url/gemini/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&key=$RELAY_KEY")
body=$(<"$scratch/body")
expect_status 'the key in the query, streamed' 200
expect_body 'the key in the query, streamed' 'data: {'
expect_body 'the key in the query, streamed' '"finishReason"'

post '/gemini/v1beta/models/gemini-pro:generateContent' $RELAY_KEY "$prompt"
expect_status 'a mapped model' 200
ok 'the mapped model is asked for' grep -qF 'models/gemini-2.5-pro:generateContent' <<<"$(mock_says requests | field 'x.map((r) => r.path).at(-1)')"

post '/gemini/v1internal:loadCodeAssist' $RELAY_KEY '{"metadata":{"pluginType":"GEMINI"}}' -H "authorization: Bearer $RELAY_KEY"
expect_status 'start-up of the CLI in Code Assist mode' 200
expect_body 'start-up of the CLI in Code Assist mode' 'currentTier'
post '/gemini/v1internal:streamGenerateContent?alt=sse' $RELAY_KEY "$assist"
expect_status 'a turn in Code Assist mode' 200
expect_body 'a turn in Code Assist mode' '"response"'

post '/gemini/v1beta/models/gemini-2.5-pro:generateContent' cr_nobody_0123456789 "$prompt"
expect_status 'a wrong key' 401
expect_body 'a wrong key' '"code"'
ok 'no relay key reached the upstream' test "$(mock_says stats | field 'x.leaks.length')" = 0
