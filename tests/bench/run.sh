#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Puts relay and nginx before the same fast upstream, each proxy alone on one core, upstream and
# load generator on another, and prints what each costs. See README.md for how to read it.
#
#   tests/bench/run.sh [--quick] [--tls] [--only nginx|relay] [--rounds N] [--json FILE] [--keep]
#
# RELAY_BIN       relay's program            (build/release/relay)
# BENCH_BIN_DIR   bench_upstream, bench_load (tests/ beside RELAY_BIN)
# NGINX_BIN       nginx                      (from PATH)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
relay_bin=${RELAY_BIN:-$root/build/release/relay}
bin_dir=${BENCH_BIN_DIR:-$(dirname "$relay_bin")/tests}
nginx_bin=${NGINX_BIN:-$(command -v nginx || command -v /usr/sbin/nginx || true)}
key=cr_bench_0123456789abcdef0123456789abcdef

quick=0 tls=0 only="" rounds="" json="" keep=0
all_arguments=("$@")
while (($#)); do
  case $1 in
    --quick) quick=1 ;;
    --tls) tls=1 ;;
    --only) only=$2; shift ;;
    --rounds) rounds=$2; shift ;;
    --json) json=$2; shift ;;
    --keep) keep=1 ;;
    *) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
  esac
  shift
done

fail() { echo "run.sh: $*" >&2; exit 2; }

# In a network of its own no other program's packets, ports or firewall rules take part.
if [[ $(id -u) == 0 && -z ${BENCH_OWN_NETWORK:-} ]] && command -v ip >/dev/null &&
  unshare -n true 2>/dev/null; then
  BENCH_OWN_NETWORK=1 exec unshare -n "${BASH_SOURCE[0]}" "${all_arguments[@]}"
fi
[[ -z ${BENCH_OWN_NETWORK:-} ]] || ip link set lo up

targets=(nginx relay)
[[ -z $only ]] || targets=("$only")
for target in "${targets[@]}"; do
  case $target in
    nginx)
      [[ -x $nginx_bin ]] || fail "nginx is missing (or use --only relay):" \
        "apt-get install -y --no-install-recommends nginx-light"
      ;;
    relay)
      [[ -x $relay_bin ]] || fail "no relay at $relay_bin (set RELAY_BIN, or use --only nginx):" \
        "cmake --preset release && cmake --build --preset release"
      ;;
    *) fail "--only takes nginx or relay" ;;
  esac
done
for program in bench_upstream bench_load; do
  [[ -x $bin_dir/$program ]] || fail "no $program in $bin_dir (or set BENCH_BIN_DIR):" \
    "build the targets bench_upstream and bench_load"
done

# The first two processors that this process may use: one for both ends, one for the proxy.
mapfile -t cpus < <(taskset -pc $$ | sed 's/.*: //' | tr , '\n' |
  awk -F- '{ for (i = $1; i <= (NF > 1 ? $2 : $1); i++) print i }')
