"""Random ONNX graphs beside ONNX Runtime: python random_graphs.py [--graphs N] [--seed S] [--runner PATH]

Operators, attributes, shapes and versions are drawn by chance, sound or not. Where both take a graph they have to answer alike; what only one of them
takes is counted. Prints each graph that differs, and exits 1.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import TensorProto as P
from onnx import helper as h
from onnx import numpy_helper as nh

ROWS = 64
ort.set_default_logger_severity(4)


class Draw:
    """A graph on its way: names of values, with the shape and type that they are believed to have."""

    def __init__(self, rng):
        self.rng, self.nodes, self.tensors, self.values = rng, [], [], []
        self.opset = int(rng.choice([7, 9, 10, 11, 12, 13, 15, 17, 21]))
        self.width = int(rng.integers(1, 6))
        self.kind = int(rng.choice([P.FLOAT, P.FLOAT, P.FLOAT, P.DOUBLE, P.INT64]))
        self.values.append(("x", 2, self.width, self.kind))

    def pick(self, options):
        return options[int(self.rng.integers(0, len(options)))]

    def chance(self, p):
        return bool(self.rng.random() < p)

    def number(self):
        return float(np.float32(self.pick([0.0, 1.0, -1.0, 0.5, 2.0, float(self.rng.normal())])))

    def tensor(self, shape, kind=P.FLOAT, values=None):
        name = f"t{len(self.tensors)}"
        dtype = {P.FLOAT: np.float32, P.DOUBLE: np.float64, P.INT64: np.int64, P.INT32: np.int32}.get(kind, np.float32)
        if values is None:
            values = np.round(self.rng.normal(size=shape) * 2, 1)
        self.tensors.append(nh.from_array(np.asarray(values).reshape(shape).astype(dtype), name))
        return name

    def node(self, op, inputs, rank, width, kind, domain="", outputs=1, use=0, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(h.make_node(op, inputs, names, domain=domain, **attributes))
        self.values.append((names[use], rank, width, kind))

    def value(self):
        # The newest, most often, so that graphs are deep.
        return self.values[-1] if self.chance(0.7) else self.pick(self.values)

    def step(self):
        name, rank, width, kind = self.value()
        getattr(self, self.pick(STEPS))(name, rank, width, kind)

    def unary(self, x, rank, width, kind):
        self.node(self.pick(["Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Abs", "Sqrt", "Identity", "Dropout"]), [x], rank, width, kind)

    def with_constant(self, x, rank, width, kind):
        shape = self.pick([(), (1,), (width,), (1, width), (width,), (1, 1)] + ([(width, 1)] if self.chance(0.2) else []))
        other = self.tensor(shape, kind)
        self.node(self.pick(["Add", "Sub", "Mul", "Div", "Min", "Max"]), [x, other] if self.chance(0.7) else [other, x], rank, width, kind)

    def pair(self, x, rank, width, kind):
        fit = [v for v in self.values if v[3] == kind and (v[2] in (1, width) or width == 1 or self.chance(0.05))]
        y = self.pick(fit or self.values)
        self.node(self.pick(["Add", "Sub", "Mul", "Div", "Min", "Max"]), [x, y[0]], max(rank, y[1]), max(width, y[2]), kind)

    def gemm(self, x, rank, width, kind):
        out, flip = int(self.rng.integers(1, 6)), self.chance(0.5)
        inputs = [x, self.tensor((out, width) if flip else (width, out), kind)]
        if self.opset < 11 or self.chance(0.7):
            inputs.append(self.tensor(self.pick([(out,), (1, out), (1,), ()]), kind))
        more = {"alpha": self.number()} if self.chance(0.3) else {}
        more |= {"beta": self.number()} if self.chance(0.3) else {}
        self.node("Gemm", inputs, 2, out, kind, transB=int(flip), **more)

    def matmul(self, x, rank, width, kind):
        out = int(self.rng.integers(1, 6))
        if self.chance(0.2):
            self.node("MatMul", [x, self.tensor((width,), kind)], 1, 1, kind)
        else:
            self.node("MatMul", [x, self.tensor((width, out), kind)], 2, out, kind)

    def axis(self):
        return int(self.pick([1, 1, 1, -1, -1, 0, 2]))

    def softmax(self, x, rank, width, kind):
        self.node("Softmax", [x], rank, width, kind, **({"axis": self.axis()} if self.chance(0.8) else {}))

    def argmax(self, x, rank, width, kind):
        keep = int(self.chance(0.5))
        self.node("ArgMax", [x], 1 + keep, 1, P.INT64, keepdims=keep, **({"axis": self.axis()} if self.chance(0.9) else {}))

    def concat(self, x, rank, width, kind):
        fit = [v for v in self.values if v[3] == kind]
        parts = [self.pick(fit) for _ in range(int(self.rng.integers(1, 3)))]
        self.node("Concat", [x] + [p[0] for p in parts], rank, width + sum(p[2] for p in parts), kind, axis=self.axis())

    def gather(self, x, rank, width, kind):
        shape = self.pick([(), (1,), (2,), (3,), (1, 2)])
        low = 0 if self.opset < 11 else -width
        places = self.rng.integers(low, width, size=shape)
        n = int(np.prod(shape))
        self.node("Gather", [x, self.tensor(shape, P.INT64, places)], 1 if shape == () else 2, n, kind, **({"axis": self.axis()} if self.chance(0.9) else {}))

    def reduce(self, x, rank, width, kind):
        axes, keep = self.pick([[1], [-1], [0], [0, 1]] if self.chance(0.3) else [[1], [-1]]), int(self.chance(0.6))
        if self.opset < 13:
            self.node("ReduceSum", [x], 1 + keep, 1, kind, axes=axes, keepdims=keep)
        else:
            self.node("ReduceSum", [x, self.tensor((len(axes),), P.INT64, axes)], 1 + keep, 1, kind, keepdims=keep)

    def flatten(self, x, rank, width, kind):
        self.node("Flatten", [x], 2, width, kind, **({"axis": self.axis()} if self.chance(0.7) else {}))

    def reshape(self, x, rank, width, kind):
        shape = self.pick([[0, -1], [-1, width], [-1, 1], [-1], [1, -1], [0, width], [-1, width, 1], [2, -1], [0, 0]])
        self.node("Reshape", [x, self.tensor((len(shape),), P.INT64, shape)], len(shape), width, kind)

    def squeeze(self, x, rank, width, kind):
        op, axes = self.pick(["Squeeze", "Unsqueeze"]), self.pick([[1], [-1], [0], [1], [2]])
        if self.opset < 11:
            axes = [abs(axes[0])]
        to = rank - 1 if op == "Squeeze" else rank + 1
        if self.opset < 13:
            self.node(op, [x], to, width, kind, axes=axes)
        else:
            self.node(op, [x, self.tensor((1,), P.INT64, axes)], to, width, kind)

    def cast(self, x, rank, width, kind):
        to = self.pick([P.FLOAT, P.FLOAT, P.DOUBLE, P.INT64, P.INT32, P.BOOL])
        self.node("Cast", [x], rank, width, to, to=to)

    def clip(self, x, rank, width, kind):
        low, high = sorted([self.number(), self.number()])
        if self.opset < 11:
            self.node("Clip", [x], rank, width, kind, **({"min": low} if self.chance(0.8) else {}), **({"max": high} if self.chance(0.8) else {}))
        else:
            self.node("Clip", [x, self.tensor((), kind, low), self.tensor((), kind, high) if self.chance(0.8) else ""], rank, width, kind)

    def scaler(self, x, rank, width, kind):
        n = width if self.chance(0.7) else 1
        self.node("Scaler", [x], 2, width, P.FLOAT, "ai.onnx.ml", offset=[self.number() for _ in range(n)], scale=[self.number() for _ in range(n)])

    def normalizer(self, x, rank, width, kind):
        self.node("Normalizer", [x], 2, width, P.FLOAT, "ai.onnx.ml", **({"norm": self.pick(["MAX", "L1", "L2"])} if self.chance(0.9) else {}))

    def imputer(self, x, rank, width, kind):
        n = width if self.chance(0.7) else 1
        if kind == P.INT64:
            self.node("Imputer", [x], rank, width, kind, "ai.onnx.ml", imputed_value_int64s=[int(v) for v in self.rng.integers(-3, 4, n)], replaced_value_int64=int(self.rng.integers(-2, 3)))
        else:
            self.node("Imputer", [x], rank, width, kind, "ai.onnx.ml", imputed_value_floats=[self.number() for _ in range(n)], replaced_value_float=self.pick([float("nan"), 0.0, 1.0]))

    def binarizer(self, x, rank, width, kind):
        self.node("Binarizer", [x], rank, width, kind, "ai.onnx.ml", **({"threshold": self.number()} if self.chance(0.8) else {}))

    def linear(self, x, rank, width, kind):
        out = int(self.rng.integers(1, 4))
        a = {"coefficients": [self.number() for _ in range(out * width)], "post_transform": self.pick(["NONE", "NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"])}
        a |= {"intercepts": [self.number() for _ in range(out)]} if self.chance(0.8) else {}
        if self.chance(0.5):
            self.node("LinearRegressor", [x], 2, out, P.FLOAT, "ai.onnx.ml", targets=out, **a)
        else:
            labels = list(range(out if out > 1 else self.pick([1, 2])))
            self.node("LinearClassifier", [x], 2, len(labels), P.FLOAT, "ai.onnx.ml", 2, 1, classlabels_ints=labels, multi_class=int(self.chance(0.5)), **a)

    def extract(self, x, rank, width, kind):
        n = int(self.rng.integers(1, 4))
        self.node("ArrayFeatureExtractor", [x, self.tensor((n,), P.INT64, self.rng.integers(0, width, n))], 2, n, kind, "ai.onnx.ml")

    def vectorizer(self, x, rank, width, kind):
        y = self.pick(self.values)
        self.node("FeatureVectorizer", [x, y[0]], 2, width + y[2], P.FLOAT, "ai.onnx.ml", inputdimensions=[width, y[2]])

    def one_hot(self, x, rank, width, kind):
        cats = sorted({int(v) for v in self.rng.integers(-2, 4, 3)})
        self.node("OneHotEncoder", [x], 3, len(cats), P.FLOAT, "ai.onnx.ml", cats_int64s=cats, zeros=1)

    def lookup(self, x, rank, width, kind):
        keys, values = [0, 1, -1, 2, 0], [self.number() for _ in range(5)]
        if kind == P.INT64:
            self.node("LabelEncoder", [x], rank, width, P.FLOAT, "ai.onnx.ml", keys_int64s=keys, values_floats=values, default_float=self.number())
        else:
            self.node("LabelEncoder", [x], rank, width, P.FLOAT, "ai.onnx.ml", keys_floats=[float(k) for k in keys], values_floats=values, default_float=self.number())

    def trees(self, x, rank, width, kind):
        out, classifier = int(self.rng.integers(1, 4)), self.chance(0.4)
        a = {k: [] for k in "nodes_treeids nodes_nodeids nodes_featureids nodes_values nodes_modes nodes_truenodeids nodes_falsenodeids nodes_missing_value_tracks_true".split()}
        who = "class" if classifier else "target"
        leaves = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
        modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
        mode = self.pick(modes)
        for tree in range(int(self.rng.integers(1, 4))):
            depth = int(self.rng.integers(0, 4))
            splits = 2**depth - 1
            for node in range(2 * splits + 1):
                split = node < splits
                values = (tree, node, int(self.rng.integers(0, width)) if split else 0, self.number() if split else 0.0, (self.pick(modes) if self.chance(0.2) else mode) if split else "LEAF",
                          2 * node + 1 if split else 0, 2 * node + 2 if split else 0, int(self.rng.integers(0, 2)))
                for key, value in zip(a, values):
                    a[key].append(value)
                if not split:
                    for target in range(out):
                        if self.chance(0.9):
                            for key, value in zip(leaves, (tree, node, target, abs(self.number()) if self.chance(0.5) else self.number())):
                                leaves[key].append(value)
        if classifier and out == 1 and self.chance(0.5):
            leaves["ids"] = [1] * len(leaves["ids"])
        a |= {f"{who}_{k}": v for k, v in leaves.items()}
        a |= {"base_values": [self.number() for _ in range(out)]} if self.chance(0.4) else {}
        a |= {"post_transform": self.pick(["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])} if self.chance(0.6) else {}
        if not leaves["ids"]:
            return
        if classifier:
            labels = list(range(out if out > 1 else 2))
            self.node("TreeEnsembleClassifier", [x], 2, len(labels), P.FLOAT, "ai.onnx.ml", 2, 1, classlabels_int64s=labels, **a)
        else:
            a |= {"aggregate_function": self.pick(["SUM", "AVERAGE"])} if self.chance(0.5) else {}
            self.node("TreeEnsembleRegressor", [x], 2, out, P.FLOAT, "ai.onnx.ml", n_targets=out, **a)

    def ensemble(self, x, rank, width, kind):
        """The operator of ai.onnx.ml 5: a complete tree or two of one mode, members among them."""
        roots, a, leaves, members = [], {k: [] for k in "featureids modes splits truenodeids trueleafs falsenodeids falseleafs missing_value_tracks_true".split()}, [], []
        out = int(self.rng.integers(1, 3))
        for _ in range(int(self.rng.integers(1, 3))):
            first = len(a["modes"])
            roots.append(first)
            mode = int(self.rng.integers(0, 7))
            for node in range(3):
                a["featureids"].append(int(self.rng.integers(0, width)))
                a["modes"].append(mode)
                a["splits"].append(0.0 if mode == 6 else self.number())
                a["missing_value_tracks_true"].append(int(self.rng.integers(0, 2)))
                if mode == 6:
                    members += [float(v) / 2 for v in self.rng.integers(-1 if self.chance(0.1) else 0, 5, int(self.rng.integers(1, 4)))] + [float("nan")]
                for side in ("true", "false"):
                    if node == 0:
                        a[f"{side}nodeids"].append(first + (1 if side == "true" else 2))
                        a[f"{side}leafs"].append(0)
                    else:
                        a[f"{side}nodeids"].append(len(leaves))
                        a[f"{side}leafs"].append(1)
                        leaves.append((int(self.rng.integers(0, out)), self.number()))
        more = {"membership_values": h.make_tensor("m", P.FLOAT, (len(members),), members)} if members else {}
        self.node("TreeEnsemble", [x], 2, out, kind, "ai.onnx.ml", n_targets=out, aggregate_function=int(self.pick([0, 1, 1])), post_transform=int(self.pick([0, 0, 1, 2])), tree_roots=roots,
                  leaf_targetids=[t for t, _ in leaves], leaf_weights=h.make_tensor("w", P.FLOAT, (len(leaves),), [w for _, w in leaves]),
                  nodes_splits=h.make_tensor("s", P.FLOAT, (len(a["splits"]),), a["splits"]), nodes_modes=h.make_tensor("n", P.UINT8, (len(a["modes"]),), a["modes"]),
                  **{f"nodes_{k}": v for k, v in a.items() if k not in ("splits", "modes")}, **more)

    def model(self):
        name = self.values[-1][0]
        graph = h.make_graph(self.nodes, "g", [h.make_tensor_value_info("x", self.kind, ["n", self.width])], [h.make_empty_tensor_value_info(name)], self.tensors)
        made = h.make_model(graph, opset_imports=[h.make_opsetid("", self.opset), h.make_opsetid("ai.onnx.ml", 5 if any(n.op_type == "TreeEnsemble" for n in self.nodes) else 3)])
        made.ir_version = 7
        return made, name

    def rows(self):
        x = np.round(self.rng.normal(size=(ROWS, self.width)) * 2) / 2
        if self.kind == P.INT64:
            return x.astype(np.int64)
        x[self.rng.random(x.shape) < 0.1] = np.nan
        return x.astype(np.float32 if self.kind == P.FLOAT else np.float64)


STEPS = ("unary unary with_constant with_constant pair gemm matmul softmax argmax concat gather reduce flatten reshape squeeze cast clip "
         "scaler normalizer imputer binarizer linear extract vectorizer one_hot lookup trees trees ensemble").split()


def theirs(model, x):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        out = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        return np.asarray(out)
    except Exception:
        return None


def ours(runner, model, x):
    return ours_of(runner, model, ["x"] if x.shape[1] == 1 else [f"x_{i}" for i in range(x.shape[1])], x)


def ours_of(runner, model, names, x):
    """What each export says; None where the importer refuses."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "model").write_bytes(model)
        (path / "model.columns").write_text("\n".join(names) + "\n")
        described = subprocess.run([runner, path / "model", "--describe"], capture_output=True, text=True)
        if described.returncode == 3:
            return None, described.stdout
        if described.returncode != 0:
            return "crash", described.stderr[-600:]
        x.astype("<f8").tofile(path / "rows")
        said = {}
        info = json.loads(described.stdout)
        for output in info["outputs"]:
            run = subprocess.run([runner, path / "model", path / "rows", output["export"], path / "said"], capture_output=True, text=True)
            if run.returncode != 0:
                return "crash", run.stderr[-600:]
            said[output["export"]] = np.fromfile(path / "said", dtype="<f8")
        return said, info


