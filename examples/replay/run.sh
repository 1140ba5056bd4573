#!/bin/sh
# 200 runs of the demo's products on the demo's data, each replayed.
#   replay.sh [YUNEI] [ROWS] [RUNS]
set -eu
yunei=${1:-yunei}
rows=${2:-20000}
runs=${3:-200}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$yunei" demo --rows "$rows" --keep "$work/demo" >/dev/null
home=$work/home
y() { "$yunei" --home "$home" "$@" >/dev/null; }
# The demo's budget is made to run out; this one bears two hundred runs.
sed -e 's/^dataset = .*/dataset = 100.0/' -e 's/^institution_dataset = .*/institution_dataset = 100.0/' \
    -e 's/^product = .*/product = 100.0/' "$work/demo/home/policy/rules.toml" >"$work/rules.toml"
y init --name replay.example/demo --rules "$work/rules.toml"
for dataset in residents electricity; do y dataset register "$work/demo/data/$dataset.toml"; done
model=$(find "$work/demo" -name 'credit-risk*.toml' -o -path '*models/credit-risk/*.toml' | head -1)
y --as operator model submit "$model"
y --as authority model approve "$("$yunei" --home "$home" --json model list | sed -n 's/.*"id": "\(credit-risk@[^"]*\)".*/\1/p' | head -1)"
for product in risk-by-city electricity-by-risk; do
    y --as operator product submit "$(find "$work/demo" -name "$product.toml" | head -1)"
    y --as holder agree "$product"
    y --as authority product approve "$product"
    y --as authority grant add --institution operator --product "$product" --agreement "$work/rules.toml"
done
n=0
while [ "$n" -lt "$runs" ]; do
    least=$((18 + n % 60))
    most=$((least + 8 + n / 60))
    y --as operator run risk-by-city --purpose credit-research -p min_age=$least -p max_age=$most
    n=$((n + 1))
done
"$yunei" --home "$home" audit replay --all
"$yunei" --home "$home" audit usage
