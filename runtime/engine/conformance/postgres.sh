#!/usr/bin/env bash
# The suites of the store against PostgreSQL: a throw-away cluster from the machine's own package, stopped and removed at the
# end. Skipped, loudly, where there is none; a suite that fails against it fails the run.
#
#   postgres.sh                 the registry, verifications, the interface from end to end, two servers
#   postgres.sh COMMAND...      that command, with YUNEI_TEST_POSTGRES set
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
if [ -z "$bin" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] && [ "${YUNEI_INSTALL_POSTGRES:-}" = 1 ]; then
    apt-get install -qqy --no-install-recommends postgresql >/dev/null 2>&1 || true
    bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
fi
if [ -z "$bin" ] || ! command -v psql >/dev/null; then
    printf '\n== SKIPPED: PostgreSQL is not installed (Debian: apt-get install postgresql); the store was NOT tested on it\n'
    exit 0
fi

# In memory where there is room: the tests make a database for each home. A cluster on a disk says yes to the same settings.
under=/tmp
if [ "$(df --output=avail -k /dev/shm 2>/dev/null | tail -1 || echo 0)" -gt 3000000 ]; then under=/dev/shm; fi
place=$(mktemp -d "$under/yunei-pg.XXXXXX")
as=()
# The server refuses to run as root.
if [ "$(id -u)" = 0 ]; then
    chown postgres "$place"
    as=(setpriv --reuid=postgres --regid=postgres --init-groups)
fi
chmod 711 "$place"
stop() {
    "${as[@]}" "$bin/pg_ctl" -D "$place/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$place"
}
trap stop EXIT

PGPASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export PGPASSWORD
printf '%s\n' "$PGPASSWORD" | "${as[@]}" tee "$place/word" >/dev/null
"${as[@]}" "$bin/initdb" -D "$place/data" -U keeper -A scram-sha-256 --pwfile="$place/word" -E UTF8 --locale=C.UTF-8 >/dev/null
"${as[@]}" rm "$place/word"
# By a port that is free, on this machine alone.
port=$((20000 + RANDOM % 20000))
"${as[@]}" tee -a "$place/data/postgresql.conf" >/dev/null <<C
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$place'
max_connections = 400
C
"${as[@]}" "$bin/pg_ctl" -D "$place/data" -l "$place/log" -w start >/dev/null
export YUNEI_TEST_POSTGRES="postgres://keeper@127.0.0.1:$port/postgres"
printf 'PostgreSQL %s at %s\n' "$("$bin/postgres" --version | awk '{print $3}')" "$place"

if [ $# -gt 0 ]; then
    "$@"
    exit
fi
cargo test --workspace --test registry --test verification --test story --test two_servers
