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
# What is in a home, by kind: one name a line would not do, some hold blanks.
names() {
    local home="$1"
    for list in dataset model product grant institution; do "$yunei" --home "$home" --json "$list" list; done >"$work/lists.json"
    "$yunei" --home "$home" --json audit list --kind run.released >"$work/runs.json"
    python3 - "$work/lists.json" "$work/runs.json" <<'PY'
import json, sys
decoder, text, at, names = json.JSONDecoder(), open(sys.argv[1]).read(), 0, {}
while at < len(text.rstrip()):
    found, at = decoder.raw_decode(text, at + (len(text[at:]) - len(text[at:].lstrip())))
    for kind, items in found.items():
        names[kind.rstrip("s")] = [item["id"] for item in items]
        if kind == "products":
            names["purpose"] = sorted({purpose for item in items for purpose in item["purposes"]})
names["run"] = [entry["fields"]["run"] for entry in json.load(open(sys.argv[2]))["entries"]]
print(json.dumps(names))
PY
}
"$yunei" --lang en demo --rows 2000 --keep "$work/demo" >"$work/demo.txt" 2>&1
mkdir "$work/data"
export SCHEMATHESIS_HOOKS=hooks PYTHONPATH="$here" YUNEI_NAMES="$work/names.json" PYTHONDONTWRITEBYTECODE=1
failed=0
for role in none business holder operator authority; do
    # A home of its own for each: what one role suspends or replaces is not there for the next.
    rm -rf "$work/role"; cp -a "$work/demo" "$work/role"
    home="$(find "$work/role" -name yunei.toml -printf '%h\n' -quit)"
    names "$home" >"$work/names.json"
    header=()
    if [ "$role" != none ]; then
        token="$("$yunei" --home "$home" --json token issue --institution "$role" --days 1 |
            python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])')"
        header=(--header "Authorization: Bearer $token")
    fi
    "$yunei" --home "$home" --json serve --listen 127.0.0.1:0 --data "$work/data" >"$work/serve.json" 2>"$work/serve.log" &
    server=$!
    for _ in $(seq 100); do grep -q listening "$work/serve.json" && break; sleep 0.1; done
    address="$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["listening"])' "$work/serve.json")"
    echo "== $role"
    # What takes credentials away comes last: afterwards there is nothing but 401.
    for methods in --exclude-method --include-method; do
        (cd "$work" && "$venv/bin/schemathesis" run "http://$address/v1/openapi.json" --url "http://$address" "${header[@]}" \
            --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
            --phases examples,coverage,fuzzing --max-examples "$examples" --seed 1 --request-timeout 60 --workers 1 \
            --suppress-health-check all "$methods" DELETE >"$work/$role$methods.txt" 2>&1) ||
            { failed=1; tail -n 200 "$work/$role$methods.txt"; }
        grep -hE '^ +[0-9]+ (generated|found|passed|skipped)|Tested' "$work/$role$methods.txt" | sort -u | head -4 || true
    done
    # How the requests were answered: a role that reaches nothing would show nothing.
    python3 - "$work/serve.log" <<'PY'
import collections, json, sys
seen = collections.Counter()
for line in open(sys.argv[1]):
    try:
        entry = json.loads(line)
    except ValueError:
        continue
    if "status" in entry:
        seen[entry["status"]] += 1
print("answers", dict(sorted(seen.items())))
PY
    kill "$server"; wait "$server" || failed=1; server=""
    "$yunei" --home "$home" audit verify
done
[ "$failed" = 0 ] && echo "conformance: passed"
exit "$failed"
