#!/usr/bin/env bash
# Prints the path of the taghouse binary: $TAGHOUSE if that is set, else the one that cargo builds now, in the profile
# $TAGHOUSE_PROFILE (default: demo, as `make demo` builds it), into ${CARGO_TARGET_DIR:-~/.cache/taghouse/target}. What cargo says goes to standard error.
set -euo pipefail

fail() {
  echo "binary.sh: $*" >&2
  exit 1
}

if [ -n "${TAGHOUSE:-}" ]; then
  [ -x "$TAGHOUSE" ] || fail "TAGHOUSE names no program: $TAGHOUSE"
  realpath "$TAGHOUSE"
  exit
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
profile=${TAGHOUSE_PROFILE:-demo}
target=${CARGO_TARGET_DIR:-$HOME/.cache/taghouse/target}
PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null || fail "cargo is missing: run scripts/setup.sh, or name a built binary in TAGHOUSE"

# The whole workspace, always: building one package alone gives its dependencies other features, and compiles them again. One program of it, though.
CARGO_TARGET_DIR=$target cargo build --manifest-path "$root/Cargo.toml" --workspace --bin taghouse --profile "$profile" >&2 || fail "the build failed"
case $profile in
dev | test) folder=debug ;;
bench) folder=release ;;
*) folder=$profile ;;
esac
realpath "$target/$folder/taghouse"
