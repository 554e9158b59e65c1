#!/usr/bin/env bash
# A private PostgreSQL 15 that a benchmark compares with, and tests send crowds to: postgres.sh start DIR | stop DIR | install
#
# Listens only on a socket in DIR, where its data lies too, as the user, role and database `bench`: PGHOST=DIR psql -U bench.
# TAGHOUSE_POSTGRES_BUFFERS (2GB) is its shared memory. Installs Debian's postgresql-15 when it is missing and root asks. It will not run as root: then as the user postgres.
set -euo pipefail

bin=${TAGHOUSE_POSTGRES_BIN:-/usr/lib/postgresql/15/bin}
owner=()
[ "$(id -u)" != 0 ] || owner=(setpriv --reuid=postgres --regid=postgres --init-groups)

fail() {
  echo "postgres.sh: $*" >&2
  exit 1
}

install() {
  [ ! -x "$bin/postgres" ] || return 0
  [ -z "${TAGHOUSE_NO_INSTALL:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    fail "PostgreSQL 15 is missing: apt-get install postgresql-15, or name its programs' folder in TAGHOUSE_POSTGRES_BIN"
  # Debian's package would start a server of its own beside ours.
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  apt-get -qq update >&2 && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends postgresql-15 >&2 ||
    fail "apt-get could not install postgresql-15"
}

# As root, a folder that the user postgres can reach: DIR may lie below root's closed home.
place() {
  [ ${#owner[@]} != 0 ] || { realpath -m "$1" && return; }
  echo "/var/tmp/taghouse-bench-postgres-$(realpath -m "$1" | sha256sum | head -c 12)"
}

start() {
  install
  mkdir -p "$dir"
  if [ ! -e "$dir/data/PG_VERSION" ]; then
    [ ${#owner[@]} = 0 ] || chown postgres: "$dir"
    (cd "$dir" && "${owner[@]}" "$bin/initdb" -D "$dir/data" -U bench -A trust -E UTF8 --locale=C.UTF-8 >&2) || fail "initdb failed: see above"
  fi
  "${owner[@]}" "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1 ||
    (cd "$dir" && "${owner[@]}" "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" start >&2 -o "-c listen_addresses='' -c unix_socket_directories=$dir \
      -c shared_buffers=${TAGHOUSE_POSTGRES_BUFFERS:-2GB} -c work_mem=256MB -c maintenance_work_mem=1GB -c max_wal_size=4GB -c fsync=off") || fail "it did not start: see $dir/log"
  PGHOST=$dir psql -U bench -d postgres -Atc "select 1 from pg_database where datname = 'bench'" | grep -q 1 || PGHOST=$dir "$bin/createdb" -U bench bench
  echo "$dir"
}

stop() {
  [ -e "$dir/data/PG_VERSION" ] || return 0
  "${owner[@]}" "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1 || return 0
  "${owner[@]}" "$bin/pg_ctl" -D "$dir/data" -w -m fast stop >&2
}

case ${1:-} in
install) install ;;
start | stop)
  dir=$(place "${2:?the folder of its data}")
  "$1"
  ;;
*) fail "use: postgres.sh start DIR | stop DIR | install" ;;
esac
