#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The real clients against the mock, straight and through the relay. Installs them from the lock files
# first, if that was not done; then nothing but the loopback interface is in reach.
#   tests/e2e/run.sh [--straight] [file.test.mjs…]
# --straight: without a relay. RELAY_BIN: the binary (build/release/relay). E2E_TIMEOUT: seconds (600).
set -eu

cd "$(dirname "$0")"
ways=both
if [ "${1:-}" = --straight ]; then
  ways=straight
  shift
fi
relay=${RELAY_BIN:-../../build/release/relay}
if [ "$ways" = both ] && [ ! -x "$relay" ]; then
  echo "no relay at $relay; build it, set RELAY_BIN, or pass --straight" >&2
  exit 2
fi

# Once for each state of a lock file: npm ci takes a while, and wants the network.
install() {
  stamp=$1/node_modules/.installed
  if [ ! -f "$stamp" ] || ! cmp -s "$1/package-lock.json" "$stamp"; then
    (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    cp "$1/package-lock.json" "$stamp"
  fi
}

install .
node=$(command -v node || true)
major=$([ -z "$node" ] && echo 0 || "$node" -p 'process.versions.node.split(".")[0]')
if [ "$major" -lt 20 ]; then
  install node
  node=$(ls -d "$PWD"/node/node_modules/node-linux-*/bin/node)
fi

[ $# -gt 0 ] || set -- ./*.test.mjs
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
timeout -k 10 "${E2E_TIMEOUT:-600}" ../support/netns.sh env -i \
  PATH="$(dirname "$node"):$PATH" HOME="$home" TMPDIR="$home" TZ=UTC LANG=C.UTF-8 \
  E2E_WAYS="$ways" RELAY_BIN="$(realpath -m "$relay")" \
  "$node" --test --test-reporter=spec "$@"
