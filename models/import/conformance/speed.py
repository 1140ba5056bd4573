"""Speed beside the original runtimes, one thread each, in one run: python speed.py --runner PATH [--only trees100|trees1000|mlp]

The runner is the example `score` built with optimisation. All take turns over the same rows, a few milliseconds at a time so that a busy
machine disturbs them alike, for several rounds; the best time of each counts.
"""
import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import xgboost as xgb
from onnx import TensorProto as P
from onnx import helper as h

from zoo_onnx import mlp_bytes, session
from zoo_trees import xgb_bytes

ROWS = 2_048
ROUNDS = 6
PASSES = 25


def best(f):
    """The shortest of some passes, in nanoseconds per row."""
    found = []
    for _ in range(PASSES):
        start = time.perf_counter()
        f()
        found.append(time.perf_counter() - start)
    return min(found) / ROWS * 1e9


def ours(runner, model, columns, rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "model").write_bytes(model)
        (path / "model.columns").write_text("\n".join(columns) + "\n")
        np.asarray(rows, dtype="<f8").tofile(path / "rows")
        out = subprocess.run([runner, path / "model", path / "rows", "score", path / "said", "auto", str(PASSES)], check=True, capture_output=True, text=True)
        return json.loads(out.stdout), np.fromfile(path / "said", dtype="<f8")


def race(own, others):
    """Everybody in turn; the best of all rounds."""
    found = []
    for _ in range(ROUNDS):
        found.append((own()[0]["ns_per_row"], {name: best(f) for name, f in others.items()}))
    return min(f[0] for f in found), {name: min(f[1][name] for f in found) for name in others}


def as_onnx(document, features):
    a = {k: [] for k in (
        "nodes_treeids nodes_nodeids nodes_featureids nodes_values nodes_modes nodes_truenodeids nodes_falsenodeids "
        "nodes_missing_value_tracks_true target_treeids target_nodeids target_ids target_weights").split()}
    for t, tree in enumerate(document["learner"]["gradient_booster"]["model"]["trees"]):
        for i, (left, right) in enumerate(zip(tree["left_children"], tree["right_children"])):
            leaf = left == -1
            a["nodes_treeids"].append(t)
            a["nodes_nodeids"].append(i)
            a["nodes_featureids"].append(0 if leaf else tree["split_indices"][i])
            a["nodes_values"].append(0.0 if leaf else tree["split_conditions"][i])
            a["nodes_modes"].append("LEAF" if leaf else "BRANCH_LT")
            a["nodes_truenodeids"].append(max(left, 0))
            a["nodes_falsenodeids"].append(max(right, 0))
            a["nodes_missing_value_tracks_true"].append(int(tree["default_left"][i]))
            if leaf:
                for key, value in zip(("treeids", "nodeids", "ids", "weights"), (t, i, 0, tree["split_conditions"][i])):
                    a[f"target_{key}"].append(value)
    node = h.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, post_transform="NONE", **a)
    graph = h.make_graph([node], "g", [h.make_tensor_value_info("X", P.FLOAT, [None, features])], [h.make_tensor_value_info("Y", P.FLOAT, [None, 1])])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 15), h.make_opsetid("ai.onnx.ml", 1)])
    model.ir_version = 8
    return model.SerializeToString()


def trees(runner, count, depth, features=20):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50_000, features)).astype(np.float32)
    y = np.sin(x[:, 0] * 2) + x[:, 1] * x[:, 2] + np.abs(x[:, 3]) + (x[:, 4:] ** 2).sum(1) * 0.05 + rng.normal(size=len(x)) * 0.3
    booster = xgb.train({"max_depth": depth, "eta": 0.1, "tree_method": "hist"}, xgb.DMatrix(x, y), count)
    booster.set_param("nthread", 1)
    t = rng.normal(size=(ROWS, features)).astype(np.float32)
    model = xgb_bytes(booster)
    onnx_session = session(as_onnx(json.loads(model), features))
    said = booster.inplace_predict(t)
    run = lambda: ours(runner, model, [f"f{i}" for i in range(features)], t)
    info, answer = run()
    same = bool((answer.astype(np.float32) == said).all())
    ns, theirs = race(run, {"XGBoost": lambda: booster.inplace_predict(t), "ONNX Runtime": lambda: onnx_session.run(None, {"X": t})})
    report(f"{count} trees x depth {depth}, {features} features", info, ns, theirs, f"bit-equal to XGBoost: {same}")


def mlp(runner):
    model = mlp_bytes((32, 64, 64, 1), 52)
    t = np.random.default_rng(1).normal(size=(ROWS, 32)).astype(np.float32)
    onnx_session = session(model)
    said = onnx_session.run(None, {"input": t})[0][:, 0].astype(np.float64)
    run = lambda: ours(runner, model, [f"input_{i}" for i in range(32)], t)
    info, answer = run()
    ns, theirs = race(run, {"ONNX Runtime": lambda: onnx_session.run(None, {"input": t})})
    report("MLP 32-64-64-1", info, ns, theirs, f"greatest relative difference {np.max(np.abs(answer - said) / np.abs(said)):.1e}")


def report(what, info, ns, theirs, note):
    print(f"{what}: {ns:.0f} ns per row; import {info['import_ms']} ms, compile {info['compile_ms']} ms, {info['module_bytes']} bytes, {info['class']}, {info['cost']}; {note}")
    for name, other in theirs.items():
        print(f"    {name}: {other:.0f} ns per row, ratio {other / ns:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runner", default="../../../target/release/examples/score")
    parser.add_argument("--only", choices=["trees100", "trees1000", "mlp"])
    args = parser.parse_args()
    cases = {"trees100": lambda: trees(args.runner, 100, 6), "trees1000": lambda: trees(args.runner, 1000, 8), "mlp": lambda: mlp(args.runner)}
    for name, case in cases.items():
        if args.only in (None, name):
            case()


main()
