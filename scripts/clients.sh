#!/usr/bin/env bash
# Builds the clients of clients/, whose generated part comes from docs/src/reference/openapi.json, and prints the folder with what was built:
# scripts/clients.sh python|typescript. Builds again only when the client or the document has changed.
#
#   python       taghouse-VERSION-py3-none-any.whl and .tar.gz, `environment/bin/python` with the wheel and the tools of the tests, `tests/`
#   typescript   taghouse-VERSION.tgz, `tests/` with the package and the compiled tests
#
# Folders lie in ${TAGHOUSE_TOOLS:-~/.cache/taghouse-tools}, each named for what it is made of.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
client=${1:-}
document=$root/docs/src/reference/openapi.json
tools=${TAGHOUSE_TOOLS:-$HOME/.cache/taghouse-tools}

fail() {
  echo "clients.sh: $*" >&2
  exit 1
}

[ "$client" = python ] || [ "$client" = typescript ] || fail "which client? Use: clients.sh python|typescript"
source=$root/clients/$client

# What is generated, checked, built and tested is a copy, so that the checkout stays as it is.
copy() {
  rm -rf "$place"
  mkdir -p "$place/package"
  (cd "$source" && files | xargs -0 cp --parents -t "$place/package")
  cp "$root/LICENSE" "$place/package/"
}

# The client's files, without what tools leave in a checkout.
files() {
  find . \( -name node_modules -o -name dist -o -name __pycache__ -o -name '.*_cache' -o -path ./src/taghouse/rest \) -prune -o -type f -print0 | sort -z
}

python() {
  local with tooling
  tooling=$("$root/scripts/peers.sh" "$source/requirements.txt")
  with=$(dirname "$tooling")
  cd "$place/package"
  "$tooling" generator/document.py "$document" openapi.json
  PATH=$with:$PATH "$with/openapi-python-client" generate --path openapi.json --config generator/config.yaml \
    --custom-template-path generator/templates --meta none --output-path src/taghouse/rest --fail-on-warning
  "$with/ruff" check --quiet src/taghouse/*.py tests generator
  "$with/ruff" format --quiet --check src/taghouse/*.py tests generator
  "$with/mypy" --no-error-summary
  "$tooling" -m build --no-isolation --outdir "$place" . >"$place/build.log" || {
    cat "$place/build.log"
    return 1
  }
  # An environment with the wheel and what it needs, as `pip install taghouse` makes it; then the tools are added to it.
  "$tooling" -m venv --without-pip "$place/environment"
  "$tooling" -m pip --python "$place/environment" install --quiet --disable-pip-version-check --constraint requirements.txt "$place"/*.whl
  (cd / && "$place/environment/bin/python" -c 'import taghouse')
  "$tooling" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$(echo "$place"/environment/lib/python*/site-packages)/tools.pth"
  mv tests "$place/tests"
  rm -rf .mypy_cache .ruff_cache
}

typescript() {
  local package
  cd "$place/package"
  cp "$document" openapi.json
  npm ci --silent --no-audit --no-fund
  npm run --silent generate
  npm run --silent build
  npm pack --silent --pack-destination "$place"
  # A program that uses the package, as `npm install taghouse` makes it.
  mkdir "$place/tests"
  cp tests/* "$place/tests/"
  cd "$place/tests"
  echo '{"private":true,"type":"module"}' >package.json
  package=$(echo "$place"/*.tgz)
  npm install --silent --no-audit --no-fund "$package"
  "$place/package/node_modules/.bin/tsc" --project tsconfig.json --typeRoots "$place/package/node_modules/@types"
  rm -rf "$place/package/node_modules"
}

if [ "$client" = typescript ]; then
  node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null || fail "Node 20 or later is needed: install nodejs"
  command -v npm >/dev/null || fail "npm is missing: install it with Node"
fi

made_of=$({
  (cd "$source" && files | xargs -0 sha256sum)
  sha256sum <"$document"
  sha256sum <"${BASH_SOURCE[0]}"
} | sha256sum | head -c 12)
place=$tools/taghouse-client-$client-$made_of
mkdir -p "$tools"
# Not `( … ) || fail`: left of `||` a failing command would not end what is in the brackets.
set +e
(
  set -e
  # Two at once take turns; what was left half done is begun again.
  flock 9
  [ ! -e "$place/.built" ] || exit 0
  echo "building the $client client in $place (once, some seconds)" >&2
  copy
  ("$client") >&2
  touch "$place/.built"
) 9>"$place.lock"
built=$?
set -e
[ "$built" = 0 ] || fail "the $client client could not be built: see above. Where nothing can be downloaded, TAGHOUSE_SKIP=clients passes over its tests"
echo "$place"
