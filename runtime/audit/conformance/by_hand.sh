#!/bin/sh
# Checks a receipt with nothing but a POSIX shell, coreutils and openssl 3: the steps of
# docs/log-format.md ("A receipt by hand"), one after another.
#
#   by_hand.sh RECEIPT VKEY
set -eu
receipt=$1
vkey=$2
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
fail() { echo "receipt: $1" >&2; exit 1; }
sha() { openssl dgst -sha256 -binary "$1"; }

# 1. The body's digest stands in the entry.
sed -n 2p "$receipt" | tr -d '\n' >"$t/body"
sed -n 3p "$receipt" | tr -d '\n' >"$t/entry"
digest=$(sha "$t/body" | od -An -v -tx1 | tr -d ' \n')
grep -q "\"receipt\":\"$digest\"" "$t/entry" || fail "the body is not the one that was logged"

# 2. The entry's leaf hash: SHA-256 of a zero byte and the entry.
{ printf '\000'; cat "$t/entry"; } >"$t/x"
sha "$t/x" >"$t/hash"

# 3. Up the tree (RFC 9162 section 2.1.3.2), with the hashes after "index".
index=$(sed -n 's/^index //p' "$receipt")
sed '1,/^$/d' "$receipt" | sed '1,2d' | sed '/^$/,$d' >"$t/proof"
sed '1,/^$/d' "$receipt" | sed '1,/^$/d' >"$t/checkpoint"
size=$(sed -n 2p "$t/checkpoint")
[ "$index" -lt "$size" ] || fail "the index is beyond the tree"
fn=$index
sn=$((size - 1))
while read -r line; do
    [ "$sn" -ne 0 ] || fail "the proof is too long"
    printf '%s' "$line" | base64 -d >"$t/p"
    if [ $((fn & 1)) -eq 1 ] || [ "$fn" -eq "$sn" ]; then
        { printf '\001'; cat "$t/p" "$t/hash"; } >"$t/x"
        while [ $((fn & 1)) -eq 0 ] && [ "$fn" -ne 0 ]; do fn=$((fn >> 1)); sn=$((sn >> 1)); done
    else
        { printf '\001'; cat "$t/hash" "$t/p"; } >"$t/x"
    fi
    sha "$t/x" >"$t/hash"
    fn=$((fn >> 1))
    sn=$((sn >> 1))
done <"$t/proof"
[ "$sn" -eq 0 ] || fail "the proof is too short"
[ "$(base64 <"$t/hash")" = "$(sed -n 3p "$t/checkpoint")" ] || fail "the entry is not in this tree"

# 4. The log's signature over the checkpoint's text.
name=${vkey%%+*}
[ "$(sed -n 1p "$t/checkpoint")" = "$name" ] || fail "the checkpoint is of another log"
sed '/^$/,$d' "$t/checkpoint" >"$t/text"
id=$(printf '%s' "$vkey" | cut -d+ -f2)
printf '%s' "$vkey" | cut -d+ -f3- | base64 -d | tail -c 32 >"$t/raw"
{ printf '\060\052\060\005\006\003\053\145\160\003\041\000'; cat "$t/raw"; } >"$t/der"
found=no
grep "^— $name " "$t/checkpoint" | sed 's/.* //' >"$t/lines"
while read -r line; do
    printf '%s' "$line" | base64 -d >"$t/s"
    [ "$(head -c 4 "$t/s" | od -An -tx1 | tr -d ' \n')" = "$id" ] || continue
    tail -c +5 "$t/s" >"$t/sig"
    openssl pkeyutl -verify -pubin -inkey "$t/der" -keyform DER -rawin -in "$t/text" -sigfile "$t/sig" >/dev/null ||
        fail "the signature is not the log's"
    found=yes
done <"$t/lines"
[ "$found" = yes ] || fail "the log has not signed the checkpoint"
echo "by hand: entry $index of $size in $name, signed by $id"
