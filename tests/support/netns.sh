#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a command with nothing but the loopback interface, so that no test can reach the outside:
#   tests/support/netns.sh command…
# Works as root, and without it where user namespaces are allowed. Where neither is, it says so and
# runs the command as it is; with NETNS=require it fails instead (exit 125).
set -eu

if [ $# -eq 0 ]; then
  echo "usage: $0 command..." >&2
  exit 2
fi

up='ip link set lo up && exec "$@"'
if [ "$(id -u)" -eq 0 ] && unshare -n true 2>/dev/null; then
  exec unshare -n sh -c "$up" netns "$@"
fi
if unshare -rn true 2>/dev/null; then
  exec unshare -rn sh -c "$up" netns "$@"
fi
echo "netns.sh: no network namespace to be had here, the outside stays reachable" >&2
[ "${NETNS:-}" = require ] && exit 125
exec "$@"
