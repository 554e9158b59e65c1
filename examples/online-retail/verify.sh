#!/usr/bin/env bash
# verify.sh FOLDER [EXPRESSION...]
# Takes the Online Retail files in FOLDER into a fresh data folder, produces the tags, and prints `name: value` lines: what came in,
# what the tags hold, and how many users each expression fits. The data folder is removed at the end.
#
# AS_OF=2011-07-01T00:00 produces as of another time (in Europe/London). The binary is that of scripts/binary.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
  echo "verify.sh: $*" >&2
  exit 1
}

[ $# -ge 1 ] || fail "which folder? usage: verify.sh FOLDER [EXPRESSION...]"
[ -d "$1" ] || fail "no such folder: $1. README.md says where the files come from"
files=$(realpath "$1")
shift
command -v python3 >/dev/null || fail "python3 is needed, to read JSON"
taghouse=$("$here/../../scripts/binary.sh")

# A server that the environment names would answer in place of the fresh folder.
unset TAGHOUSE_SERVER TAGHOUSE_KEY
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT

# Run a command on the fresh data folder.
run() {
  "$taghouse" --data "$data" --app retail "$@" || fail "\"taghouse $*\" failed: see above"
}

# A line: NAME, and a Python expression over JSON on standard input, named `it`.
show() {
  local value
  value=$(python3 -c 'import json, sys; it = json.load(sys.stdin); print(eval(sys.argv[1]))' "$2") || fail "the answer holds no $1: $2"
  echo "$1: $value"
}

# A line: an expression, and how many users it fits.
count() {
  local users
  users=$(run count "$1")
  [[ $users =~ ^[0-9]+$ ]] || fail "\"taghouse count $1\" printed no number: $users"
  echo "$1: $users"
}

run apply -f "$here" --json >/dev/null
ingested=$(run ingest --source online_retail "$files" --json)
run produce --as-of "${AS_OF:-2011-12-10T00:00}" --json >/dev/null
tags=$(run tags --json)

show events_accepted 'it["accepted_total"]' <<<"$ingested"
show purchases 'it["accepted"].get("purchase", 0)' <<<"$ingested"
show refunds 'it["accepted"].get("refund", 0)' <<<"$ingested"
show rejected_no_user_id 'it["rejected"].get("no_user_id", 0)' <<<"$ingested"
show users 'it["users"]' <<<"$tags"
count 'orders_30d >= 1'
count 'orders_30d >= 2'
spend='next(tag for tag in it["tags"] if tag["name"] == "spend_365d")'
show 'spend_365d users' "$spend"'["users"]' <<<"$tags"
show 'spend_365d total' "$spend"'["sum"]' <<<"$tags"
count 'spend_365d >= 5000'
count 'refunds_90d >= 1'
count 'country == "United Kingdom" && orders_30d >= 2 && !(refunds_90d >= 1)'
count '(country in ("Germany","France") || spend_365d >= 5000) && !(orders_30d >= 1)'
for expression; do
  count "$expression"
done
