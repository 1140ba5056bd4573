"""Writes the small models and recorded vectors of the normal tests: python record.py [NAME …]

Each model becomes ../tests/data/NAME.EXT and ../tests/data/NAME.csv: one line per row, the columns of the model, then the
answers of the original runtime under the names of the exports with `=` in front. An empty field is missing. Without names: those that
are recorded already.
"""
import sys
from pathlib import Path

import zoo_cards
import zoo_graphs
import zoo_onnx
import zoo_pipelines
import zoo_trees

ZOO = {**zoo_trees.ALL, **zoo_onnx.ALL, **zoo_pipelines.ALL, **zoo_graphs.ALL, **zoo_cards.ALL}

DATA = Path(__file__).parent.parent / "tests" / "data"


def field(x):
    return "" if x != x else repr(float(x)) if not isinstance(x, str) else x


def main(wanted):
    DATA.mkdir(exist_ok=True)
    for name, make in ZOO.items():
        if name not in wanted and (wanted or not (DATA / f"{name}.csv").exists()):
            continue
        model, ext, columns, rows, answers = make()
        (DATA / f"{name}.{ext}").write_bytes(model)
        lines = [",".join([*columns, *("=" + export for export in answers)])]
        for i, row in enumerate(rows):
            lines.append(",".join(field(x) for x in [*row, *(a[i] for a in answers.values())]))
        (DATA / f"{name}.csv").write_text("\n".join(lines) + "\n")
        print(f"{name}: {len(model)} bytes, {len(rows)} rows, {', '.join(answers)}")


main(sys.argv[1:])
