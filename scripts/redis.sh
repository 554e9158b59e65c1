#!/usr/bin/env bash
# A private Redis that tests send crowds to: redis.sh start DIR | stop DIR | install
#
# Listens only on the socket DIR/redis.sock, and keeps its data in DIR: started again after `stop`, it goes on with them.
# Installs Debian's redis-server when it is missing and root asks.
set -euo pipefail

fail() {
  echo "redis.sh: $*. Where it cannot be had, TAGHOUSE_SKIP=databases passes over its tests" >&2
  exit 1
}

install() {
  ! command -v redis-server >/dev/null || return 0
  [ -z "${TAGHOUSE_NO_INSTALL:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    fail "Redis is missing: apt-get install redis-server"
  apt-get -qq update >&2 && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends redis-server >&2 ||
    fail "apt-get could not install redis-server"
}

ask() { redis-cli -s "$dir/redis.sock" "$@"; }

start() {
  install
  mkdir -p "$dir"
  rm -f "$dir/redis.sock"
  redis-server --port 0 --unixsocket "$dir/redis.sock" --dir "$dir" --appendonly yes --daemonize yes --pidfile "$dir/redis.pid" --logfile "$dir/log" >&2
  for _ in $(seq 300); do
    if [ "$(ask ping 2>/dev/null)" = PONG ]; then
      echo "$dir/redis.sock"
      return
    fi
    sleep 0.1
  done
  fail "it did not start: see $dir/log"
}

stop() {
  local process
  process=$(cat "$dir/redis.pid" 2>/dev/null) || return 0
  ask shutdown save >/dev/null 2>&1 || true
  for _ in $(seq 300); do
    kill -0 "$process" 2>/dev/null || return 0
    sleep 0.1
  done
  fail "it does not stop: process $process"
}

case ${1:-} in
install) install ;;
start | stop)
  dir=$(realpath -m "${2:?the folder of its data}")
  "$1"
  ;;
*) fail "use: redis.sh start DIR | stop DIR | install" ;;
esac
