#!/usr/bin/env bash
# Builds the program in the profile `demo` and runs the demonstration, saying what it is at: scripts/demo.sh FOLDER [ARGUMENTS of taghouse demo]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/taghouse/target} TAGHOUSE_PROFILE=demo
PATH=$PATH:$HOME/.cargo/bin
data=$1
shift

say() { echo "demo: $*" >&2; }

say "1 of 6: set-up: seconds, a minute where Rust is missing"
"$root/scripts/setup.sh" build

cd "$root"
crates=$(cargo tree -p taghouse --locked -e normal,build --prefix none 2>/dev/null | awk 'NF { print $1, $2 }' | sort -u | wc -l)
if [ -x "$CARGO_TARGET_DIR/demo/taghouse" ]; then
  say "2 of 6: build: seconds to minutes, for there is an earlier one"
else
  say "2 of 6: build: $crates crates; 10 to 15 minutes on two free cores the first time (20 minutes of processor time), seconds later"
fi
if [ -t 2 ]; then
  taghouse=$("$root/scripts/binary.sh")
else
  # Where cargo draws no bar.
  taghouse=$("$root/scripts/binary.sh" 2> >(awk -v all="$crates" '
    / Compiling / { if (++made % 50 == 0) { print "demo: " made " of " all " crates"; fflush() } next }
    { print; fflush() }' >&2))
fi

exec "$taghouse" demo --data "$data" "$@"
