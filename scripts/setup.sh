#!/usr/bin/env bash
# Makes ready what building (scripts/setup.sh), measuring (… bench), linting (… lint), testing (… test) or packing the clients (… clients) needs, and
# says what it does.
# Installs only what is missing: Rust by rustup for this user, the rest by apt-get where this user is root. TAGHOUSE_NO_INSTALL=1 forbids both.
set -euo pipefail

needed_rust=1.95.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$HOME/.cache/taghouse/target}
PATH=$PATH:$HOME/.cargo/bin

say() { echo "setup: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

may_install() { [ -z "${TAGHOUSE_NO_INSTALL:-}" ]; }

# Install Debian packages, or say which are missing.
packages() {
  if may_install && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $* by apt-get"
    apt-get -qq update >&2 && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >&2 ||
      fail "apt-get could not install $*"
  else
    fail "missing: $*. Install them, for instance: sudo apt-get install $*"
  fi
}

rust() {
  if ! command -v cargo >/dev/null; then
    may_install || fail "cargo is missing. Install Rust $needed_rust or later: https://rustup.rs"
    command -v curl >/dev/null || packages curl ca-certificates
    say "Rust is missing: installing the stable toolchain into ~/.cargo and ~/.rustup by rustup"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
      sh -s -- -y --no-modify-path --profile minimal --component clippy,rustfmt >&2 || fail "rustup failed. See https://rustup.rs"
  fi
  local found
  found=$(cd "$root" && rustc --version | cut -d' ' -f2 | cut -d- -f1)
  [ "$(printf '%s\n' "$needed_rust" "$found" | sort -V | head -n 1)" = "$needed_rust" ] ||
    fail "Rust $needed_rust or later is needed, $found is here. With rustup: rustup update stable"
}

lints() {
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
  may_install && command -v rustup >/dev/null || fail "rustfmt or clippy is missing. With rustup: rustup component add rustfmt clippy"
  rustup component add rustfmt clippy >&2
}

c_compiler() {
  command -v cc >/dev/null && printf '#include <stdlib.h>\nint main(void){return 0;}\n' | cc -x c -o /dev/null - 2>/dev/null || packages gcc libc6-dev
}

# The client of Kafka is compiled from its source.
kafka_client() {
  local tool
  for tool in c++ make perl; do
    command -v "$tool" >/dev/null || packages g++ make perl
  done
}

kafka_broker() {
  command -v java >/dev/null || packages default-jre-headless
  command -v mvn >/dev/null || packages maven
  "$root/scripts/kafka.sh" install >/dev/null
  "$root/scripts/peers.sh" "$root/tests/kafka/requirements.txt" >/dev/null
}

skips() { [[ ,${TAGHOUSE_SKIP:-}, == *,$1,* ]]; }

python() {
  python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || packages python3 python3-venv
}

node() {
  command node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null && return
  packages nodejs npm
  command node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null ||
    fail "Node 20 or later is needed, $(command node --version) is here: https://nodejs.org"
}

# Segment's library for browsers is tested in one.
browser() { command -v "${TAGHOUSE_CHROMIUM:-chromium}" >/dev/null || packages chromium; }

case ${1:-build} in
build)
  rust
  c_compiler
  ;;
bench)
  rust
  c_compiler
  python
  command -v wrk >/dev/null || packages wrk
  ;;
lint)
  rust
  lints
  c_compiler
  skips kafka || kafka_client
  ;;
clients)
  python
  node
  ;;
test)
  rust
  c_compiler
  python
  command -v curl >/dev/null || packages curl
  "$root/scripts/peers.sh" >/dev/null
  # Where these cannot be had, the tests that need them can be passed over.
  skips kafka || {
    kafka_client
    kafka_broker
  }
  skips sdks || {
    node
    browser
    "$root/scripts/sdks.sh" >/dev/null
  }
  skips clients || node
  ;;
*) fail "unknown: $1. Use: setup.sh [build|bench|lint|test|clients]" ;;
esac

if [ ! -d "$target" ]; then
  say "the first build takes a while (about 450 packages, DataFusion among them); later ones take seconds"
fi
