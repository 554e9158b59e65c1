"""Opens portable Roaring bitmaps of Taghouse with others' libraries, and says of each file what it found, as one line of JSON.

usage: read_bitmaps.py --has 0,5,70000 FILE…        NAME.roaring has the 32-bit form, NAME.roaring64 the 64-bit one

pyroaring reads a file as it is. ClickHouse (chdb) reads it as the state of groupBitmap, which is these bytes behind a byte that says "not
a small set" and their number as a variable-length integer; counts, sums and memberships are asked in SQL. Of each file: cardinality,
sum, least and greatest, and whether each of the numbers of --has is in it.
The interpreter is that of scripts/peers.sh, or any with pyroaring and chdb.
"""
import argparse
import json
import pathlib
import tempfile

import chdb
from pyroaring import BitMap, BitMap64


def with_pyroaring(file, wide, probes):
    bitmap = (BitMap64 if wide else BitMap).deserialize(file.read_bytes())
    ends = {"min": bitmap.min(), "max": bitmap.max()} if len(bitmap) else {"min": None, "max": None}
    return {"count": len(bitmap), "sum": str(sum(bitmap)), **ends, "has": [probe in bitmap for probe in probes]}


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def with_clickhouse(file, wide, probes):
    portable, kind = file.read_bytes(), "UInt64" if wide else "UInt32"
    with tempfile.NamedTemporaryFile(suffix=".rowbinary") as state:
        state.write(b"\x01" + varint(len(portable)) + portable)
        state.flush()
        source = f"file('{state.name}', 'RowBinary', 's AggregateFunction(groupBitmap, {kind})')"
        has = ", ".join(f"bitmapContains(s, to{kind}({probe}))" for probe in probes)
        whole = f"SELECT bitmapCardinality(s) AS count, bitmapMin(s) AS min, bitmapMax(s) AS max, [{has}] AS has FROM {source}"
        answer = json.loads(str(chdb.query(whole, "JSONEachRow")))
        # The elements one by one: what a join or a filter over the bitmap sees.
        each = f"SELECT count() AS n, sum(toUInt128(x)) AS total FROM (SELECT arrayJoin(bitmapToArray(s)) AS x FROM {source})"
        listed = json.loads(str(chdb.query(each, "JSONEachRow")))
    count = int(answer["count"])
    assert int(listed["n"]) == count, (listed, count)
    ends = {"min": int(answer["min"]), "max": int(answer["max"])} if count else {"min": None, "max": None}
    return {"count": count, "sum": str(listed["total"]), **ends, "has": [bool(has) for has in answer["has"]]}


parser = argparse.ArgumentParser()
parser.add_argument("--has", type=lambda text: [int(number) for number in text.split(",")], required=True)
parser.add_argument("files", type=pathlib.Path, nargs="+")
arguments = parser.parse_args()
for path in arguments.files:
    wide = path.suffix == ".roaring64"
    for engine, read in (("pyroaring", with_pyroaring), ("clickhouse", with_clickhouse)):
        print(json.dumps({"file": path.name, "engine": engine, **read(path, wide, arguments.has)}))
