#!/usr/bin/env bash
# Measures a verification on PostgreSQL: a million people, an index over number and name, a synchronous audit row, a minimal
# axum handler, 64 connections and one. Needs initdb, pg_ctl and psql; as root it runs them as the account postgres.
# usage: run.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-10}
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
stop() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
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
"$peer" load http://127.0.0.1:18080/verify "$body" 3 64 >/dev/null
"$peer" load http://127.0.0.1:18080/verify "$body" "$seconds" 64
"$peer" load http://127.0.0.1:18080/verify "$body" "$seconds" 1
