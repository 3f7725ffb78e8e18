#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The real clients, and clients of our own that know no manners, against the mock: straight and through
# the relay. Installs them from the lock files first, if that was not done; then nothing but the loopback
# interface is in reach.
#   tests/e2e/run.sh [--straight] [file.test.mjs…]
# --straight: without a relay. RELAY_BIN: the binary (build/release/relay). E2E_TIMEOUT: seconds (900).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=tests/support/packages.sh
. ../support/packages.sh

ways=both
if [[ ${1-} == --straight ]]; then
  ways=straight
  shift
fi
relay=${RELAY_BIN:-../../build/release/relay}
if [[ $ways == both && ! -x $relay ]]; then
  echo "no relay at $relay; build it, set RELAY_BIN, or pass --straight" >&2
  exit 2
fi

node=$(find_node 20 node)
node=$(realpath "$node")
PATH=$(dirname "$node"):$PATH npm_ci .

(($#)) || set -- ./*.test.mjs
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
timeout -k 10 "${E2E_TIMEOUT:-900}" ../support/netns.sh env -i \
  PATH="$(dirname "$node"):$PATH" HOME="$home" TMPDIR="$home" TZ=UTC LANG=C.UTF-8 \
  E2E_WAYS="$ways" RELAY_BIN="$(realpath -m "$relay")" RELAY_TEST_RUN="${RELAY_TEST_RUN-}" RELAY_LONG="${RELAY_LONG-}" \
  "$node" --test --test-reporter=spec "$@"
