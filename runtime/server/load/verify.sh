#!/usr/bin/env bash
# Verifications at saturation on loopback, with as many in flight as each of some limits: what is answered, what is told to come
# again, how long it takes. Usage: verify.sh [SECONDS] [CONNECTIONS] [LIMIT…] (15 64 8 64 256). Needs a release build of yunei,
# wrk, python3 with pyarrow. The last line of each run is the check of its log.
set -euo pipefail
seconds="${1:-15}"; connections="${2:-64}"; shift "$(($# > 2 ? 2 : $#))"
[ "$#" -gt 0 ] || set -- 8 64 256
here="$(cd "$(dirname "$0")" && pwd)"
yunei="${YUNEI:-${CARGO_TARGET_DIR:-$here/../../../target}/release/yunei}"
for tool in wrk python3 "$yunei"; do command -v "$tool" >/dev/null || { echo "verify: $tool is missing"; exit 2; }; done
work="$(mktemp -d)"
server=""
cleanup() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
"$yunei" --lang en demo --rows "${ROWS:-100000}" --keep "$work/demo" >"$work/demo.txt" 2>&1
python3 "$here/subjects.py" "$(find "$work/demo" -name 'residents*.parquet' | head -1)" >"$work/subjects.jsonl"
home="$(find "$work/demo" -name yunei.toml -printf '%h\n' -quit)"
# The quotas of a day are not what is measured.
sed -i -e 's/_per_day = .*/_per_day = 900000000/' "$home/policy/rules.toml"
token="$("$yunei" --home "$home" --json token issue --institution business --days 1 |
    python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])')"
export YUNEI_TOKEN="$token" YUNEI_SUBJECTS="$work/subjects.jsonl"
for limit in "$@"; do
    printf '[limits]\nverifications = %s\nrequests = %s\n' "$limit" "$((limit > 256 ? limit : 256))" >"$work/server.toml"
    env -u YUNEI_TOKEN "$yunei" --home "$home" --json serve --config "$work/server.toml" --listen 127.0.0.1:0 >"$work/serve.json" 2>/dev/null &
    server=$!
    for _ in $(seq 300); do grep -q listening "$work/serve.json" && break; sleep 0.1; done
    address="$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["listening"])' "$work/serve.json")"
    wrk -t 1 -c 4 -d 2s -s "$here/verify.lua" "http://$address" >/dev/null
    echo "== at most $limit in flight, $connections connections, load $(cut -d' ' -f1 /proc/loadavg)"
    wrk -t 1 -c "$connections" -d "${seconds}s" -s "$here/verify.lua" "http://$address" | grep -E '^[a-z0-9_]+ [0-9]+$'
    awk '/^Vm(RSS|HWM):/ {print "memory", $1, $2}' "/proc/$server/status"
    kill "$server"; wait "$server" || true; server=""
    env -u YUNEI_TOKEN "$yunei" --home "$home" audit verify | head -1
done
