# A fresh data folder with the shop of the tutorial in it. From the root of the repository: source docs/shop/start.sh
export TAGHOUSE_DATA
TAGHOUSE_DATA=$(mktemp -d)/data
taghouse apply -f docs/shop >/dev/null &&
  taghouse ingest --source customers docs/shop >/dev/null &&
  taghouse ingest --source orders docs/shop >/dev/null &&
  taghouse produce --as-of 2026-07-01T00:00 >/dev/null
