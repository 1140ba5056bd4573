#!/bin/sh
# TPC-H orders through a domain, and whether the printed 95 % intervals hold: see README.md.
#
#   run.sh WORK_FOLDER        makes WORK_FOLDER/{data,home,out}; nothing is kept elsewhere
#
# Environment: YUNEI (the binary, default `yunei`), PYTHON (default `python3`), SCALE (default 1), RUNS (default 40).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=${1:?usage: run.sh WORK_FOLDER}
yunei=${YUNEI:-yunei}
python=${PYTHON:-python3}
scale=${SCALE:-1}
runs=${RUNS:-40}

holder=holder
operator=operator
authority=authority

mkdir -p "$work/data" "$work/out"
export YUNEI_HOME="$work/home"

# 1. The data, as the generator writes it; the catalogue entry lies beside it.
if [ ! -f "$work/data/orders.parquet" ]; then
    tpchgen-cli parquet -s "$scale" --tables=orders --output-dir "$work/data"
fi
cp "$here/dataset.toml" "$work/data/dataset.toml"

# 2. The domain: who takes part, what is there, what may be asked.
"$yunei" init --rules "$here/rules.toml"
"$yunei" --as "$holder" dataset register "$work/data/dataset.toml"
"$yunei" --as "$operator" product check "$here/product.toml"
"$yunei" --as "$operator" product submit "$here/product.toml"
"$yunei" --as "$holder" agree orders-by-priority
"$yunei" --as "$authority" product approve orders-by-priority
echo "TPC-H is made up: whoever runs this agrees with itself." >"$work/agreement.txt"
"$yunei" --as "$authority" grant add --institution "$operator" --product orders-by-priority --purpose benchmark \
    --agreement "$work/agreement.txt"

# 3. Forty questions with the same true answer.
i=0
while [ "$i" -lt "$runs" ]; do
    since=$("$python" -c "import datetime, sys; print(datetime.date(1990, 1, 1) + datetime.timedelta(int(sys.argv[1])))" "$i")
    "$yunei" --as "$operator" run orders-by-priority -p since="$since" --purpose benchmark -o "$work/out/$i.parquet"
    i=$((i + 1))
done

# 4. What was promised: the log holds, and so do the intervals.
"$yunei" audit verify
"$python" "$here/coverage.py" "$work/data/orders.parquet" "$work/out"
