"""Models of XGBoost and LightGBM, one of each kind that the importer reads, and what their own runtime says of rows.

Each function returns (file bytes, extension, column names, rows, answers): rows is a float64 array in which NaN is
missing, answers maps exports of the imported model to float64 arrays.
"""
import json
import tempfile
from pathlib import Path

import lightgbm as lgb
import numpy as np
import xgboost as xgb


def table(rng, n, columns, missing=0.15):
    x = rng.normal(size=(n, columns)) * (1 + np.arange(columns) % 3)
    x[:, columns - 1] = np.round(x[:, columns - 1] * 2)  # values that repeat, zero among them
    x[rng.random(x.shape) < missing] = np.nan
    return x.astype(np.float32).astype(np.float64)


def target(x):
    z = np.nan_to_num(x)
    return np.sin(z[:, 0] * 2) + z[:, 1] * 0.5 * (z[:, 2] > 0) + 0.3 * np.isnan(x[:, 0]) + 0.2 * z[:, -1]


def xgb_bytes(booster, ext="json"):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{ext}"
        booster.save_model(path)
        return path.read_bytes()


def names(n):
    return [f"f{i}" for i in range(n)]


def xgboost_model(seed, rows, params, rounds, label, columns=6, ext="json", outputs=None, missing=0.15, weights=None):
    rng = np.random.default_rng(seed)
    x = table(rng, 3000, columns, missing)
    y = label(target(x), rng)
    train = xgb.DMatrix(x, y, weight=weights)
    booster = xgb.train({"nthread": 2, "seed": seed, **params}, train, rounds)
    t = table(rng, rows, columns, missing)
    t[: min(rows, 40) // 2] = x[: min(rows, 40) // 2]  # values that stand on thresholds
    said = booster.predict(xgb.DMatrix(t)).astype(np.float64)
    answers = {"score": said} if said.ndim == 1 else {f"class_{k}": said[:, k] for k in range(said.shape[1])}
    return xgb_bytes(booster, ext), ext, names(columns), t, answers


def binary(y, rng):
    return (y + rng.normal(size=len(y)) * 0.3 > 0.2).astype(float)


def three(y, rng):
    return np.digitize(y, [-0.3, 0.6]).astype(float)


def plain(y, rng):
    return y


def positive(y, rng):
    return np.exp(y / 3) + 0.1


def xgboost_regression(rows=300, rounds=20, depth=4, **more):
    return xgboost_model(1, rows, {"objective": "reg:squarederror", "max_depth": depth}, rounds, plain, **more)


def xgboost_binary(rows=300, rounds=20, depth=6, **more):
    return xgboost_model(2, rows, {"objective": "binary:logistic", "max_depth": depth}, rounds, binary, **more)


def xgboost_ubjson(rows=300, rounds=10, depth=5):
    return xgboost_model(3, rows, {"objective": "binary:logistic", "max_depth": depth}, rounds, binary, ext="ubj")


def xgboost_classes(rows=300, rounds=8, depth=4):
    return xgboost_model(4, rows, {"objective": "multi:softprob", "num_class": 3, "max_depth": depth}, rounds, three)


def xgboost_label(rows=300, rounds=6, depth=3):
    return xgboost_model(5, rows, {"objective": "multi:softmax", "num_class": 3, "max_depth": depth}, rounds, three)


def xgboost_poisson(rows=300, rounds=12, depth=4):
    return xgboost_model(6, rows, {"objective": "count:poisson", "max_depth": depth}, rounds, positive)


def xgboost_dart(rows=300, rounds=15, depth=4):
    params = {"booster": "dart", "rate_drop": 0.3, "objective": "reg:squarederror", "max_depth": depth, "one_drop": 1}
    return xgboost_model(7, rows, params, rounds, plain)


def xgboost_deep(rows=300, rounds=5, depth=14):
    params = {"objective": "reg:squarederror", "max_depth": depth, "min_child_weight": 0, "grow_policy": "lossguide", "max_leaves": 120}
    return xgboost_model(8, rows, params, rounds, plain)


def xgboost_dense(rows=300, rounds=40, depth=8):
    return xgboost_model(9, rows, {"objective": "reg:squarederror", "max_depth": depth}, rounds, plain, columns=24, missing=0.05)


def xgboost_categories(rows=300, rounds=12, depth=5):
    rng = np.random.default_rng(10)
    many, few = 90, 5

    def draw(n):
        x = table(rng, n, 4)
        c = np.column_stack([rng.integers(0, many, n), rng.integers(0, few, n)]).astype(float)
        c[rng.random(c.shape) < 0.1] = np.nan
        return np.hstack([x, c])

    x = draw(4000)
    y = target(x[:, :4]) + np.sin(np.nan_to_num(x[:, 4]) * 1.7) + 0.7 * (x[:, 5] == 3)
    kinds = ["q"] * 4 + ["c"] * 2
    train = xgb.DMatrix(x, y, feature_types=kinds, enable_categorical=True)
    params = {"objective": "reg:squarederror", "max_depth": depth, "max_cat_to_onehot": 3, "tree_method": "hist"}
    booster = xgb.train(params, train, rounds)
    t = draw(rows)
    said = booster.predict(xgb.DMatrix(t, feature_types=kinds, enable_categorical=True)).astype(np.float64)
    return xgb_bytes(booster), "json", names(6), t, {"score": said}


def xgboost_base_score(rows=300):
    return xgboost_model(11, rows, {"objective": "binary:logistic", "base_score": 0.2, "max_depth": 3}, 10, binary)


def xgboost_dart_binary(rows=300):
    params = {"booster": "dart", "rate_drop": 0.4, "skip_drop": 0.2, "objective": "binary:logistic", "max_depth": 4, "normalize_type": "forest"}
    return xgboost_model(12, rows, params, 15, binary)


def xgboost_dart_classes(rows=300):
    params = {"booster": "dart", "rate_drop": 0.3, "objective": "multi:softprob", "num_class": 3, "max_depth": 4}
    return xgboost_model(13, rows, params, 8, three, ext="ubj")


def xgboost_forest(rows=300):
    params = {"objective": "binary:logistic", "num_parallel_tree": 4, "subsample": 0.7, "colsample_bynode": 0.7, "max_depth": 5}
    return xgboost_model(14, rows, params, 4, binary)


def xgboost_gamma(rows=300):
    return xgboost_model(15, rows, {"objective": "reg:gamma", "max_depth": 4}, 12, positive)


def xgboost_tweedie(rows=300):
    return xgboost_model(16, rows, {"objective": "reg:tweedie", "tweedie_variance_power": 1.4, "max_depth": 4}, 12, positive)


def xgboost_logitraw(rows=300):
    return xgboost_model(17, rows, {"objective": "binary:logitraw", "max_depth": 4}, 10, binary)


def xgboost_hinge(rows=300):
    return xgboost_model(18, rows, {"objective": "binary:hinge", "max_depth": 4}, 10, binary)


def xgboost_rank(rows=300):
    rng = np.random.default_rng(19)
    x = table(rng, 3000, 6)
    train = xgb.DMatrix(x, np.clip(np.round(target(x) + 1), 0, 4), qid=np.repeat(np.arange(100), 30))
    booster = xgb.train({"objective": "rank:ndcg", "max_depth": 4, "nthread": 2}, train, 10)
    t = table(rng, rows, 6)
    return xgb_bytes(booster), "json", names(6), t, {"score": booster.predict(xgb.DMatrix(t)).astype(np.float64)}


def xgboost_targets(rows=300):
    rng = np.random.default_rng(20)
    x = table(rng, 3000, 6)
    booster = xgb.train({"objective": "reg:squarederror", "max_depth": 4, "nthread": 2}, xgb.DMatrix(x, np.column_stack([target(x), np.nan_to_num(x[:, 1])])), 8)
    t = table(rng, rows, 6)
    said = booster.predict(xgb.DMatrix(t)).astype(np.float64)
    return xgb_bytes(booster), "json", names(6), t, {f"target_{k}": said[:, k] for k in range(2)}


def xgboost_quantiles(rows=300):
    rng = np.random.default_rng(31)
    x = table(rng, 3000, 6)
    params = {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9], "max_depth": 4, "nthread": 2}
    booster = xgb.train(params, xgb.QuantileDMatrix(x, target(x)), 8)
    t = table(rng, rows, 6)
    said = booster.predict(xgb.DMatrix(t)).astype(np.float64)
    return xgb_bytes(booster), "json", names(6), t, {f"target_{k}": said[:, k] for k in range(3)}


