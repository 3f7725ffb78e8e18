# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What relay needs of Debian 12 and of npm, and how to get it. Sourced by the quickstart, the tests
# and the Dockerfile, so that each list exists once.

# To build the program.
export build_packages=(
  clang-19 lld-19 llvm-19 libstdc++-12-dev cmake ninja-build pkg-config
  libuv1-dev node-llhttp libnghttp2-dev libssl-dev zlib1g-dev libyaml-cpp-dev libsqlite3-dev libhiredis-dev
  libspdlog-dev libfmt-dev prometheus-cpp-dev libcctz-dev libsimdjson-dev libmimalloc-dev rapidjson-dev)

# What the quickstart wants beside it.
export quickstart_packages=(curl ca-certificates)

# To build and run the tests.
export test_packages=(
  libgtest-dev libgmock-dev libclang-rt-19-dev clang-format-19 clang-tidy-19 shellcheck ccache
  redis-server tinyproxy-bin microsocks curl ca-certificates openssl iproute2 procps git xz-utils)

# missing_packages NAME…: prints those that are not installed.
missing_packages() {
  local name
  for name in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
      printf '%s\n' "$name"
  done
}

# install_packages NAME…: asks apt for what is missing, and for nothing where nothing is. Returns 3,
# with the line to run, where there are no rights to. Starts no service that a package brings.
install_packages() {
  local missing as_root=() policy="" status=0
  missing=$(missing_packages "$@")
  [[ -n $missing ]] || return 0
  mapfile -t missing <<<"$missing"
  if [[ $(id -u) != 0 ]]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
      printf 'These packages are missing, and installing them needs root. Run:\n\n  %s\n\n' \
        "sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
      return 3
    fi
    as_root=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null; then
    printf 'No apt-get here. relay is built on Debian 12; it needs: %s\n' "${missing[*]}" >&2
    return 3
  fi
  printf 'Installing %s\n' "${missing[*]}" >&2
  if [[ ! -e /usr/sbin/policy-rc.d ]]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y
    -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
  local log
  log=$(mktemp)
  # The lists may be older than the archive: fetched anew only when the first try fails.
  "${apt[@]}" install --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
    { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
    status=1
  ((status == 0)) || tail -n 20 "$log" >&2
  rm -f "$log"
  [[ -z $policy ]] || "${as_root[@]}" rm -f $policy
  ((status == 0)) || printf 'apt-get could not install %s\n' "${missing[*]}" >&2
  return $status
}

# node_version PROGRAM: its major version, 0 if it does not run.
node_version() {
  "$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0
}

# find_node LEAST FOLDER: prints the path of a Node that is at least LEAST: the one on PATH, else the
# npm package `node` by the lock file in FOLDER, else (where there is no npm either) Debian's.
find_node() {
  local least=$1 folder=$2 node
  node=$(command -v node || true)
  if [[ -n $node && $(node_version "$node") -ge $least ]]; then
    printf '%s\n' "$node"
    return 0
  fi
  if ! command -v npm >/dev/null; then
    # Debian's Node is 18: enough for some, and its npm brings a newer one.
    install_packages nodejs >&2 || return
    node=$(command -v node)
    if [[ $(node_version "$node") -ge $least ]]; then
      printf '%s\n' "$node"
      return 0
    fi
    install_packages npm >&2 || return
  fi
  npm_ci "$folder" >&2 || return
  for node in "$folder"/node_modules/node-linux-*/bin/node "$folder"/node_modules/node/bin/node; do
    if [[ -x $node && $(node_version "$node") -ge $least ]]; then
      realpath "$node"
      return 0
    fi
  done
  printf 'No Node %s or newer: neither on PATH nor by npm in %s\n' "$least" "$folder" >&2
  return 1
}

# npm_ci FOLDER: installs by its lock file, once for each state of that file.
npm_ci() {
  local folder=$1 stamp=$1/node_modules/.installed
  ! cmp -s "$folder/package-lock.json" "$stamp" || return 0
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || return
  cp "$folder/package-lock.json" "$stamp"
}
