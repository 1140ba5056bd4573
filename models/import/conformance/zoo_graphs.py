"""Graphs of ONNX written by hand: each operator and attribute that exporters use and the other models do not reach."""
import numpy as np
import onnx
from onnx import TensorProto as P
from onnx import helper as h
from onnx import numpy_helper as nh

from zoo_onnx import answers, said

RNG = np.random.default_rng(100)


def matrix(*shape, scale=1.0):
    return (RNG.normal(size=shape) * scale).astype(np.float32)


def model(nodes, tensors, width, out=1, opset=17, ml=3, kind=P.FLOAT):
    graph = h.make_graph(
        nodes, "main_graph", [h.make_tensor_value_info("x", kind, ["batch", width])], [h.make_tensor_value_info("y", P.FLOAT, ["batch", out])],
        [nh.from_array(v, k) for k, v in tensors.items()])
    made = h.make_model(graph, opset_imports=[h.make_opsetid("", opset), h.make_opsetid("ai.onnx.ml", ml)], producer_name="pytorch")
    made.ir_version = 8
    onnx.checker.check_model(made)
    return made.SerializeToString()


def case(data, width, rows, seed, missing=0.0):
    rng = np.random.default_rng(seed)
    t = (rng.normal(size=(rows, width)) * 2).astype(np.float32)
    t[rng.random(t.shape) < missing] = np.nan
    return data, "onnx", [f"x_{i}" for i in range(width)], t.astype(np.float64), answers(said(data, {"x": t}), "target")


n = h.make_node


def onnx_torch(rows=300):
    """nn.Flatten, nn.Identity, nn.Dropout, view(), clamp() and residual addition among linear layers."""
    w = {"w0": matrix(12, 8), "b0": matrix(12), "w1": matrix(12, 12, scale=0.3), "b1": matrix(12), "w2": matrix(1, 12), "b2": matrix(1),
         "shape": np.array([0, -1], np.int64), "shape2": np.array([-1, 12], np.int64), "lo": np.array(-3, np.float32), "hi": np.array(3, np.float32)}
    nodes = [
        n("Flatten", ["x"], ["f"], axis=1), n("Gemm", ["f", "w0", "b0"], ["g0"], transB=1), n("Tanh", ["g0"], ["t0"]), n("Identity", ["t0"], ["i0"]), n("Dropout", ["i0"], ["d0"]),
        n("Reshape", ["d0", "shape"], ["r0"]), n("Gemm", ["r0", "w1", "b1"], ["g1"], transB=1, alpha=1.0, beta=1.0), n("Relu", ["g1"], ["a1"]), n("Add", ["a1", "r0"], ["s1"]),
        n("Clip", ["s1", "lo", "hi"], ["c1"]), n("Reshape", ["c1", "shape2"], ["r1"]), n("Gemm", ["r1", "w2", "b2"], ["g2"], transB=1), n("Sigmoid", ["g2"], ["y"])]
    return case(model(nodes, w, 8), 8, rows, 101)


def onnx_gemm(rows=300):
    """alpha and beta other than one, a bias that is spread, weights the other way round."""
    nodes = [n("Gemm", ["x", "w", "b"], ["g"], alpha=0.5, beta=2.0), n("Exp", ["g"], ["e"]), n("Neg", ["e"], ["m"]), n("Abs", ["m"], ["p"]), n("Sqrt", ["p"], ["q"]), n("MatMul", ["q", "v"], ["y"])]
    return case(model(nodes, {"w": matrix(5, 4, scale=0.2), "b": matrix(1, 4, scale=0.2), "v": matrix(4, 1)}, 5), 5, rows, 102)


def onnx_arithmetic(rows=300):
    nodes = [n("Sub", ["x", "c"], ["a"]), n("Mul", ["a", "d"], ["b"]), n("Div", ["b", "e"], ["f"]), n("Min", ["f", "top"], ["g"]), n("Max", ["g", "low"], ["h"]), n("Concat", ["h", "x"], ["i"], axis=1),
             n("Gather", ["i", "pick"], ["j"], axis=1), n("ReduceSum", ["j", "axes"], ["y"], keepdims=1)]
    tensors = {"c": matrix(4), "d": matrix(1, 4), "e": matrix(4) + np.float32(3), "top": np.array([1.5], np.float32), "low": np.array(-1, np.float32),
               "pick": np.array([0, 5, -1, 2], np.int64), "axes": np.array([1], np.int64)}
    return case(model(nodes, tensors, 4), 4, rows, 103)


def onnx_flat(rows=300):
    """Columns taken out, squeezed, computed with and put back."""
    nodes = [n("Gather", ["x", "one"], ["a"], axis=1), n("Gather", ["x", "two"], ["b"], axis=1), n("Squeeze", ["b", "axis"], ["c"]), n("Mul", ["a", "c"], ["d"]), n("Add", ["d", "k"], ["e"]),
             n("Tanh", ["e"], ["f"]), n("Unsqueeze", ["f", "axis"], ["g"]), n("Concat", ["g", "x"], ["i"], axis=-1), n("MatMul", ["i", "w"], ["y"])]
    tensors = {"one": np.array(0, np.int64), "two": np.array([1], np.int64), "axis": np.array([1], np.int64), "k": np.array(0.5, np.float32), "w": matrix(4, 1)}
    return case(model(nodes, tensors, 3), 3, rows, 104)


