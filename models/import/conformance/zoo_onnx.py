"""ONNX models as skl2onnx and PyTorch's exporter write them, and what ONNX Runtime (one thread) says of rows."""
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as P
from onnx import helper as h
from onnx import numpy_helper as nh
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVR

from zoo_trees import binary, table, target, three


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def said(model, feeds, output=-1):
    s = session(model)
    out = s.run(None, feeds)[output]
    if isinstance(out, list):
        out = np.array([[d[k] for k in d] for d in out])
    return np.asarray(out, dtype=np.float64)


def answers(out, several="class"):
    out = out.reshape(len(out), -1)
    if out.shape[1] == 1:
        return {"score": out[:, 0]}
    if out.shape[1] == 2 and several == "class":
        return {"score": out[:, 1]}
    return {f"{several}_{k}": out[:, k] for k in range(out.shape[1])}


def fitted(estimator, seed, rows, label, columns=6, missing=0.0, several="class"):
    rng = np.random.default_rng(seed)
    x = table(rng, 2000, columns, missing).astype(np.float32)
    estimator.fit(x, label(target(x.astype(np.float64)), rng))
    options = {"zipmap": False} if hasattr(estimator, "classes_") else None
    model = to_onnx(estimator, x[:1], options={id(estimator): options} if options else None, target_opset={"": 17, "ai.onnx.ml": 3})
    t = table(rng, rows, columns, missing).astype(np.float32)
    out = said(model.SerializeToString(), {"X": t})
    return model.SerializeToString(), "onnx", [f"X_{i}" for i in range(columns)], t.astype(np.float64), answers(out, several)


def plain(y, rng):
    return y


def onnx_linear(rows=300):
    return fitted(LinearRegression(), 40, rows, plain)


def onnx_logistic(rows=300):
    return fitted(LogisticRegression(), 41, rows, binary)


def onnx_logistic_classes(rows=300):
    return fitted(make_pipeline(StandardScaler(), LogisticRegression()), 42, rows, three)


def onnx_forest(rows=300, trees=12, depth=7):
    return fitted(RandomForestRegressor(trees, max_depth=depth, random_state=1), 43, rows, plain)


def onnx_forest_classes(rows=300, trees=10, depth=6):
    return fitted(RandomForestClassifier(trees, max_depth=depth, random_state=1), 44, rows, three)


def onnx_boosting(rows=300, trees=20, depth=3):
    return fitted(GradientBoostingRegressor(n_estimators=trees, max_depth=depth, random_state=1), 45, rows, plain)


def onnx_boosting_binary(rows=300, trees=20, depth=3):
    return fitted(GradientBoostingClassifier(n_estimators=trees, max_depth=depth, random_state=1), 46, rows, binary)


def onnx_imputed(rows=300):
    steps = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), Normalizer("l2"), LogisticRegression())
    return fitted(steps, 47, rows, binary, missing=0.15)


def onnx_svr(rows=300):
    return fitted(LinearSVR(random_state=1, max_iter=20000), 48, rows, plain)


def onnx_svc(rows=300):
    svc = SVC(kernel="linear", probability=True, random_state=1)
    model, ext, columns, t, approximate = fitted(svc, 49, rows, binary, columns=4)
    # Platt's sigmoid itself: ONNX Runtime iterates towards it and stops at 0.0025.
    exact = 1 / (1 + np.exp(svc.decision_function(t) * svc.probA_[0] - svc.probB_[0]))
    exact = exact if np.abs(exact - approximate["score"]).max() < 0.01 else 1 / (1 + np.exp(svc.decision_function(t) * svc.probA_[0] + svc.probB_[0]))
    assert np.abs(exact - approximate["score"]).max() < 0.01, np.abs(exact - approximate["score"]).max()
    return model, ext, columns, t, {"score": exact}


def onnx_mlp_sklearn(rows=300):
    return fitted(MLPClassifier((16, 8), activation="tanh", random_state=1, max_iter=60), 50, rows, binary)