def differs(said, info, out, x):
    """The first export and row that do not agree."""
    missing = np.isnan(x.astype(float)).any(axis=1)
    out = out.reshape(ROWS, -1).astype(float)
    names = list(said)
    columns = range(out.shape[1]) if len(names) == out.shape[1] else [1] if len(names) == 1 and out.shape[1] == 2 else None
    if columns is None:
        return f"{len(names)} exports for {out.shape[1]} columns"
    for name, column in zip(names, columns):
        a, b = said[name], out[:, column]
        scale = np.nanmax(np.abs(b[np.isfinite(b)]), initial=1e-30)
        # A row of which the model is not asked; a NaN or an infinite answer, which the sandbox does not let out.
        skip = (np.isnan(a) & missing) | ~np.isfinite(b) | (np.abs(b) > 1e8)
        bad = ~skip & ~(np.abs(a - b) <= 2e-5 * np.maximum(np.abs(b), 0.1 * scale) + 1e-30)
        if bad.any():
            row = int(np.argmax(bad))
            return f"{name} row {row}: ours {a[row]!r} theirs {b[row]!r} of {x[row].tolist()}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--graphs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runner", default="../../../target/debug/examples/score")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    counted, failed = Counter(), False
    for seed in range(args.seed, args.seed + args.graphs):
        draw = Draw(np.random.default_rng(seed))
        for _ in range(int(draw.rng.integers(1, 6))):
            draw.step()
        if not draw.nodes:
            continue
        made, _ = draw.model()
        model, x = made.SerializeToString(), draw.rows()
        said, info = ours(args.runner, model, x)
        out = theirs(model, x)
        if said == "crash":
            verdict = f"crash: {info}"
        elif said is None:
            counted["both refuse" if out is None else "only ours refuses"] += 1
            continue
        elif out is None:
            # Types that ONNX Runtime has no kernel for, rows with NaN that a kernel does not take, shapes that it checks and that mean the same.
            counted["only ours takes"] += 1
            continue
        elif out.shape[:1] != (ROWS,) or out.dtype == object:
            verdict = f"ONNX Runtime has the shape {out.shape}"
        else:
            verdict = differs(said, info, out, x)
        if verdict is None:
            counted["alike"] += 1
            continue
        failed = True
        counted["differ"] += 1
        operators = "; ".join(f"{n.op_type}({', '.join(n.input)})->{','.join(n.output)} " + " ".join(f"{a.name}={h.get_attribute_value(a)}" for a in n.attribute if len(str(a)) < 200) for n in made.graph.node)
        print(f"seed {seed} opset {draw.opset} x[{draw.width}] {draw.kind}: {verdict}\n    {operators}\n    " + " ".join(f"{t.name}{list(t.dims)}={nh.to_array(t).ravel()[:6].tolist()}" for t in made.graph.initializer), flush=True)
        if args.keep:
            (args.keep / f"{seed}.onnx").write_bytes(model)
    print(dict(counted))
    sys.exit(failed)


if __name__ == "__main__":
    main()