def xgboost_categories_binary(rows=300):
    """Categories of a data frame, with their names in the file; UBJSON."""
    import pandas as pd

    rng = np.random.default_rng(32)
    towns = ["kunming", "dali", "lijiang", "qujing", "baoshan"]

    def draw(n):
        frame = pd.DataFrame({"x": rng.normal(size=n), "town": pd.Categorical(rng.choice(towns, n), categories=towns)})
        frame.loc[rng.random(n) < 0.1, "town"] = None
        return frame

    x = draw(3000)
    y = ((x["town"] == "dali") + x["x"] > 0.4).astype(float)
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 4, "max_cat_to_onehot": 2}, xgb.DMatrix(x, y, enable_categorical=True), 10)
    t = draw(rows)
    said = booster.predict(xgb.DMatrix(t, enable_categorical=True)).astype(np.float64)
    codes = t["town"].cat.codes.to_numpy().astype(float)
    codes[codes < 0] = np.nan
    return xgb_bytes(booster, "ubj"), "ubj", ["x", "town"], np.column_stack([t["x"].to_numpy().astype(np.float32), codes]), {"score": said}


def lightgbm_model(seed, rows, params, rounds, label, columns=6, draw=table, categorical="auto"):
    rng = np.random.default_rng(seed)
    x = draw(rng, 3000, columns)
    y = label(target(x), rng)
    data = lgb.Dataset(x, y, categorical_feature=categorical)
    booster = lgb.train({"verbose": -1, "num_threads": 2, "seed": seed, "min_data_in_leaf": 5, **params}, data, rounds)
    t = draw(rng, rows, columns)
    t[: min(rows, 40) // 2] = x[: min(rows, 40) // 2]
    said = booster.predict(t)
    answers = {"score": said} if said.ndim == 1 else {f"class_{k}": said[:, k] for k in range(said.shape[1])}
    return booster.model_to_string().encode(), "txt", booster.feature_name(), t, answers


def lightgbm_regression(rows=300, rounds=20):
    return lightgbm_model(21, rows, {"objective": "regression", "num_leaves": 31}, rounds, plain)


def lightgbm_binary(rows=300, rounds=20):
    return lightgbm_model(22, rows, {"objective": "binary", "sigmoid": 0.7, "num_leaves": 15}, rounds, binary)


def lightgbm_zero(rows=300, rounds=20):
    return lightgbm_model(23, rows, {"objective": "regression", "zero_as_missing": True, "num_leaves": 15}, rounds, plain)


def lightgbm_no_missing(rows=300, rounds=15):
    def full(rng, n, columns):
        x = table(rng, n, columns, 0)
        if n != 3000:
            x[rng.random(x.shape) < 0.1] = np.nan  # the model was not told of NaN: it takes zero
        return x

    return lightgbm_model(24, rows, {"objective": "regression", "num_leaves": 15}, rounds, plain, draw=full)


def lightgbm_classes(rows=300, rounds=8):
    return lightgbm_model(25, rows, {"objective": "multiclass", "num_class": 3, "num_leaves": 12}, rounds, three)


def lightgbm_forest(rows=300, rounds=10):
    params = {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "num_leaves": 20}
    return lightgbm_model(26, rows, params, rounds, plain)


def lightgbm_categories(rows=300, rounds=15):
    def draw(rng, n, columns):
        x = table(rng, n, columns)
        x[:, 4] = rng.integers(0, 70, n)
        x[rng.random(n) < 0.1, 4] = np.nan
        if n != 3000:
            x[rng.random(n) < 0.05, 4] = -1.0  # categories that were never seen
            x[rng.random(n) < 0.05, 4] = 500.0
        return x

    params = {"objective": "regression", "num_leaves": 20, "min_data_per_group": 5, "cat_smooth": 1}
    return lightgbm_model(27, rows, params, rounds, plain, draw=draw, categorical=[4])


def lightgbm_leafwise(rows=300, rounds=30):
    return lightgbm_model(28, rows, {"objective": "regression", "num_leaves": 63, "max_depth": 8}, rounds, plain)


def lightgbm_ova(rows=300):
    return lightgbm_model(29, rows, {"objective": "multiclassova", "num_class": 3, "num_leaves": 12, "sigmoid": 1.3}, 8, three)


def lightgbm_sqrt(rows=300):
    return lightgbm_model(30, rows, {"objective": "regression", "reg_sqrt": True, "num_leaves": 12}, 12, positive)


def lightgbm_poisson(rows=300):
    return lightgbm_model(33, rows, {"objective": "poisson", "num_leaves": 12}, 12, positive)


def lightgbm_tweedie(rows=300):
    return lightgbm_model(34, rows, {"objective": "tweedie", "num_leaves": 12}, 12, positive)


def lightgbm_cross_entropy(rows=300):
    return lightgbm_model(35, rows, {"objective": "cross_entropy", "num_leaves": 12}, 12, binary)


def lightgbm_dart(rows=300):
    return lightgbm_model(36, rows, {"objective": "binary", "boosting": "dart", "drop_rate": 0.3, "num_leaves": 12}, 15, binary)


def lightgbm_quantile(rows=300):
    return lightgbm_model(37, rows, {"objective": "quantile", "alpha": 0.8, "num_leaves": 12, "extra_trees": True}, 12, plain)


def lightgbm_without_missing(rows=300):
    return lightgbm_model(38, rows, {"objective": "regression", "use_missing": False, "num_leaves": 12}, 12, plain)


def lightgbm_categories_binary(rows=300):
    def draw(rng, n, columns):
        x = table(rng, n, columns)
        x[:, 3] = rng.integers(0, 6, n)
        x[:, 4] = rng.integers(0, 300, n)
        x[rng.random(n) < 0.1, 4] = np.nan
        if n != 3000:
            x[rng.random(n) < 0.05, 3] += 0.7  # no whole number: cut off
            x[rng.random(n) < 0.05, 4] = -0.4
        return x

    params = {"objective": "binary", "num_leaves": 20, "min_data_per_group": 5, "max_cat_to_onehot": 8}
    return lightgbm_model(39, rows, params, 15, binary, draw=draw, categorical=[3, 4])


def lightgbm_frame(rows=300):
    """Categories of a data frame: the file has what the codes stand for."""
    import pandas as pd

    rng = np.random.default_rng(43)
    towns, kinds = ["dali", "昆明", "lijiang", "qujing"], [1, 2, 7]

    def draw(n):
        x, town, kind = rng.normal(size=n), rng.integers(-1, 4, n), rng.integers(-1, 3, n)
        frame = pd.DataFrame({"x": x, "town": pd.Categorical.from_codes(town, towns), "kind": pd.Categorical.from_codes(kind, kinds)})
        codes = np.column_stack([town, kind]).astype(float)
        codes[codes < 0] = np.nan
        return frame, np.column_stack([x, codes])

    frame, x = draw(3000)
    y = x[:, 0] + (x[:, 1] == 1) - 0.5 * (x[:, 2] == 2) + rng.normal(size=3000) * 0.1
    booster = lgb.train({"verbose": -1, "num_threads": 2, "num_leaves": 15, "min_data_per_group": 5}, lgb.Dataset(frame, y), 10)
    frame, x = draw(rows)
    return booster.model_to_string().encode(), "txt", ["x", "town", "kind"], x, {"score": booster.predict(frame)}


ALL = {name: f for name, f in list(globals().items()) if name.startswith(("xgboost_", "lightgbm_")) and not name.endswith("_model")}
