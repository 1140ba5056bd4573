#!/bin/sh
# Gives a log of 1,000 entries to two verifiers that share no code with us. What cannot be installed
# is skipped, loudly; what is installed must accept the log and refuse every damage.
#
#   runtime/audit/conformance/run.sh [ENTRIES]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
entries=${1:-1000}

(cd "$root" && cargo build --quiet -p yunei-audit --example conformance_log)
target=${CARGO_TARGET_DIR:-$root/target}
"$target/debug/examples/conformance_log" "$work/data" "$entries"

if python3 -m venv "$work/venv" >/dev/null 2>&1 &&
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --ignore-requires-python aics-tlog >"$work/pip" 2>&1
then
    "$work/venv/bin/python" "$here/check_aics.py" "$work/data"
else
    echo "SKIPPED: aics-tlog cannot be installed here (python3-venv, pip install --ignore-requires-python aics-tlog)"
fi

# Debian: apt install golang-go golang-golang-x-mod-dev
if command -v go >/dev/null && [ -d /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog ]; then
    mkdir -p "$work/go/src"
    cp -r "$here/go" "$work/go/src/conformance"
    (cd "$work/go/src/conformance" &&
        GO111MODULE=off GOFLAGS= GOPATH="$work/go:/usr/share/gocode" GOCACHE="$work/cache" go run . "$work/data")
else
    echo "SKIPPED: Go's tlog is not installed here (apt install golang-go golang-golang-x-mod-dev)"
fi

# By hand: docs/log-format.md, with nothing but a shell, coreutils and openssl.
if command -v openssl >/dev/null && openssl version | grep -q '^OpenSSL [3-9]'; then
    sh "$here/by_hand.sh" "$work/data/receipt" "$(cat "$work/data/vkey")"
    for change in '2s/r-1/r-2/' '3s/"n":/"m":/' 's/^index 333/index 332/' '$s/[a-z]/A/10'; do
        sed "$change" "$work/data/receipt" >"$work/changed"
        if cmp -s "$work/changed" "$work/data/receipt"; then continue; fi
        if sh "$here/by_hand.sh" "$work/changed" "$(cat "$work/data/vkey")" >/dev/null 2>&1; then
            # The last line may be the witness's, which this check does not look at.
            [ "$change" = '$s/[a-z]/A/10' ] || { echo "by hand: accepted $change" >&2; exit 1; }
        fi
    done
else
    echo "SKIPPED: the check by hand needs openssl 3"
fi
