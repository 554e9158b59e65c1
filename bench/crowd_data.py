"""What the group `crowd` measures on: sets of users drawn by one formula, and expressions over them. Here for the peers; bench/engine reads the same
from the JSON that `write` makes.

A set is `runs` runs of `run` consecutive users within the users [first, first + span): run i lies at a random place of the i-th of `runs` equal parts,

    start(i) = first + low(i) + mix(i + salt * 2^32) mod (low(i+1) - low(i) - run + 1)      where low(i) = floor(i * span / runs)

so its size is exactly runs * run, its users come in ascending order, and any engine finds them without drawing the others. `mix` is ClickHouse's
intHash64. One user a run over all users is a dense or a sparse set; long runs, or a narrow span, make a clustered one.
"""
import dataclasses
import json
import math
import os
import random

# Part of the name of every cached folder: raise it when anything below changes what is drawn.
VERSION = 1

SCALE = float(os.environ.get("TAGHOUSE_BENCH_SCALE", "1"))
USERS = round(100_000_000 * SCALE)
SHARD = 1 << 20

TAGS = 10_000
# The share of the most frequent tag, and points a user: 1 B points at full size.
LARGEST, POINTS_PER_USER = 0.3, 10

POSTGRES_USERS = min(1_000_000, USERS)
OVERLAP = 1000 if SCALE >= 1 else 100
RANGE_BITS, RANGE_SALT = 20, 900
RANGE = (0.23, 0.71)


@dataclasses.dataclass(frozen=True)
class Set:
    salt: int
    first: int
    span: int
    runs: int
    run: int = 1

    @property
    def size(self):
        return self.runs * self.run

    def sql(self):
        """Its users in ClickHouse's SQL, as the column `user`."""
        low, high = f"intDiv(number * {self.span}, {self.runs})", f"intDiv((number + 1) * {self.span}, {self.runs})"
        start = f"{self.first} + {low} + intHash64(number + {self.salt << 32}) % toUInt64({high} - {low} - {self.run - 1})"
        user = start if self.run == 1 else f"{start} + arrayJoin(range({self.run}))"
        return f"SELECT toUInt32({user}) AS user FROM numbers_mt({self.runs})"

    def users(self):
        """Its users as a numpy array."""
        import numpy
        low = numpy.arange(self.runs + 1, dtype=numpy.uint64) * numpy.uint64(self.span) // numpy.uint64(self.runs)
        width = low[1:] - low[:-1] - numpy.uint64(self.run - 1)
        keys = numpy.arange(self.runs, dtype=numpy.uint64) + numpy.uint64(self.salt << 32)
        start = numpy.uint64(self.first) + low[:-1] + mix(keys) % width
        return (start[:, None] + numpy.arange(self.run, dtype=numpy.uint64)).ravel().astype(numpy.uint32)


def mix(keys):
    """ClickHouse's intHash64 over a numpy array."""
    import numpy
    x = keys ^ numpy.uint64(0x4CF2D2BAAE6DA887)
    for factor in 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53:
        x = (x ^ (x >> numpy.uint64(33))) * numpy.uint64(factor)
    return x ^ (x >> numpy.uint64(33))


