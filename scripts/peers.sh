#!/usr/bin/env bash
# Prints the Python interpreter of a private environment that holds the pinned packages of a requirements file; makes it on the
# first call. scripts/peers.sh [FILE], by default those of the tests.
#
# Environments lie in ${TAGHOUSE_TOOLS:-~/.cache/taghouse-tools}, each named for what is pinned: another pin, another folder.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pins=$(realpath "${1:-$root/tests/readers/requirements.txt}")
name=$(basename "$(dirname "$pins")")
tools=${TAGHOUSE_TOOLS:-$HOME/.cache/taghouse-tools}

fail() {
  echo "peers.sh: $*" >&2
  exit 1
}

[ -f "$pins" ] || fail "no such file: $pins"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || fail "Python 3.11 or later is needed: install python3"
python3 -c 'import venv, ensurepip' 2>/dev/null || fail "Python's venv is missing: apt-get install python3-venv"

version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
place=$tools/taghouse-$name-$({ echo "$version"; cat "$pins"; } | sha256sum | head -c 12)
mkdir -p "$tools"
(
  # Two at once take turns; what was left half done is begun again.
  flock 9
  [ ! -e "$place/.installed" ] || exit 0
  echo "installing the Python packages of $name into $place (once, about a minute)" >&2
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check --requirement "$pins" >&2
  touch "$place/.installed"
) 9>"$place.lock" || fail "the packages of $pins could not be installed: see above"
echo "$place/bin/python"
