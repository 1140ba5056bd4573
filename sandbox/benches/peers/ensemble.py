#!/usr/bin/env python3
"""The ensemble of benches/sandbox/ensemble.rs in XGBoost and ONNX Runtime, one thread each.

    python3 -m venv venv && venv/bin/pip install -r sandbox/benches/peers/requirements.txt
    venv/bin/python sandbox/benches/peers/ensemble.py

Builds the same trees and rows from the same seeds, saves the ensemble as an XGBoost model file, imports it (the example `score` of
`yunei-import`; YUNEI_IMPORT is another command) and measures in turn: the imported model in the sandbox (`cargo bench -p
yunei-sandbox -- ensemble`; YUNEI_BENCH is another command), XGBoost, ONNX Runtime. Checks that the predictions are the same. Prints the
shortest time of each over all rounds, and the ratios.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import onnx
import onnxruntime
import xgboost

TREES, DEPTH, FEATURES, ROWS = 100, 6, 16, 8192
INNER = (1 << DEPTH) - 1
GRID = 1 << 20
ROUNDS = 5
MASK = (1 << 64) - 1


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % n


def trees():
    r = Random(1)
    made = []
    for _ in range(TREES):
        nodes = [(r.below(FEATURES), r.below(GRID) / GRID) for _ in range(INNER)]
        leaves = [(r.below(1024) - 512.0) / 8192.0 for _ in range(INNER + 1)]
        made.append((nodes, leaves))
    return made


def rows():
    r = Random(2)
    return np.array([[r.below(GRID) / GRID for _ in range(FEATURES)] for _ in range(ROWS)], dtype=np.float32)


def in_xgboost(ensemble, folder):
    """A model file as XGBoost writes it: the trees go in as they are, nothing is trained. It is imported on the way."""
    total = 2 * INNER + 1
    described = []
    for i, (nodes, leaves) in enumerate(ensemble):
        inner = range(INNER)
        described.append({
            "base_weights": [0.0] * INNER + leaves,
            "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
            "default_left": [0] * total,
            "id": i,
            "left_children": [2 * n + 1 for n in inner] + [-1] * (INNER + 1),
            "right_children": [2 * n + 2 for n in inner] + [-1] * (INNER + 1),
            "parents": [2147483647] + [(n - 1) // 2 for n in range(1, total)],
            "loss_changes": [0.0] * total,
            "split_conditions": [t for _, t in nodes] + leaves,
            "split_indices": [f for f, _ in nodes] + [0] * (INNER + 1),
            "split_type": [0] * total,
            "sum_hessian": [1.0] * total,
            "tree_param": {"num_deleted": "0", "num_feature": str(FEATURES), "num_nodes": str(total), "size_leaf_vector": "1"},
        })
    # A trained model of one tree gives the frame, whatever this version of the library wants in it.
    data = xgboost.DMatrix(np.zeros((4, FEATURES), dtype=np.float32), label=np.zeros(4))
    frame = xgboost.train({"max_depth": 1, "base_score": 0.0, "nthread": 1}, data, 1)
    model = json.loads(frame.save_raw("json"))
    booster = model["learner"]["gradient_booster"]["model"]
    booster["trees"] = described
    booster["tree_info"] = [0] * TREES
    booster["iteration_indptr"] = list(range(TREES + 1))
    booster["gbtree_model_param"]["num_trees"] = str(TREES)
    path = os.path.join(folder, "ensemble.json")
    with open(path, "w") as file:
        json.dump(model, file)
    loaded = xgboost.Booster({"nthread": 1})
    loaded.load_model(path)
    command = os.environ.get("YUNEI_IMPORT", "cargo run -q --release -p yunei-import --example score --").split()
    os.environ["YUNEI_ENSEMBLE"] = os.path.join(folder, "imported")
    subprocess.run([*command, path, "--into", os.environ["YUNEI_ENSEMBLE"]], check=True)
    return lambda x: loaded.inplace_predict(x, predict_type="margin")


def in_onnx(ensemble):
    lists = {key: [] for key in (
        "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes", "nodes_truenodeids",
        "nodes_falsenodeids", "target_treeids", "target_nodeids", "target_ids", "target_weights")}
    for tree, (nodes, leaves) in enumerate(ensemble):
        for n in range(2 * INNER + 1):
            inner = n < INNER
            lists["nodes_treeids"].append(tree)
            lists["nodes_nodeids"].append(n)
            lists["nodes_featureids"].append(nodes[n][0] if inner else 0)
            lists["nodes_values"].append(nodes[n][1] if inner else 0.0)
            lists["nodes_modes"].append("BRANCH_LT" if inner else "LEAF")
            lists["nodes_truenodeids"].append(2 * n + 1 if inner else 0)
            lists["nodes_falsenodeids"].append(2 * n + 2 if inner else 0)
            if not inner:
                lists["target_treeids"].append(tree)
                lists["target_nodeids"].append(n)
                lists["target_ids"].append(0)
                lists["target_weights"].append(leaves[n - INNER])
    node = onnx.helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, **lists)
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node], "ensemble", [onnx.helper.make_tensor_value_info("x", kind, [None, FEATURES])],
        [onnx.helper.make_tensor_value_info("y", kind, [None, 1])])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["y"], {"x": x})[0]


def measure(predict, x):
    times = []
    for _ in range(21):
        start = time.perf_counter_ns()
        predict(x)
        times.append(time.perf_counter_ns() - start)
    return min(times) / len(x)


def in_sandbox():
    """Nanoseconds a row and the sum of all predictions, from the benchmark's closing line."""
    command = os.environ.get("YUNEI_BENCH", "cargo bench -q -p yunei-sandbox -- ensemble").split()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^ensemble: ([\d.]+) ns/row, sum (-?[\d.]+)", output, re.M)
    if found is None:
        sys.exit("the benchmark did not print its closing line")
    return float(found[1]), float(found[2])


def main():
    with tempfile.TemporaryDirectory() as folder:
        compare(folder)


def compare(folder):
    ensemble, x = trees(), rows()
    ways = {"XGBoost " + xgboost.__version__: in_xgboost(ensemble, folder), "ONNX Runtime " + onnxruntime.__version__: in_onnx(ensemble)}
    results = {name: [] for name in ["Yunei", *ways]}
    for _ in range(ROUNDS):
        nanoseconds, total = in_sandbox()
        results["Yunei"].append(nanoseconds)
        for name, predict in ways.items():
            theirs = float(np.sum(predict(x), dtype=np.float64))
            if abs(theirs - total) > 0.01:
                sys.exit(f"{name} computes something else: {theirs} instead of {total}")
            results[name].append(measure(predict, x))
    ours = min(results["Yunei"])
    print(f"{TREES} trees of depth {DEPTH}, {FEATURES} features, batches of {ROWS} rows, one thread\n")
    print("| way | a row | of ours |\n|---|---|---|")
    for name, times in results.items():
        theirs = min(times)
        print(f"| {name} | {theirs:.0f} ns | {theirs / ours:.2f} |")


if __name__ == "__main__":
    main()