def spread(salt, users, share, run=1, first=0, span=None):
    """A set of about `share` of the users: at least one run."""
    span = users if span is None else max(int(span), 1)
    runs = max(round(users * share / run), 1)
    run = min(run, span // runs)
    return Set(salt, int(first), span, runs, run)


def nested_sets(users=USERS):
    """Twenty sets: dense, sparse and clustered ones, between half of the users and one in 100,000."""
    shares = [("dense", share, 1, 1) for share in (0.5, 0.4, 0.3, 0.2, 0.1, 0.1)]
    shares += [("sparse", share, 1, 1) for share in (0.01, 0.01, 0.005, 0.001, 0.001, 0.0001, 0.00001)]
    shares += [("clustered", 0.2, 64, 1), ("clustered", 0.1, 1000, 1), ("clustered", 0.05, 20_000, 1), ("clustered", 0.01, 256, 1),
               ("clustered", 0.1, 1, 0.25), ("clustered", 0.03, 1, 0.04), ("clustered", 0.001, 32, 0.1)]
    sets = {}
    for salt, (kind, share, run, width) in enumerate(shares, 1):
        span = users * width
        first = (users - span) * ((salt * 37) % 100) // 100
        sets[f"{kind}_{salt:02}"] = spread(salt, users, share, run, first, span)
    return sets


def dense5():
    """The five sets of the query by which the design chose its bitmaps, and the query: 50% and (10% or 10%) and not 1% and 30%."""
    shares = [("half", 0.5), ("tenth_a", 0.1), ("tenth_b", 0.1), ("hundredth", 0.01), ("third", 0.3)]
    sets = {name: spread(800 + i, USERS, share) for i, (name, share) in enumerate(shares)}
    return sets, ["and", "half", ["or", "tenth_a", "tenth_b"], ["not", "hundredth"], "third"]


def zipf():
    """The exponent with which 10,000 tags, the first held by LARGEST of the users, come to POINTS_PER_USER tags a user."""
    low, high = 0.1, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        points = LARGEST * math.fsum(rank ** -middle for rank in range(1, TAGS + 1))
        low, high = (middle, high) if points > POINTS_PER_USER else (low, middle)
    return low


def scenario_tags(users=USERS):
    """The scenario's tags by rank, sizes falling like Zipf's. Of eight, one comes in runs of 32 users, one in runs of 256 within twice its size, one
    in a quarter of the users or four times its size (a season's newcomers); five are spread over all users."""
    exponent, tags = zipf(), []
    for rank in range(1, TAGS + 1):
        share, salt, kind = LARGEST * rank ** -exponent, 1000 + rank, rank % 8
        run = {3: 32, 7: 256}.get(kind, 1)
        run = run if users * share > 8 * run else 1
        span = min(users, max(users * share * 4, users / 4 if kind == 5 else 0, 1)) if kind == 5 else min(users, users * share * 2 + run) if kind == 7 else users
        first = (users - int(span)) * ((rank * 61) % 97) // 97
        tags.append(spread(salt, users, share, run, first, int(span)))
    return tags


def random_tree(chance, leaves, pick, above=""):
    """An expression of that many leaves: a name, ["and", …], ["or", …], or ["not", …], which stands only in an `and`, never as its first operand."""
    if leaves == 1:
        return pick()
    operator = "or" if above == "and" else "and" if above == "or" else chance.choice(["and", "and", "or"])
    parts = min(leaves, chance.randint(2, 4))
    cuts = [0, *sorted(chance.sample(range(1, leaves), parts - 1)), leaves]
    operands = [random_tree(chance, high - low, pick, operator) for low, high in zip(cuts, cuts[1:])]
    if operator == "and":
        operands[1:] = [["not", operand] if chance.random() < 0.3 else operand for operand in operands[1:]]
    return [operator, *operands]


def chance_of(tree, share):
    """The share of users that would answer to it were the sets independent."""
    if not isinstance(tree, list):
        return share(tree)
    found = [chance_of(operand, share) for operand in tree[1:]]
    if tree[0] == "or":
        return 1 - math.prod(1 - one for one in found)
    return math.prod(found) if tree[0] == "and" else 1 - found[0]


def likely_tree(chance, leaves, pick, share, least):
    """The first random tree that so many of the users answer to: an empty set is found too fast to tell anything."""
    while True:
        tree = random_tree(chance, leaves, pick())
        if chance_of(tree, share) >= least:
            return tree


def nested_trees():
    """Thirty expressions of 2 to 20 leaves over `nested_sets`, each of about one user in a thousand or more."""
    chance, sets = random.Random(41), nested_sets(10_000_000)
    return [likely_tree(chance, 2 + i * 18 // 29, lambda: iter(chance.sample(list(sets), len(sets))).__next__, lambda name: sets[name].size / 10_000_000, 1e-3)
            for i in range(30)]


def scenario_trees():
    """Two hundred expressions of 2 to 10 leaves over the scenario's tags (by rank from 0), large ones asked for more often: the rank's logarithm is even.
    Each is of about a thousand of 100 million users or more."""
    chance, tags = random.Random(42), scenario_tags(100_000_000)
    return [likely_tree(chance, 2 + i % 9, lambda: distinct_ranks(chance).__next__, lambda tag: tags[tag].size / 100_000_000, 1e-5) for i in range(200)]


def distinct_ranks(chance):
    seen = set()
    while True:
        rank = min(TAGS, int(TAGS ** chance.random())) - 1
        if rank not in seen:
            seen.add(rank)
            yield rank


def leaves(tree):
    return [tree] if not isinstance(tree, list) else [leaf for operand in tree[1:] for leaf in leaves(operand)]


def write(path):
    """Everything above for bench/engine, as JSON; False where the file has it already."""
    dense_sets, dense_tree = dense5()
    tags = scenario_tags()
    rows, columns = overlap_tags()
    text = json.dumps({
        "version": VERSION, "users": USERS, "overlap_rows": rows, "overlap_columns": columns, "range_bits": RANGE_BITS, "range_salt": RANGE_SALT, "range": value_range(),
        "range_crowd": dataclasses.astuple(range_crowd()),
        "nested": {"sets": sets_json(nested_sets()), "trees": nested_trees()},
        "dense5": {"sets": sets_json(dense_sets), "trees": [dense_tree]},
        "scenario": {"tags": [list(dataclasses.astuple(tag)) for tag in tags], "trees": scenario_trees()},
    })
    if path.exists() and path.read_text() == text:
        return False
    path.write_text(text)
    return True


def sets_json(sets):
    return {name: dataclasses.astuple(drawn) for name, drawn in sets.items()}


def value_range():
    """The bounds of the range query, both included."""
    return [int(bound * (1 << RANGE_BITS)) for bound in RANGE]


def range_crowd():
    """The 1% crowd of the range query."""
    return spread(901, USERS, 0.01)


def overlap_tags():
    """Ranks (from 0) of the rows and columns of the overlap matrix: evenly over the scenario's tags, no tag in both."""
    step = TAGS // (2 * OVERLAP)
    return [2 * step * i for i in range(OVERLAP)], [2 * step * i + step for i in range(OVERLAP)]
