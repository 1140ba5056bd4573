"""Scorecards in PMML and as a table, and their points by the standard's rules, evaluated here from the same definition."""
from xml.sax.saxutils import quoteattr

import numpy as np

# characteristic: field, bins in order; a bin is (kind, arguments, points)
CARD = [
    ("age", [("missing", None, -8.0), ("below", 25.0, -12.5), ("between", (25.0, 40.0), 4.0), ("from", 40.0, 17.25)]),
    ("income", [("upto", 30000.0, -20.0), ("above", 120000.0, 31.0), ("present", None, 3.5), ("missing", None, -5.0)]),
    ("town", [("in", ["kunming", "new town"], 9.0), ("in", ["dali"], 2.0), ("present", None, -4.0), ("missing", None, 0.0)]),
    ("months", [("below", 6.0, -3.0), ("between", (6.0, 24.0), 1.0), ("from", 24.0, 6.0), ("missing", None, -1.0)]),
]
TOWNS = ["kunming", "new town", "dali", "qujing"]
START = 600.0


def holds(kind, argument, x):
    missing = x is None or x != x
    if kind == "missing":
        return missing
    if missing:
        return False
    return {
        "below": lambda: x < argument, "upto": lambda: x <= argument, "above": lambda: x > argument,
        "from": lambda: x >= argument, "between": lambda: argument[0] <= x < argument[1],
        "in": lambda: x in argument, "present": lambda: True,
    }[kind]()


def points(row):
    total = START
    for (_, bins), x in zip(CARD, row):
        total += next(p for kind, argument, p in bins if holds(kind, argument, x))
    return total


def rows_of(n, seed=60):
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        row = [
            float(rng.choice([rng.integers(15, 90), 25, 40])),
            float(rng.choice([np.round(rng.uniform(0, 200000)), 30000.0, 120000.0])),
            str(rng.choice(TOWNS)),
            float(rng.choice([rng.integers(0, 60), 6, 24])),
        ]
        for i in range(4):
            if rng.random() < 0.12:
                row[i] = float("nan")
        out.append(row)
    return out


def predicate(field, kind, argument):
    simple = lambda op, value: f'<SimplePredicate field="{field}" operator="{op}" value="{value}"/>'
    if kind == "between":
        return f'<CompoundPredicate booleanOperator="and">{simple("greaterOrEqual", argument[0])}{simple("lessThan", argument[1])}</CompoundPredicate>'
    if kind == "in":
        items = " ".join(f'"{a}"' if " " in a else a for a in argument)
        return f'<SimpleSetPredicate field="{field}" booleanOperator="isIn"><Array type="string" n="{len(argument)}">{items}</Array></SimpleSetPredicate>'
    if kind in ("missing", "present"):
        return f'<SimplePredicate field="{field}" operator="{"isMissing" if kind == "missing" else "isNotMissing"}"/>'
    return simple({"below": "lessThan", "upto": "lessOrEqual", "above": "greaterThan", "from": "greaterOrEqual"}[kind], argument)


def pmml_scorecard(rows=300):
    fields = "".join(
        f'<DataField name="{n}" optype="categorical" dataType="string">{"".join(f"<Value value={quoteattr(t)}/>" for t in TOWNS)}</DataField>'
        if n == "town" else f'<DataField name="{n}" optype="continuous" dataType="double"/>' for n, _ in CARD)
    mining = "".join(f'<MiningField name="{n}"/>' for n, _ in CARD)
    parts = "".join(
        f'<Characteristic name="{n}_score" baselineScore="0">'
        + "".join(f'<Attribute partialScore="{p}">{predicate(n, kind, a)}</Attribute>' for kind, a, p in bins)
        + "</Characteristic>" for n, bins in CARD)
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><Header/>'
        f'<DataDictionary>{fields}</DataDictionary><Scorecard modelName="household" functionName="regression" initialScore="{START}" useReasonCodes="false">'
        f"<MiningSchema>{mining}</MiningSchema><Characteristics>{parts}</Characteristics></Scorecard></PMML>\n")
    data = rows_of(rows)
    return text.encode(), "pmml", [n for n, _ in CARD], data, {"score": np.array([points(r) for r in data])}


def card_scorecard(rows=300):
    texts = {"missing": lambda a: "missing", "present": lambda a: "else", "below": lambda a: f"<{a}", "upto": lambda a: f"(-Inf,{a}]",
             "above": lambda a: f">{a}", "from": lambda a: f"[{a},Inf)", "between": lambda a: f"[{a[0]},{a[1]})", "in": lambda a: "|".join(a)}
    lines = ["feature,bin,points", f"base,,{START}"]
    lines += [f'{n},"{texts[kind](a)}",{p}' for n, bins in CARD for kind, a, p in bins]
    data = rows_of(rows, 61)
    return ("\n".join(lines) + "\n").encode(), "card.csv", [n for n, _ in CARD], data, {"score": np.array([points(r) for r in data])}


ALL = {name: f for name, f in list(globals().items()) if name in ("pmml_scorecard", "card_scorecard")}