def onnx_older(rows=300):
    """Axes and bounds as attributes, as opset 10 has them."""
    nodes = [n("Clip", ["x"], ["a"], min=-1.0, max=0.75), n("Gemm", ["a", "w", "b"], ["g"]), n("Softmax", ["g"], ["s"], axis=1), n("ReduceSum", ["a"], ["r"], axes=[1], keepdims=1), n("Mul", ["s", "r"], ["y"])]
    return case(model(nodes, {"w": matrix(5, 3), "b": matrix(3)}, 5, out=3, opset=10), 5, rows, 105)


def onnx_constants(rows=300):
    nodes = [n("Constant", [], ["a"], value_float=0.25), n("Constant", [], ["b"], value_floats=[1.0, -2.0, 0.5]), n("Constant", [], ["c"], value=nh.from_array(matrix(3, 1), "c")),
             n("Mul", ["x", "a"], ["d"]), n("Add", ["d", "b"], ["e"]), n("MatMul", ["e", "c"], ["y"])]
    return case(model(nodes, {}, 3), 3, rows, 106)


def onnx_casts(rows=300):
    """Doubles that become floats before a product, and stay doubles elsewhere."""
    w = matrix(3, 1).astype(np.float64)
    nodes = [n("Add", ["x", "c"], ["a"]), n("MatMul", ["a", "w"], ["b"]), n("Cast", ["b"], ["y"], to=P.FLOAT)]
    data = model(nodes, {"c": np.array([0.1, 0.2, 0.3]), "w": w}, 3, kind=P.DOUBLE)
    rng = np.random.default_rng(107)
    t = rng.normal(size=(rows, 3))
    return data, "onnx", [f"x_{i}" for i in range(3)], t, answers(said(data, {"x": t}))


def ensemble(name, kinds, rows, seed, missing=0.1, **more):
    """Trees of TreeEnsembleRegressor with all modes, drawn by chance, on values that stand on thresholds."""
    rng = np.random.default_rng(seed)
    modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
    a = {k: [] for k in "nodes_treeids nodes_nodeids nodes_featureids nodes_values nodes_modes nodes_truenodeids nodes_falsenodeids nodes_missing_value_tracks_true".split()}
    leaves = []
    for tree in range(6):
        for node in range(15):
            split = node < 7
            a["nodes_treeids"].append(tree)
            a["nodes_nodeids"].append(node)
            a["nodes_featureids"].append(int(rng.integers(0, 4)) if split else 0)
            a["nodes_values"].append(float(rng.integers(-4, 5)) / 2 if split else 0.0)
            a["nodes_modes"].append(modes[tree] if split else "LEAF")
            a["nodes_truenodeids"].append(2 * node + 1 if split else 0)
            a["nodes_falsenodeids"].append(2 * node + 2 if split else 0)
            a["nodes_missing_value_tracks_true"].append(int(rng.integers(0, 2)))
            if not split:
                leaves += [(tree, node, kind, float(np.float32(rng.normal()))) for kind in range(kinds)]
    for key, values in zip(("treeids", "nodeids", "ids", "weights"), zip(*leaves)):
        a[f"{name}_{key}"] = list(values)
    op = {"target": "TreeEnsembleRegressor", "class": "TreeEnsembleClassifier"}[name]
    if name == "target":
        nodes = [n(op, ["x"], ["y"], domain="ai.onnx.ml", n_targets=kinds, **a, **more)]
    else:
        nodes = [n(op, ["x"], ["label", "y"], domain="ai.onnx.ml", classlabels_int64s=list(range(max(kinds, 2))), **a, **more)]
    data = model(nodes, {}, 4, out=max(kinds, 2) if name == "class" else kinds)
    t = np.round(rng.normal(size=(rows, 4)) * 2) / 2
    t[rng.random(t.shape) < missing] = np.nan
    t = t.astype(np.float32)
    out = answers(said(data, {"x": t}), name)
    return data, "onnx", [f"x_{i}" for i in range(4)], t.astype(np.float64), out


def onnx_modes(rows=300):
    return ensemble("target", 1, rows, 110, aggregate_function="SUM", base_values=[0.125])


def onnx_average(rows=300):
    return ensemble("target", 3, rows, 111, aggregate_function="AVERAGE", base_values=[0.5, -1.0, 2.0])


def onnx_regressor_logistic(rows=300):
    return ensemble("target", 3, rows, 112, post_transform="LOGISTIC")


def onnx_classifier_softmax(rows=300):
    return ensemble("class", 3, rows, 113, post_transform="SOFTMAX", base_values=[0.1, 0.2, 0.3])


def onnx_classifier_logistic(rows=300):
    return ensemble("class", 1, rows, 114, post_transform="LOGISTIC")


def onnx_classifier_plain(rows=300):
    return ensemble("class", 4, rows, 115, post_transform="NONE")


def onnx_imputer_zero(rows=300):
    """Another value than NaN stands for what is missing."""
    nodes = [n("Imputer", ["x"], ["a"], domain="ai.onnx.ml", imputed_value_floats=[1.0, 2.0, 3.0], replaced_value_float=-999.0), n("MatMul", ["a", "w"], ["y"])]
    data, ext, columns, t, _ = case(model(nodes, {"w": matrix(3, 1)}, 3), 3, rows, 116)
    t[np.random.default_rng(1).random(t.shape) < 0.2] = -999.0
    return data, ext, columns, t, answers(said(data, {"x": t.astype(np.float32)}))


ALL = {name: f for name, f in list(globals().items()) if name.startswith("onnx_")}
