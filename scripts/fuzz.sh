#!/usr/bin/env bash
# Runs fuzz targets on the stable compiler, each for so many seconds. scripts/fuzz.sh SECONDS [TARGET…], by default all of fuzz/Cargo.toml.
#
# Corpora begin with seeds that the targets write themselves; they and what crashed lie in fuzz/corpus and fuzz/artifacts, outside of git.
# Goes on after a crash, and fails at the end. Installs cargo-fuzz where it is missing; TAGHOUSE_NO_INSTALL=1 forbids that.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$HOME/.cache/taghouse/target}/fuzz
PATH=$PATH:$HOME/.cargo/bin

fail() {
  echo "fuzz.sh: $*" >&2
  exit 1
}

seconds=${1:-60}
[[ $seconds =~ ^[0-9]+$ ]] || fail "usage: fuzz.sh SECONDS [TARGET…]"
shift || true
command -v cargo >/dev/null || fail "cargo is missing: run scripts/setup.sh"
if ! cargo fuzz --version >/dev/null 2>&1; then
  [ -z "${TAGHOUSE_NO_INSTALL:-}" ] || fail "cargo-fuzz is missing: cargo install cargo-fuzz --locked"
  echo "fuzz.sh: installing cargo-fuzz (once, some minutes)" >&2
  cargo install cargo-fuzz --locked --quiet
fi
c++ --version >/dev/null 2>&1 || fail "a C++ compiler is missing (libFuzzer is C++): apt-get install g++"

cd "$root/fuzz"
known=$(sed -n '/^\[\[bin\]\]/{n;s/^name = "\(.*\)"/\1/p}' Cargo.toml)
[ $# -gt 0 ] || mapfile -t names <<<"$known"
[ $# -eq 0 ] || names=("$@")
for name in "${names[@]}"; do
  grep -qx "$name" <<<"$known" || fail "no target is called $name. There are: ${known//$'\n'/ }"
done

# The sanitizers are unstable options of the compiler; this opens them on a stable one.
export RUSTC_BOOTSTRAP=1
export CC="$root/fuzz/cc.sh"
triple=$(rustc -vV | sed -n 's/^host: //p')
# One build at a time of all targets, in one folder; the workspace's is not part of it.
unset CARGO_TARGET_DIR
cargo fuzz build --target-dir "$target" --target "$triple"

# SQLite names two tables of its own alike, which the sanitizer takes for one defined twice; what the compiler keeps to the end is not a leak.
export ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0
crashed=()
for name in "${names[@]}"; do
  binary=$target/$triple/release/$name
  seeds=$(mktemp -d)
  TAGHOUSE_FUZZ_SEEDS=$seeds "$binary" >/dev/null 2>&1 || fail "$name wrote no seeds"
  [ -n "$(ls -A "$seeds")" ] || fail "$name wrote no seeds"
  mkdir -p "corpus/$name" "artifacts/$name"
  largest=$(find "$seeds" -type f -printf '%s\n' | sort -n | tail -n 1)
  # Smaller inputs run more often; a bitset container alone has 8 KiB.
  limit=$((largest > 32768 ? 32768 : largest * 2 + 1024))
  log=$seeds.log
  if "$binary" -max_total_time="$seconds" -max_len="$limit" -timeout=20 -rss_limit_mb=3072 -use_value_profile=1 -print_final_stats=1 \
    -artifact_prefix="artifacts/$name/" "corpus/$name" "$seeds" >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "$name: $runs runs, corpus $(find "corpus/$name" -type f | wc -l), $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
  else
    crashed+=("$name")
    echo "$name: CRASHED"
    grep -E 'panicked at|ERROR: |SUMMARY: |Test unit written|^    #[0-9] ' "$log" | head -n 25 | sed 's/^/  /' || true
  fi
  rm -rf "$seeds" "$log"
done
[ ${#crashed[@]} -eq 0 ] || fail "crashed: ${crashed[*]}. Again: ${target}/${triple}/release/TARGET fuzz/artifacts/TARGET/FILE"
