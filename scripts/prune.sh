#!/usr/bin/env bash
# Usage: scripts/prune.sh FOLDER. Makes room in a target folder that is kept from run to run: drops what cargo only builds faster with
# (incremental state), and all but the newest builds of this project's own crates and tests. Cargo builds what it misses again.
set -euo pipefail
profile=$1/debug
keep=2 # a name can stand for two things: the binary and its own tests

[ -d "$profile/deps" ] || exit 0
rm -rf "$profile/incremental"

drop_old() { # the files of the folder that the pattern names, by name without hash: all but the newest
    [ -d "$1" ] || return 0
    find "$1" -maxdepth 1 -type f -size +1M -regextype posix-extended -regex "$2" -printf '%T@ %p\n' | sort -rn | awk -v keep="$keep" '{
        name = $2
        sub(/-[0-9a-f]+(\.[a-z]+)?$/, "", name) # no counted repeats: mawk lacks them
        if (++seen[name] > keep) print $2
    }' | xargs -r rm -f
}

drop_old "$profile/deps" '.*/[a-z0-9_]+-[0-9a-f]{16}'
drop_old "$profile/deps" '.*/libtaghouse[a-z_]*-[0-9a-f]{16}\.(rlib|rmeta)'
drop_old "$profile/examples" '.*/[a-z0-9_]+-[0-9a-f]{16}'
