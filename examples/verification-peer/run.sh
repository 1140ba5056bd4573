#!/usr/bin/env bash
# Measures a verification on PostgreSQL: a million people, an index over number and name, a synchronous audit row, a minimal
# axum handler, 64 connections and one; and, in turn with it, ours over HTTP with the same client and the same people, where
# YUNEI names a release build and PYTHON a Python with pyarrow. Needs initdb, pg_ctl and psql; as root it runs them as the
# account postgres.
# usage: run.sh [SECONDS] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-10}
rounds=${2:-3}
bin=${PGBIN:-$(dirname "$(readlink -f "$(command -v initdb)")")}
folder=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then
  chown postgres "$folder"
  as=(runuser -u postgres --)
fi
cargo build --release -q
peer=${CARGO_TARGET_DIR:-target}/release/verification-peer
server=
ours=
stop() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  [ -z "$ours" ] || kill "$ours" 2>/dev/null || true
  "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap stop EXIT
"${as[@]}" "$bin/initdb" -D "$folder/data" -U postgres -A trust >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/log" start \
  -o "-c listen_addresses= -c unix_socket_directories=$folder -c synchronous_commit=on -c fsync=on -c shared_buffers=512MB" >/dev/null
psql -q -h "$folder" -U postgres <<'SQL'
CREATE TABLE people (id text NOT NULL, name text NOT NULL, city text NOT NULL);
INSERT INTO people SELECT 'P' || lpad(i::text, 9, '0'), '张' || (i % 1000), (i % 9)::text FROM generate_series(0, 999999) i;
CREATE UNIQUE INDEX ON people (id, name);
CREATE TABLE audit (seq bigserial PRIMARY KEY, at timestamptz NOT NULL, id text NOT NULL, answer text NOT NULL);
VACUUM ANALYZE people;
SQL
"$peer" serve "$folder" 18080 &
server=$!
sleep 1
body='{"id":"P{n}","name":"张{m}","claim":"{c}"}'
if [ -n "${YUNEI:-}" ]; then
  here=$PWD
  mkdir "$folder/ours"
  "$here/ours.sh" "$folder/ours" 1000000 18081 >"$folder/ours.log" 2>&1 &
  ours=$!
  for _ in $(seq 600); do
    grep -q 18081 "$folder/ours.log" && break
    kill -0 "$ours" || { cat "$folder/ours.log"; exit 1; }
    sleep 0.5
  done
  token=$(cat "$folder/ours/token")
fi
our_body='{"product":"lives-in","purpose":"loan","identity":{"id":"P{n}","name":"张{m}"},"claim":"{c}"}'
consented='{"product":"lives-in-consented","purpose":"loan","identity":{"id":"P{n}","name":"张{m}"},"claim":"{c}","consent":"{t}"}'
measure() { # seconds connections
  echo -n "postgres  "
  "$peer" load http://127.0.0.1:18080/verify "$body" "$1" "$2"
  [ -z "$ours" ] || {
    echo -n "yunei     "
    "$peer" load http://127.0.0.1:18081/v1/verifications "$our_body" "$1" "$2" "$token"
    echo -n "consented "
    "$peer" load http://127.0.0.1:18081/v1/verifications "$consented" "$1" "$2" "$token" "$folder/ours/bureau.pem" bureau lives-in-consented
  }
}
echo "warm-up"
measure 3 64
for round in $(seq "$rounds"); do
  echo "round $round"
  measure "$seconds" 64
  measure "$seconds" 1
done
