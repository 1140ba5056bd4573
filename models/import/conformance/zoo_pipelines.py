"""Pipelines of scikit-learn as skl2onnx writes them, beyond those in zoo_onnx."""
import numpy as np
import onnx
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor, GradientBoostingClassifier, HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor,
)
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, MaxAbsScaler, MinMaxScaler, Normalizer, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from zoo_onnx import answers, fitted, plain, said
from zoo_trees import binary, table, target, three


def onnx_ridge(rows=300):
    return fitted(Ridge(), 70, rows, lambda y, rng: np.column_stack([y, -2 * y + rng.normal(size=len(y))]), several="target")


def onnx_sgd(rows=300):
    return fitted(make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=1)), 71, rows, binary)


def onnx_minmax(rows=300):
    return fitted(make_pipeline(MinMaxScaler(), LinearRegression()), 72, rows, plain)


def onnx_maxabs(rows=300):
    return fitted(make_pipeline(MaxAbsScaler(), LogisticRegression()), 73, rows, binary)


def onnx_robust(rows=300):
    return fitted(make_pipeline(RobustScaler(), LogisticRegression()), 74, rows, three)


def onnx_normalizer_l1(rows=300):
    return fitted(make_pipeline(Normalizer("l1"), LogisticRegression()), 75, rows, binary)


def onnx_normalizer_max(rows=300):
    return fitted(make_pipeline(Normalizer("max"), LogisticRegression()), 76, rows, binary)


def onnx_binarizer(rows=300):
    return fitted(make_pipeline(Binarizer(threshold=0.3), LinearRegression()), 77, rows, plain)


def onnx_selected(rows=300):
    return fitted(make_pipeline(SimpleImputer(strategy="mean"), SelectKBest(f_regression, k=3), LinearRegression()), 78, rows, plain, missing=0.1)


def onnx_tree(rows=300):
    return fitted(DecisionTreeRegressor(max_depth=7, random_state=1), 79, rows, plain)


def onnx_tree_classes(rows=300):
    return fitted(DecisionTreeClassifier(max_depth=6, random_state=1), 80, rows, three)


def onnx_extra_trees(rows=300):
    return fitted(ExtraTreesRegressor(8, max_depth=8, random_state=1), 81, rows, plain)


def onnx_forest_binary(rows=300):
    return fitted(RandomForestClassifier(9, max_depth=6, random_state=1), 82, rows, binary)


def onnx_forest_targets(rows=300):
    return fitted(RandomForestRegressor(6, max_depth=6, random_state=1), 83, rows, lambda y, rng: np.column_stack([y, y * y]), several="target")


def onnx_forest_imputed(rows=300):
    return fitted(make_pipeline(SimpleImputer(strategy="median"), RandomForestClassifier(6, max_depth=6, random_state=1)), 84, rows, three, missing=0.15)


def onnx_boosting_classes(rows=300):
    return fitted(GradientBoostingClassifier(n_estimators=6, max_depth=3, random_state=1), 85, rows, three)


def plain_numbers(make_attribute=onnx.helper.make_attribute):
    """skl2onnx hands numbers of NumPy's types to ONNX, which takes those of Python only."""
    def made(key, value, *args, **kwargs):
        if isinstance(value, list):
            value = [v.item() if isinstance(v, np.generic) else v for v in value]
            value = [int(v) if isinstance(v, bool) else v for v in value]
        return make_attribute(key, value, *args, **kwargs)

    onnx.helper.make_attribute = made


plain_numbers()


def onnx_histogram(rows=300):
    return fitted(HistGradientBoostingRegressor(max_iter=12, max_leaf_nodes=15, random_state=1), 86, rows, plain, missing=0.15)


def onnx_histogram_binary(rows=300):
    return fitted(HistGradientBoostingClassifier(max_iter=12, max_leaf_nodes=15, random_state=1), 87, rows, binary, missing=0.15)


def onnx_histogram_classes(rows=300):
    return fitted(HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=15, random_state=1), 88, rows, three, missing=0.15)


def onnx_mlp_regression(rows=300):
    return fitted(make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(24, 12), random_state=1, max_iter=80)), 89, rows, plain)


def onnx_mlp_logistic(rows=300):
    return fitted(make_pipeline(StandardScaler(), MLPClassifier((12,), activation="logistic", random_state=1, max_iter=60)), 90, rows, three)


def onnx_svr_kernel(rows=300):
    svr = SVR(kernel="linear", C=0.5)
    model, ext, columns, t, said_by = fitted(svr, 91, rows, plain, columns=4)
    # scikit-learn in binary64: ONNX Runtime adds up two thousand support vectors in binary32, whose products cancel.
    exact = svr.predict(t)
    assert np.abs(exact - said_by["score"]).max() < 1e-3, np.abs(exact - said_by["score"]).max()
    return model, ext, columns, t, {"score": exact}


def onnx_columns(rows=300):
    """Numbers that are missing, texts as ordinals and as columns of their own, in one ColumnTransformer before a forest."""
    import pandas as pd

    rng = np.random.default_rng(92)
    towns, sexes = np.array(["kunming", "dali", "lijiang"]), np.array(["f", "m"])

    def draw(n):
        x = rng.normal(size=(n, 2)).astype(np.float32)
        x[rng.random(x.shape) < 0.1] = np.nan
        return x, rng.choice(towns, n), rng.choice(sexes, n)

    def frame(x, town, sex):
        return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "town": town, "sex": sex})

    x, town, sex = draw(2000)
    y = three(np.nan_to_num(x[:, 0]) + (town == "dali") - 0.5 * (sex == "m"), rng)
    steps = ColumnTransformer(
        [("n", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b"]), ("t", OneHotEncoder(handle_unknown="ignore"), ["town"]), ("s", OrdinalEncoder(), ["sex"])])
    model = make_pipeline(steps, RandomForestClassifier(6, max_depth=5, random_state=1)).fit(frame(x, town, sex), y)
    kinds = [("a", FloatTensorType([None, 1])), ("b", FloatTensorType([None, 1])), ("town", StringTensorType([None, 1])), ("sex", StringTensorType([None, 1]))]
    data = to_onnx(model, initial_types=kinds, options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString()
    x, town, sex = draw(rows)
    out = said(data, {"a": x[:, :1], "b": x[:, 1:], "town": town.reshape(-1, 1), "sex": sex.reshape(-1, 1)})
    return data, "onnx", ["a", "b", "town", "sex"], [[float(p), float(q), str(t), str(s)] for (p, q), t, s in zip(x, town, sex)], answers(out)


def onnx_double(rows=300):
    """Doubles and whole numbers as inputs."""
    import pandas as pd

    rng = np.random.default_rng(93)
    draw = lambda n: (rng.normal(size=(n, 1)), rng.integers(0, 9, (n, 1)))
    frame = lambda x, k: pd.DataFrame({"x": x[:, 0], "k": k[:, 0]})
    x, k = draw(2000)
    steps = make_pipeline(ColumnTransformer([("n", StandardScaler(), ["x", "k"])]), LinearRegression())
    steps.fit(frame(x, k), x[:, 0] * 0.7 + 0.3 * k[:, 0])
    model = to_onnx(steps, initial_types=[("x", DoubleTensorType([None, 1])), ("k", Int64TensorType([None, 1]))], target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString()
    x, k = draw(rows)
    return model, "onnx", ["x", "k"], np.column_stack([x[:, 0], k[:, 0].astype(float)]), answers(said(model, {"x": x, "k": k.astype(np.int64)}))


ALL = {name: f for name, f in list(globals().items()) if name.startswith("onnx_")}
