#!/usr/bin/env bash
# Load on loopback for a bounded time: reads at saturation with wrk, runs at saturation beside them; then: no answer but 2xx
# and 503, memory flat, budgets exact. Usage: run.sh [SECONDS] (60). Needs a release build of yunei, wrk, curl, python3.
set -euo pipefail
seconds="${1:-60}"
here="$(cd "$(dirname "$0")" && pwd)"
yunei="${YUNEI:-${CARGO_TARGET_DIR:-$here/../../../target}/release/yunei}"
for tool in wrk curl python3 "$yunei"; do command -v "$tool" >/dev/null || { echo "load: $tool is missing"; exit 2; }; done
case "$seconds" in *[!0-9]* | "") echo "usage: run.sh [SECONDS]"; exit 2 ;; esac
[ "$seconds" -le 600 ] || { echo "load: at most 600 seconds"; exit 2; }

work="$(mktemp -d)"
server=""
cleanup() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT

# Made-up data and a furnished home.
"$yunei" --lang en demo --rows "${ROWS:-100000}" --keep "$work/demo" >"$work/demo.txt" 2>&1
home="$(find "$work/demo" -name yunei.toml -printf '%h\n' -quit)"
# The demo's budget is made to run out; this one bears what is asked here.
sed -i -e 's/^dataset = .*/dataset = 100.0/' -e 's/^institution_dataset = .*/institution_dataset = 100.0/' \
    -e 's/^product = .*/product = 100.0/' "$home/policy/rules.toml"
token="$("$yunei" --home "$home" --json token issue --institution operator --scope read --scope use --days 1 | python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])')"
"$yunei" --home "$home" --json serve --listen 127.0.0.1:0 >"$work/serve.json" 2>"$work/serve.log" &
server=$!
for _ in $(seq 100); do grep -q listening "$work/serve.json" && break; sleep 0.1; done
address="$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["listening"])' "$work/serve.json")"
case "$address" in 127.0.0.1:*) ;; *) echo "load: not on loopback: $address"; exit 2 ;; esac

rss() { awk '/^VmRSS:/ {print $2}' "/proc/$server/status"; }
cat >"$work/auth.lua" <<LUA
wrk.headers["Authorization"] = "Bearer $token"
done = function(summary, latency, requests)
  io.write(string.format("requests %d\nseconds %.1f\nsocket_errors %d\np50_us %d\np99_us %d\n", summary.requests, summary.duration / 1e6,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, latency:percentile(50), latency:percentile(99)))
end
LUA
echo "rss_kib before $(rss)"
wrk -t 1 -c 32 -d 5s -s "$work/auth.lua" "http://$address/v1/products" >/dev/null
warm="$(rss)"
echo "rss_kib warm $warm"
python3 "$here/runs.py" "$address" "$token" "$seconds" >"$work/runs.txt" &
runs=$!
# Memory every ten seconds: whether it levels off.
(while sleep 10; do echo "rss_kib $(rss)"; done) 2>/dev/null &
watching=$!
wrk -t 1 -c 64 -d "${seconds}s" --timeout 30s -s "$work/auth.lua" "http://$address/v1/products"
wait "$runs" || { cat "$work/runs.txt"; exit 1; }
kill "$watching" 2>/dev/null || true
cat "$work/runs.txt"
after="$(rss)"
echo "rss_kib after $after"
curl -sf "http://$address/metrics" | grep '^yunei_requests_total' | tee "$work/metrics.txt"
# No status but 2xx and 503.
if grep -v -E 'status="(2..|503)"' "$work/metrics.txt"; then echo "load: FAILED, another answer than 2xx and 503"; exit 1; fi
[ "$after" -lt $((warm * 3 / 2 + 65536)) ] || { echo "load: FAILED, memory grew from $warm to $after KiB"; exit 1; }
kill "$server"; wait "$server" || true; server=""
# The ledger against the log: what was charged is what was released or failed, line by line.
"$yunei" --home "$home" audit export -o "$work/log.jsonl" >/dev/null
"$yunei" --home "$home" --json budget show >"$work/budget.json"
python3 "$here/budgets.py" "$work/log.jsonl" "$work/budget.json"
"$yunei" --home "$home" audit verify
echo "load: passed"
