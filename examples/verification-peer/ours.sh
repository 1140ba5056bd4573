#!/usr/bin/env bash
# Makes a home over made-up people in FOLDER and serves it: prints "ADDRESS TOKEN", then serves until it is stopped.
# usage: ours.sh FOLDER ROWS PORT. Environment: YUNEI (the binary), PYTHON (with pyarrow).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1 rows=$2 port=$3
yunei=${YUNEI:-yunei}
export YUNEI_HOME="$folder/home"
mkdir -p "$folder"
{
  "${PYTHON:-python3}" "$here/people.py" "$rows" "$folder/people.parquet"
  cp "$here/dataset.toml" "$folder/dataset.toml"
  # The limits of a day are not what is measured; all else is as shipped.
  sed -e 's/^business_per_day = .*/business_per_day = 900000000/' -e 's/^product_per_day = .*/product_per_day = 900000000/' \
    "$here/../../policy/src/rules.toml" > "$folder/rules.toml"
  "$yunei" init --rules "$folder/rules.toml"
  "$yunei" --as holder dataset register "$folder/dataset.toml"
  "$yunei" consent keygen "$folder/bureau.pem"
  "$yunei" issuer add bureau --key "$folder/bureau.pem.pub" --zh 授权中心 --en "Consent bureau"
  for product in product product-consented; do
    id=$(sed -n 's/^id = "\(.*\)"/\1/p' "$here/$product.toml")
    "$yunei" --as operator product submit "$here/$product.toml"
    "$yunei" --as holder agree "$id"
    "$yunei" --as authority product approve "$id"
    "$yunei" --as authority grant add --institution business --product "$id" --purpose loan \
      --agreement "$folder/rules.toml"
  done
} >&2
"$yunei" --json token issue --institution business --days 1 |
  python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])' > "$folder/token"
printf '[limits]\nverifications = 256\n' > "$folder/server.toml"
exec "$yunei" serve --config "$folder/server.toml" --listen "127.0.0.1:$port"