def onnx_categories(rows=300):
    rng = np.random.default_rng(51)
    towns, kinds = np.array(["kunming", "dali", "lijiang", "qujing"]), np.array([1, 2, 7])

    def draw(n):
        return rng.normal(size=(n, 1)).astype(np.float32), rng.choice(towns, (n, 1)), rng.choice(kinds, (n, 1))

    import pandas as pd

    def frame(x, town, kind):
        return pd.DataFrame({"x": x[:, 0], "town": town[:, 0], "kind": kind[:, 0]})

    x, town, kind = draw(2000)
    y = binary(x[:, 0] + (town[:, 0] == "dali") - 0.5 * (kind[:, 0] == 7), rng)
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["x"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["town"]), ("k", OneHotEncoder(), ["kind"])]
    )
    steps = make_pipeline(columns, LogisticRegression()).fit(frame(x, town, kind), y)
    kinds_of = [("x", FloatTensorType([None, 1])), ("town", StringTensorType([None, 1])), ("kind", Int64TensorType([None, 1]))]
    model = to_onnx(steps, initial_types=kinds_of, options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString()
    x, town, kind = draw(rows)
    town[: rows // 20] = "nowhere"
    out = said(model, {"x": x, "town": town, "kind": kind.astype(np.int64)})
    rows = [[float(a), str(b), float(c)] for a, b, c in zip(x[:, 0], town[:, 0], kind[:, 0])]
    return model, "onnx", ["x", "town", "kind"], rows, answers(out)


def mlp_bytes(layers, seed, activation="Relu", last="Sigmoid"):
    """The graph that torch.onnx.export makes of nn.Sequential(Linear, activation, …, Linear, last)."""
    rng = np.random.default_rng(seed)
    nodes, weights, at = [], [], "input"
    for i, (m, n) in enumerate(zip(layers, layers[1:])):
        w = (rng.normal(size=(n, m)) / np.sqrt(m)).astype(np.float32)
        weights += [nh.from_array(w, f"{i}.weight"), nh.from_array(rng.normal(size=n).astype(np.float32) * 0.1, f"{i}.bias")]
        nodes.append(h.make_node("Gemm", [at, f"{i}.weight", f"{i}.bias"], [f"l{i}"], alpha=1.0, beta=1.0, transB=1))
        f = last if i == len(layers) - 2 else activation
        nodes.append(h.make_node(f, [f"l{i}"], [f"a{i}"]))
        at = f"a{i}"
    graph = h.make_graph(
        nodes, "main_graph",
        [h.make_tensor_value_info("input", P.FLOAT, ["batch", layers[0]])],
        [h.make_tensor_value_info(at, P.FLOAT, ["batch", layers[-1]])], weights)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], producer_name="pytorch")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


def onnx_mlp(rows=300, layers=(32, 64, 64, 1)):
    model = mlp_bytes(layers, 52)
    t = np.random.default_rng(53).normal(size=(rows, layers[0])).astype(np.float32)
    return model, "onnx", [f"input_{i}" for i in range(layers[0])], t.astype(np.float64), answers(said(model, {"input": t}))


def onnx_mlp_softmax(rows=300):
    model = mlp_bytes((10, 12, 6, 3), 54, "Tanh", "Softmax")
    t = np.random.default_rng(55).normal(size=(rows, 10)).astype(np.float32)
    out = said(model, {"input": t})
    return model, "onnx", [f"input_{i}" for i in range(10)], t.astype(np.float64), {f"target_{k}" if False else f"class_{k}": out[:, k] for k in range(3)}


def onnx_ensemble_v5(rows=300):
    """TreeEnsemble of ai.onnx.ml 5: a few hand-made trees with every mode, sets and missing values."""
    def tensor(name, values, kind=P.FLOAT):
        return h.make_tensor(name, kind, (len(values),), values)

    node = h.make_node(
        "TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, aggregate_function=1, post_transform=0,
        tree_roots=[0, 3],
        nodes_featureids=[0, 1, 2, 1, 0],
        nodes_modes=h.make_tensor("nodes_modes", P.UINT8, (5,), [0, 1, 2, 6, 3]),
        nodes_splits=tensor("nodes_splits", [0.25, -0.5, 1.0, 0.0, -1.0]),
        membership_values=tensor("membership_values", [0.0, 1.0, 2.0, float("nan")]),
        nodes_missing_value_tracks_true=[1, 0, 0, 0, 1],
        nodes_truenodeids=[1, 0, 2, 4, 4], nodes_trueleafs=[0, 1, 1, 0, 1],
        nodes_falsenodeids=[2, 1, 3, 6, 5], nodes_falseleafs=[0, 1, 1, 1, 1],
        leaf_targetids=[0] * 7, leaf_weights=tensor("leaf_weights", [0.1, 0.2, -0.3, 0.4, 0.55, -0.6, 0.7]))
    graph = h.make_graph([node], "g", [h.make_tensor_value_info("X", P.FLOAT, [None, 3])], [h.make_tensor_value_info("Y", P.FLOAT, [None, 1])])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("ai.onnx.ml", 5)])
    model.ir_version = 10
    rng = np.random.default_rng(56)
    t = np.round(rng.normal(size=(rows, 3)) * 2) / 2
    t[rng.random(t.shape) < 0.1] = np.nan
    t = t.astype(np.float32)
    data = model.SerializeToString()
    return data, "onnx", ["X_0", "X_1", "X_2"], t.astype(np.float64), answers(said(data, {"X": t}))


ALL = {name: f for name, f in list(globals().items()) if name.startswith("onnx_")}
