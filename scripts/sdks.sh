#!/usr/bin/env bash
# Prints the folder with the pinned packages of tests/sdks: Segment's libraries for Node and browsers, and what drives a browser. Fills it on
# the first call. It lies in ${TAGHOUSE_TOOLS:-~/.cache/taghouse-tools}, named for what is pinned: another pin, another folder.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pins=$root/tests/sdks/package-lock.json
tools=${TAGHOUSE_TOOLS:-$HOME/.cache/taghouse-tools}

fail() {
  echo "sdks.sh: $*" >&2
  exit 1
}

node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null || fail "Node 20 or later is needed: install nodejs"
command -v npm >/dev/null || fail "npm is missing: install it with Node"

place=$tools/taghouse-sdks-$(sha256sum "$pins" | head -c 12)
mkdir -p "$tools"
(
  # Two at once take turns; what was left half done is begun again.
  flock 9
  [ ! -e "$place/.installed" ] || exit 0
  echo "installing the Node packages of tests/sdks into $place (once, some seconds)" >&2
  rm -rf "$place"
  mkdir "$place"
  cp "$root/tests/sdks/package.json" "$pins" "$place/"
  (cd "$place" && npm ci --silent --no-audit --no-fund >&2)
  touch "$place/.installed"
) 9>"$place.lock" || fail "the packages of $pins could not be installed: see above. Where nothing can be downloaded, TAGHOUSE_SKIP=sdks passes over their tests"
echo "$place"
