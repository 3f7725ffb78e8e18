# SPDX-License-Identifier: MIT
# Turns the flat JSON lines of run.sh (one a measurement, with case, target and round) into the table and,
# with -v json=FILE, into the result file. Each figure is the median over the rounds; a ratio is the
# median of the rounds' own ratios; "added" figures have the same round's figure without a proxy taken off.

function read_line(line,    part, i, name, value) {
  gsub(/[{}"]/, "", line)
  split(line, part, ",")
  split("", field)
  for (i in part) {
    name = value = part[i]
    sub(/:.*/, "", name)
    sub(/^[^:]*:/, "", value)
    field[name] = value
  }
  for (name in field) figure[field["case"], field["target"], field["round"], name] = field[name]
  if (field["round"] + 0 > rounds) rounds = field["round"] + 0
  seen[field["target"]] = 1
}

function median(list, count,    i, j, swap) {
  if (count == 0) return ""
  for (i = 2; i <= count; i++)
    for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
      swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
    }
  return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}

# The figure of one round, or "" if it was not measured.
function of_round(target, round, name, added,    value, base) {
  value = figure[current, target, round, name]
  if (value == "" || !added) return value
  base = figure[current, "direct", round, name]
  return base == "" ? "" : value - base
}

function over_rounds(target, name, added, scale,    r, value, list, count) {
  count = 0
  for (r = 1; r <= rounds; r++) {
    value = of_round(target, r, name, added)
    if (value != "") list[++count] = value / scale
  }
  return median(list, count)
}

function ratio_over_rounds(name, added,    r, a, b, list, count) {
  count = 0
  for (r = 1; r <= rounds; r++) {
    a = of_round("relay", r, name, added)
    b = of_round("nginx", r, name, added)
    if (a != "" && b != "" && b > 0) list[++count] = a / b
  }
  return median(list, count)
}

function shown(value, digits) { return value == "" ? "-" : sprintf("%." digits "f", value) }
function json_number(value) { return value == "" ? "null" : sprintf("%.4g", value) }

# One row. goal: "x0.75" bounds the ratio, "5" the relay's figure, "" nothing.
function row(label, unit, case_name, name, added, scale, digits, goal,    n, r, ratio, verdict, limit) {
  current = case_name
  n = over_rounds("nginx", name, added, scale)
  r = over_rounds("relay", name, added, scale)
  if (n == "" && r == "") return
  ratio = ratio_over_rounds(name, added)
  limit = goal
  verdict = ""
  if (sub(/^x/, "", limit)) { if (ratio != "") verdict = sprintf("%.2f", ratio) + 0 <= limit + 0 ? "met" : "missed" }
  else if (goal != "" && r != "") verdict = r <= limit + 0 ? "met" : "missed"
  printf "%-52s %10s %10s %8s  %-7s %s\n", label ", " unit, shown(n, digits), shown(r, digits),
         shown(ratio, 2), goal, verdict
  if (json != "")
    printf "%s\n    {\"name\": \"%s\", \"unit\": \"%s\", \"nginx\": %s, \"relay\": %s, \"ratio\": %s, \"goal\": \"%s\"}",
           (rows++ ? "," : ""), label, unit, json_number(n), json_number(r), json_number(ratio), goal > json
}

{ read_line($0) }

END {
  if (json != "") printf "{\n  \"machine\": \"%s\",\n  \"rounds\": %d,\n  \"rows\": [", machine, rounds > json
  printf "%-52s %10s %10s %8s  %s\n", "median of " rounds " rounds", "nginx", "relay", "ratio", "goal"
  row("1 kB request, 64 connections: CPU", "us", "request_1k", "cpu_us", 0, 1, 1, "x1.0")
  row("1 kB request, 64 connections", "requests/s", "request_1k", "requests_per_s", 0, 1, 0, "")
  row("1 kB request, 64 connections: proxy's core busy", "%", "request_1k", "busy_percent", 0, 1, 0, "")
  row("the same with Claude Code's headers: CPU", "us", "request_cli", "cpu_us", 0, 1, 1, "x1.0")
  row("200 kB request, 64 connections: CPU", "us", "request_200k", "cpu_us", 0, 1, 1, "x0.75")
  row("200 kB request, 64 connections", "requests/s", "request_200k", "requests_per_s", 0, 1, 0, "")
  row("200 kB request: proxy's core busy", "%", "request_200k", "busy_percent", 0, 1, 0, "")
  row("200 streams, an event each 20 ms: CPU an event", "us", "stream_paced", "cpu_us", 0, 1, 2, "x1.0")
  row("added delay of an event, p50", "us", "stream_paced", "p50_us", 1, 1, 1, "x1.1")
  row("added delay of an event, p99", "us", "stream_paced", "p99_us", 1, 1, 1, "")
  row("200 streams without pause: CPU an event", "us", "stream_unpaced", "cpu_us", 0, 1, 2, "x1.0")
  row("200 streams without pause", "events/s", "stream_unpaced", "events_per_s", 0, 1, 0, "")
  row("added latency, 1 connection, p50", "us", "latency_1", "p50_us", 1, 1, 1, "x1.0")
  row("added latency, 16 connections, p50", "us", "latency_16", "p50_us", 1, 1, 1, "x1.0")
  row("TLS upstream, 1 kB request: CPU", "us", "tls_1k", "cpu_us", 0, 1, 1, "x1.0")
  row("TLS upstream, 200 kB request: CPU", "us", "tls_200k", "cpu_us", 0, 1, 1, "x1.0")
  row("memory of an idle stream (slope)", "KB", "idle", "kb_per_stream", 0, 1, 1, "5")
  row("the same after a 200 kB request", "KB", "idle_200k", "kb_per_stream", 0, 1, 1, "5")
  row("the same, TLS upstream", "KB", "idle_tls", "kb_per_stream", 0, 1, 1, "25")
  row("resident at start", "MB", "idle", "start_rss_kb", 0, 1024, 1, "10")
  row("resident with the idle streams", "MB", "idle", "last_rss_kb", 0, 1024, 1, "35")
  if (json != "") printf "\n  ]\n}\n" > json
}
