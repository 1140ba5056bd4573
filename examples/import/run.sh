#!/usr/bin/env bash
# usage: run.sh [folder for the home; default: a temporary one]
# Imports three trained models, compares each with what its own runtime said, and runs one in a product over the demo's residents.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-$(mktemp -d)}
yunei=${YUNEI:-yunei}

"$yunei" demo --rows 5000 --keep "$work/demo" > /dev/null
export YUNEI_HOME="$work/demo/home"
[ -d "$YUNEI_HOME" ] || export YUNEI_HOME="$work/demo"

for model in risk_xgboost.json risk_lightgbm.txt risk_sklearn.onnx; do
    name=${model%.*}
    names="$here/names.toml"
    [ "$name" = risk_sklearn ] && names="$here/names_sklearn.toml"
    "$yunei" model import "$here/models/$model" -o "$work/$name" --features "$names"
    "$yunei" model try "$work/$name" --against "$here/predictions/$name.csv"
done

"$yunei" model submit "$work/risk_xgboost/model.toml"
"$yunei" model approve risk-xgboost@1.0.0
"$yunei" product submit "$here/product.toml"
"$yunei" --as holder agree imported-risk
"$yunei" product approve imported-risk
echo "An agreement for the example." >"$work/agreement.txt"
"$yunei" grant add --institution operator --product imported-risk --purpose credit-research --agreement "$work/agreement.txt"
"$yunei" run imported-risk --purpose credit-research
