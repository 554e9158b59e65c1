"""The expressions of `crowd_data` in the languages of the engines: ClickHouse's bitmap functions, PostgreSQL's bits, sorted arrays and array queries, and
our own. As one would write them by hand for speed, operands of an AND come smallest first, and a NOT is an and-not."""


def estimate(tree, size):
    """An upper bound of the users, by which operands are ordered; `size` gives a leaf's."""
    if not isinstance(tree, list):
        return size(tree)
    found = [estimate(operand, size) for operand in tree[1:] if not (isinstance(operand, list) and operand[0] == "not")]
    return min(found) if tree[0] == "and" else sum(found)


def operands(tree, size):
    """Those that stand as they are, and what the others negate."""
    negated = [operand[1] for operand in tree[1:] if isinstance(operand, list) and operand[0] == "not"]
    plain = [operand for operand in tree[1:] if not (isinstance(operand, list) and operand[0] == "not")]
    return sorted(plain, key=lambda operand: estimate(operand, size)), negated


def clickhouse(tree, leaf, size, count=False):
    """A bitmap state, or the number of its users. `leaf` gives a leaf's SQL."""
    if not isinstance(tree, list):
        return f"bitmapCardinality({leaf(tree)})" if count else leaf(tree)
    plain, negated = operands(tree, size)
    steps = [("bitmapAnd" if tree[0] == "and" else "bitmapOr", operand) for operand in plain[1:]] + [("bitmapAndnot", operand) for operand in negated]
    sql = clickhouse(plain[0], leaf, size)
    for i, (function, operand) in enumerate(steps):
        last = "Cardinality" if count and i == len(steps) - 1 else ""
        sql = f"{function}{last}({sql}, {clickhouse(operand, leaf, size)})"
    return sql


def infix(tree, leaf, size, union, minus):
    """An expression of PostgreSQL over bits (`|`, `& ~`) or over sorted arrays (`|`, `-`)."""
    if not isinstance(tree, list):
        return leaf(tree)
    plain, negated = operands(tree, size)
    parts = [infix(operand, leaf, size, union, minus) for operand in plain]
    sql = parts[0]
    for part in parts[1:]:
        sql = f"({sql} {'&' if tree[0] == 'and' else union} {part})"
    for operand in negated:
        sql = f"({sql} {minus} {infix(operand, leaf, size, union, minus)})"
    return sql


def array_query(tree):
    """A query_int of intarray."""
    if not isinstance(tree, list):
        return str(tree)
    if tree[0] == "not":
        return f"!{array_query(tree[1])}"
    return "(" + ("&" if tree[0] == "and" else "|").join(array_query(operand) for operand in tree[1:]) + ")"
