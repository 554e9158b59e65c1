#!/usr/bin/env bash
# Makes dist/taghouse-VERSION-TARGET.tar.gz and its checksum, and prints the archive's path. $PROFILE (default: release) is how the program is
# built, $TAGHOUSE one that is built already, $DIST another folder. The same program and checkout give the same bytes.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:$HOME/.cargo/bin
dist=${DIST:-$root/dist}

fail() {
  echo "dist: $*" >&2
  exit 1
}

binary=$(TAGHOUSE_PROFILE=${PROFILE:-release} "$root/scripts/binary.sh")
version=$("$binary" --version | cut -d' ' -f2)
target=$(rustc -vV | sed -n 's/^host: //p')
name=taghouse-$version-$target

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
to=$stage/$name
# The checkout's configuration is not asked: what is written is that of the program.
run() { (cd "$stage" && env -u TAGHOUSE_CONFIG "$binary" "$@"); }
file() { mkdir -p "$to/$(dirname "$1")" && cat >"$to/$1"; }

file bin/taghouse <"$binary"
chmod 755 "$to/bin/taghouse"
# Of other profiles than release and demo.
[ "$(head -c 4 "$binary" | tail -c 3)" != ELF ] || ! command -v strip >/dev/null || strip "$to/bin/taghouse"
run schema | file share/taghouse/taghouse.schema.json
run completions bash | file share/bash-completion/completions/taghouse
run completions zsh | file share/zsh/site-functions/_taghouse
run completions fish | file share/fish/vendor_completions.d/taghouse.fish
run man "$to/share/man/man1"
run config example | file etc/taghouse/taghouse.toml
file lib/systemd/system/taghouse.service <"$root/packaging/taghouse.service"
file LICENSE <"$root/LICENSE"
file README.md <"$root/README.md"

# What an archive must hold, whatever became of the commands above.
for needed in bin/taghouse share/taghouse/taghouse.schema.json share/bash-completion/completions/taghouse share/zsh/site-functions/_taghouse \
  share/fish/vendor_completions.d/taghouse.fish share/man/man1/taghouse.1 share/man/man1/taghouse-serve.1 etc/taghouse/taghouse.toml \
  lib/systemd/system/taghouse.service LICENSE README.md; do
  [ -s "$to/$needed" ] || fail "$needed is missing or empty"
done

epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
mkdir -p "$dist"
archive=$(cd "$dist" && pwd)/$name.tar.gz
tar --directory "$stage" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' --format=ustar -cf - "$name" |
  gzip -9 -n >"$archive.new"
mv "$archive.new" "$archive"
(cd "$dist" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
echo "$archive"