((${#cpus[@]} >= 2)) || fail "two processors are needed, one for the proxy and one for both ends"
ends_cpu=${cpus[0]} proxy_cpu=${cpus[1]}

ulimit -n "$(ulimit -Hn)"
files=$(ulimit -n)
[[ $files != unlimited ]] || files=65536

if ((quick)); then
  : "${rounds:=2}"
  seconds=1 latency_seconds=1 events=100 repeat=5 settle=1 limit=90
else
  : "${rounds:=5}"
  seconds=2 latency_seconds=2 events=400 repeat=10 settle=1.5 limit=420
fi
counts=1000,5000
if ((files < 11000)); then
  counts=200,$((files / 2 - 300))
  echo "run.sh: only $files descriptors a process: memory is read at $counts idle streams" >&2
fi

work=$(mktemp -d)
results=$work/results.jsonl
started=()
declare -A port pid
stop_all() {
  for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
  wait 2>/dev/null || true
}
finish() {
  local code=$?
  stop_all
  if ((keep || (code != 0 && code != 130))); then
    echo "run.sh: logs are in $work" >&2
  else
    rm -rf "$work"
  fi
}
trap finish EXIT
trap 'exit 130' INT TERM

# wait_for WHAT COMMAND...: until the command succeeds, at most 10 s.
wait_for() {
  local what=$1 tries=0
  shift
  until "$@" 2>/dev/null; do
    ((++tries < 200)) || { tail -n 20 "$work"/*.log >&2 || true; fail "$what did not start"; }
    sleep 0.05
  done
}
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start_upstream() { # NAME [options]
  local name=$1
  shift
  taskset -c "$ends_cpu" "$bin_dir/bench_upstream" --port-file "$work/$name.port" "$@" \
    2>"$work/$name.log" &
  started+=($!)
  pid[$name]=$!
  wait_for "$name" test -s "$work/$name.port"
  port[$name]=$(<"$work/$name.port")
}

start_nginx() { # NAME SCHEME UPSTREAM-PORT
  local dir=$work/$1 listen tries=0 slots=$((files < 20100 ? files - 100 : 20000))
  mkdir -p "$dir"
  while :; do
    listen=$((20000 + RANDOM % 10000))
    answers "$listen" || break
    ((++tries < 20)) || fail "no free port for nginx"
  done
  sed -e "s|@DIR@|$dir|; s|@PORT@|$listen|; s|@SCHEME@|$2|; s|@UPSTREAM@|$3|" \
    -e "s|@USER@|$(id -un) $(id -gn)|; s|@FILES@|$files|; s|@CONNECTIONS@|$slots|" \
    "$here/nginx.conf.in" >"$dir/nginx.conf"
  taskset -c "$proxy_cpu" "$nginx_bin" -p "$dir" -e "$dir/nginx.log" -c "$dir/nginx.conf" \
    2>"$work/$1.log" &
  started+=($!)
  pid[$1]=$! port[$1]=$listen
  wait_for "nginx" answers "$listen"
}

start_relay() { # NAME SCHEME UPSTREAM-PORT
  local dir=$work/$1
  mkdir -p "$dir"
  cp "$here/relay.yaml" "$dir/relay.yaml"
  (
    cd "$dir"
    export RELAY_DATA=$dir BENCH_KEY=$key BENCH_ENDPOINT=$2://127.0.0.1:$3
    # Relay alone would read the authorities that the caller's environment names.
    unset SSL_CERT_FILE SSL_CERT_DIR
    [[ $2 == http ]] || export SSL_CERT_FILE=$work/tls.crt
    exec taskset -c "$proxy_cpu" "$relay_bin" serve --config relay.yaml --port-file port
  ) >"$work/$1.log" 2>&1 &
  started+=($!)
  pid[$1]=$!
  wait_for "relay" test -s "$dir/port"
  port[$1]=$(grep -oE '[0-9]+' "$dir/port" | tail -n 1)
}

stop() { # NAME
  kill "${pid[$1]}" 2>/dev/null || true
  wait "${pid[$1]}" 2>/dev/null || true
}

# measure CASE TARGET ROUND INSTANCE MODE [options]: one run of bench_load, one line of results.
measure() {
  local case_name=$1 target=$2 round=$3 instance=$4 mode=$5 line
  shift 5
  local watched=()
  [[ $target == direct ]] || watched=(--measure "${pid[$instance]}")
  line=$(taskset -c "$ends_cpu" "$bin_dir/bench_load" "$mode" \
    --port "${port[$instance]}" --key "$key" "${watched[@]}" "$@") ||
    fail "$case_name through $target went wrong: $line"
  echo "{\"case\":\"$case_name\",\"target\":\"$target\",\"round\":$round,${line#\{}" >>"$results"
}

# each CASE ROUND SUFFIX MODE [options]: nginx, then relay.
each() {
  local case_name=$1 round=$2 suffix=$3 target
  shift 3
  for target in "${targets[@]}"; do
    measure "$case_name" "$target" "$round" "$target$suffix" "$@"
  done
}

# The same straight to the upstream, then through each proxy.
with_direct() {
  measure "$1" direct "$2" upstream "${@:4}"
  each "$@"
}

one_round() {
  local r=$1
  each request_1k "$r" "" closed --seconds "$seconds"
  each request_cli "$r" "" closed --seconds "$seconds" --headers cli
  each request_200k "$r" "" closed --seconds "$seconds" --body 200000
  with_direct stream_paced "$r" "" stream --connections 200 --events "$events" --interval-us 20000
  each stream_unpaced "$r" "" stream --connections 200 --events 100 --repeat "$repeat"
  with_direct latency_1 "$r" "" paced --seconds "$latency_seconds" --connections 1 --period-us 10000
  with_direct latency_16 "$r" "" paced --seconds "$latency_seconds" --connections 16
  if ((tls)); then
    each tls_1k "$r" -tls closed --seconds "$seconds"
    each tls_200k "$r" -tls closed --seconds "$seconds" --body 200000
  fi
}

# idle CASE SCHEME UPSTREAM [options]: memory is read from fresh processes.
idle() {
  local case_name=$1 scheme=$2 upstream=$3 target
  shift 3
  for target in "${targets[@]}"; do
    "start_$target" "$target-$case_name" "$scheme" "${port[$upstream]}"
    measure "$case_name" "$target" 1 "$target-$case_name" idle \
      --counts "$counts" --settle "$settle" "$@"
    stop "$target-$case_name"
  done
}

begun=$SECONDS
start_upstream upstream
for target in "${targets[@]}"; do "start_$target" "$target" http "${port[upstream]}"; done
if ((tls)); then
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "$work/tls.key" -out "$work/tls.crt" 2>/dev/null
  start_upstream upstream-tls --certificate "$work/tls.crt" --key "$work/tls.key"
  for target in "${targets[@]}"; do
    "start_$target" "$target-tls" https "${port[upstream-tls]}"
  done
fi

done_rounds=0
while ((done_rounds < rounds)); do
  if ((SECONDS - begun > limit)); then
    echo "run.sh: $limit s are over after $done_rounds rounds; the others are left out" >&2
    break
  fi
  one_round $((++done_rounds))
done

idle idle http upstream
idle idle_200k http upstream --body 200000
((!tls)) || idle idle_tls https upstream-tls

machine="$(nproc) x $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)"
versions=""
for target in "${targets[@]}"; do
  case $target in
    nginx) versions+="$("$nginx_bin" -v 2>&1 | sed 's/.*: //') " ;;
    relay) versions+="$("$relay_bin" --version 2>&1 | head -n 1) " ;;
  esac
done
echo "$machine; ${versions% }"
echo "proxy on processor $proxy_cpu, both ends on $ends_cpu; $((SECONDS - begun)) s"
awk -v json="$json" -v machine="$machine; ${versions% }" -f "$here/table.awk" "$results"
