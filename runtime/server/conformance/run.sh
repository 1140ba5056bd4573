#!/usr/bin/env bash
# The interface against its own description, by schemathesis: with the credentials of each role and with none, no 5xx and no
# answer that is not described. Usage: run.sh [EXAMPLES] (50 per operation). Needs yunei, python3 with venv, and the registry
# of Python packages or a wheel cache.
set -euo pipefail
examples="${1:-50}"
here="$(cd "$(dirname "$0")" && pwd)"
yunei="${YUNEI:-${CARGO_TARGET_DIR:-$here/../../../target}/debug/yunei}"
command -v "$yunei" >/dev/null || { echo "conformance: build yunei first"; exit 2; }
work="$(mktemp -d)"
server=""
cleanup() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
venv="${SCHEMATHESIS_VENV:-$work/venv}"
if [ ! -x "$venv/bin/schemathesis" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet 'schemathesis>=4,<5' ||
        { echo "conformance: SKIPPED, schemathesis can not be installed"; exit 0; }
fi
"$yunei" --lang en demo --rows 2000 --keep "$work/demo" >"$work/demo.txt" 2>&1
home="$(find "$work/demo" -name yunei.toml -printf '%h\n' -quit)"
issue() {
    "$yunei" --home "$home" --json token issue --institution "$1" --days 1 |
        python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])'
}
declare -A token
for role in holder operator business authority; do token[$role]="$(issue "$role")"; done
mkdir "$work/data"
"$yunei" --home "$home" --json serve --listen 127.0.0.1:0 --data "$work/data" >"$work/serve.json" 2>"$work/serve.log" &
server=$!
for _ in $(seq 100); do grep -q listening "$work/serve.json" && break; sleep 0.1; done
address="$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["listening"])' "$work/serve.json")"
failed=0
for role in none business holder operator authority; do
    echo "== $role"
    header=(); [ "$role" = none ] || header=(--header "Authorization: Bearer ${token[$role]}")
    "$venv/bin/schemathesis" run "http://$address/v1/openapi.json" --url "http://$address" "${header[@]}" \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
        --phases examples,coverage,fuzzing --max-examples "$examples" --seed 1 --request-timeout 60 --workers 1 \
        --suppress-health-check all >"$work/$role.txt" 2>&1 || { failed=1; tail -n 120 "$work/$role.txt"; }
    grep -E 'operations|Test cases|cases' "$work/$role.txt" | tail -4 || true
done
kill "$server"; wait "$server" || true; server=""
"$yunei" --home "$home" audit verify
[ "$failed" = 0 ] && echo "conformance: passed"
exit "$failed"
