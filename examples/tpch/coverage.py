"""How often the true answers lie in the released 95 % intervals.

    coverage.py ORDERS.parquet FOLDER_OF_RESULTS [LEAST_SHARE]

Needs `pip install duckdb`. Every `*.parquet` in the folder is one release of product.toml. A cell is one number of
one priority; it passes where at least LEAST_SHARE (default 34/40) of the releases hold its true answer between
`<name>_low` and `<name>_high`. 34 of 40: with a chance of 95 % for each, 33 or fewer come about once in 295 cells.
Exit 1 where a cell does not pass.
"""

import sys
from pathlib import Path

import duckdb

# The bounds of dataset.toml. Within them, clamping changes nothing, and no customer of TPC-H passes 50 rows or
# 5 groups, so the bounded truth is the truth of the file; that is checked, not assumed.
LOW, HIGH = 0, 800_000
MOST_ROWS, MOST_GROUPS = 50, 5
NUMBERS = ("orders", "total", "mean")

TRUTH = """
SELECT o_orderpriority, count(*)::DOUBLE AS orders,
       sum(least(greatest(o_totalprice, {low}), {high}))::DOUBLE AS total,
       (sum(least(greatest(o_totalprice, {low}), {high})) / count(*))::DOUBLE AS mean
FROM read_parquet(?) GROUP BY 1 ORDER BY 1
"""

REACH = """
SELECT max(n), max(g) FROM (
    SELECT count(*) AS n, count(DISTINCT o_orderpriority) AS g FROM read_parquet(?) GROUP BY o_custkey)
"""


def main() -> int:
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    orders, folder = sys.argv[1], Path(sys.argv[2])
    least = float(sys.argv[3]) if len(sys.argv) == 4 else 34 / 40
    files = sorted(folder.glob("*.parquet"))
    if not files:
        print(f"no results in {folder}", file=sys.stderr)
        return 2
    db = duckdb.connect()
    rows, groups = db.execute(REACH, [orders]).fetchone()
    if rows > MOST_ROWS or groups > MOST_GROUPS:
        print("a customer passes the declared rows or groups: the truth would need bounding", file=sys.stderr)
        return 2
    truth = db.execute(TRUTH.format(low=LOW, high=HIGH), [orders]).fetchall()
    truth = {row[0]: dict(zip(NUMBERS, row[1:])) for row in truth}

    held = {(key, name): 0 for key in truth for name in NUMBERS}
    widths = {cell: 0.0 for cell in held}
    for file in files:
        released = db.execute("SELECT * FROM read_parquet(?)", [str(file)])
        columns = [column[0] for column in released.description]
        rows = [dict(zip(columns, row)) for row in released.fetchall()]
        if {row["o_orderpriority"] for row in rows} != set(truth):
            print(f"{file.name}: not every priority was released", file=sys.stderr)
            return 1
        for row in rows:
            for name in NUMBERS:
                cell = (row["o_orderpriority"], name)
                low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])
                held[cell] += low <= truth[cell[0]][name] <= high
                widths[cell] += (high - low) / 2 / len(files)

    worst = min(held.values()) / len(files)
    print(f"{'priority':<16} {'number':<7} {'truth':>18} {'± (mean)':>14} {'held':>8}")
    for (key, name), times in held.items():
        print(f"{key:<16} {name:<7} {truth[key][name]:>18,.2f} {widths[key, name]:>14,.2f} {times:>4}/{len(files)}")
    print(f"worst cell {worst:.3f}, asked for {least:.3f}")
    return 0 if worst >= least else 1


if __name__ == "__main__":
    sys.exit(main())
