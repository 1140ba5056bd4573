"""Equality with the original runtimes on many rows: python conformance.py [--rows N] [--runner PATH] [NAME …]

Trains each model of the zoo, imports it with the example `score` (cargo build -p yunei-import --example score), and compares what the
sandbox says with what the original runtime says. Prints one line per model; exits 1 where one is not as close as it has to be.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import zoo_cards
import zoo_graphs
import zoo_onnx
import zoo_pipelines
import zoo_trees

ZOO = {**zoo_trees.ALL, **zoo_onnx.ALL, **zoo_pipelines.ALL, **zoo_graphs.ALL, **zoo_cards.ALL}
# How close: units in the last place of binary32, or relative to the answer (where terms cancel, to a tenth of the greatest).
ULPS = {
    "xgboost_regression": 0, "xgboost_deep": 0, "xgboost_dense": 0, "xgboost_categories": 0, "xgboost_dart": 0, "xgboost_label": 0,
    # The sums are the same bits; expf of the platform's library is not correctly rounded.
    "xgboost_binary": 2, "xgboost_ubjson": 2, "xgboost_poisson": 2, "xgboost_classes": 2,
    "xgboost_base_score": 2, "xgboost_dart_binary": 2, "xgboost_dart_classes": 2, "xgboost_forest": 2, "xgboost_gamma": 2, "xgboost_tweedie": 2, "xgboost_logitraw": 0,
    "xgboost_hinge": 0, "xgboost_rank": 0, "xgboost_targets": 0, "xgboost_quantiles": 0, "xgboost_categories_binary": 2,
    "onnx_forest": 0, "onnx_boosting": 0, "onnx_forest_classes": 0, "onnx_ensemble_v5": 0, "onnx_tree": 0, "onnx_tree_classes": 0, "onnx_extra_trees": 0,
    "onnx_forest_binary": 0, "onnx_forest_targets": 0, "onnx_forest_imputed": 0, "onnx_boosting_classes": 0, "onnx_histogram": 0, "onnx_modes": 0, "onnx_average": 0,
    "onnx_classifier_plain": 0,
}
# Sums of binary32 in another order than the source's, whose terms cancel.
NEAR = {"onnx_mlp_sklearn": 3e-6, "onnx_imputed": 3e-6, "onnx_logistic": 3e-6, "onnx_categories": 3e-6, "onnx_svc": 3e-6,
        "onnx_sgd": 3e-6, "onnx_maxabs": 3e-6, "onnx_normalizer_l1": 3e-6, "onnx_normalizer_max": 3e-6, "onnx_mlp_regression": 3e-6, "onnx_torch": 3e-6, "onnx_svr_kernel": 3e-6}
EXACT = {"lightgbm_frame", "lightgbm_sqrt", "lightgbm_quantile", "lightgbm_without_missing", "lightgbm_regression", "lightgbm_zero", "lightgbm_no_missing", "lightgbm_forest", "lightgbm_categories", "lightgbm_leafwise", "pmml_scorecard", "card_scorecard"}


class Refused(Exception):
    """The importer does not take a model of the zoo."""


def order(x):
    bits = x.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(1 << 31) - bits, bits)


def rows_as_numbers(rows, columns, runner_names):
    """Texts become their codes; the importer lists the categories of an input in the order in which the file names them."""
    if isinstance(rows, np.ndarray):
        return rows
    out = np.full((len(rows), len(columns)), np.nan)
    for i, row in enumerate(rows):
        for j, x in enumerate(row):
            if isinstance(x, str):
                codes = runner_names.get(columns[j], [])
                out[i, j] = codes.index(x) if x in codes else -1.0
            else:
                out[i, j] = x
    return out


def run(runner, model, columns, rows, export, style):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "model").write_bytes(model)
        (path / "model.columns").write_text("\n".join(columns) + "\n")
        described = subprocess.run([runner, path / "model", "--describe"], capture_output=True, text=True)
        if described.returncode == 3:
            raise Refused("; ".join(f"{w['en']} ({w.get('where', '')})" for w in json.loads(described.stdout)))
        described.check_returncode()
        info = described.stdout
        categories = {f["from"]: f["categories"] for f in json.loads(info)["features"]}
        np.asarray(rows_as_numbers(rows, columns, categories), dtype="<f8").tofile(path / "rows")
        subprocess.run([runner, path / "model", path / "rows", export, path / "said", style], check=True, capture_output=True)
        return np.fromfile(path / "said", dtype="<f8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runner", default="../../../target/debug/examples/score")
    parser.add_argument("--style", default="auto")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    failed = False
    for name, make in ZOO.items():
        if args.names and name not in args.names:
            continue
        model, _, columns, rows, answers = make(args.rows)
        for export, wanted in answers.items():
            try:
                said = run(args.runner, model, columns, rows, export, args.style)
            except Refused as refusal:
                failed = True
                print(f"BAD {name:24} refused: {refusal}", flush=True)
                break
            ulps = int(np.abs(order(said) - order(wanted)).max())
            equal = float((said == wanted).mean())
            relative = float((np.abs(said - wanted) / np.maximum(np.abs(wanted), 0.1 * np.abs(wanted).max())).max())
            good = ulps <= ULPS[name] if name in ULPS else bool((said == wanted).all()) if name in EXACT else relative <= (1e-14 if name.startswith("lightgbm") else NEAR.get(name, 1e-6))
            failed |= not good
            print(f"{'ok ' if good else 'BAD'} {name:24} {export:8} rows {len(said)}  binary32 ulps {ulps}  equal binary64 {equal:.6f}  relative {relative:.2e}", flush=True)
    sys.exit(failed)


main()
