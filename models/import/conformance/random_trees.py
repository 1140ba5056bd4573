"""Random parameters of XGBoost and LightGBM beside their own answers: python random_trees.py [--models N] [--seed S] [--runner PATH]

Objectives, boosters, depths, categories and ways of handling what is missing are drawn by chance; a model is trained on few rows and
asked about 200. Prints each model that is refused or differs, and exits 1.
"""
import argparse
import sys
from collections import Counter

import lightgbm as lgb
import numpy as np
import xgboost as xgb

import zoo_trees as zoo
from random_graphs import ours_of

ROWS, TRAINED = 200, 400


class Draw:
    def __init__(self, seed):
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.columns = int(self.rng.integers(1, 8))
        self.missing = self.pick([0.0, 0.1, 0.4])
        self.categories = {i: self.pick([3, 12, 70]) for i in range(self.columns) if self.chance(0.2)}
        self.x, self.t = self.table(TRAINED), self.table(ROWS)
        self.t[:40] = self.x[:40]  # values that stand on thresholds
        self.y = zoo.target(np.pad(self.x, ((0, 0), (0, max(0, 3 - self.columns)))))

    def pick(self, options):
        return options[int(self.rng.integers(0, len(options)))]

    def chance(self, p):
        return bool(self.rng.random() < p)

    def table(self, n):
        x = zoo.table(self.rng, n, self.columns, self.missing)
        for i, count in self.categories.items():
            x[:, i] = self.rng.integers(0, count, n)
            x[self.rng.random(n) < self.missing, i] = np.nan
        return x

    def label(self, objective):
        if objective in ("binary", "cross_entropy") or objective.startswith("binary:"):
            return zoo.binary(self.y, self.rng)
        if objective.startswith("multi"):
            return zoo.three(self.y, self.rng)
        if objective in ("count:poisson", "reg:gamma", "reg:tweedie", "reg:squaredlogerror", "poisson", "gamma", "tweedie", "mape"):
            return zoo.positive(self.y, self.rng)
        if objective == "reg:logistic":
            return 1 / (1 + np.exp(-self.y))
        return np.clip(np.round(self.y + 1), 0, 4) if objective == "lambdarank" else self.y

    def xgboost(self):
        objective = self.pick(
            "reg:squarederror reg:logistic binary:logistic binary:logitraw binary:hinge count:poisson reg:gamma reg:tweedie multi:softprob multi:softmax reg:absoluteerror "
            "reg:pseudohubererror reg:squaredlogerror reg:quantileerror".split())
        p = {"objective": objective, "max_depth": int(self.rng.integers(1, 9)), "eta": float(self.rng.random()), "nthread": 1, "seed": self.seed, "min_child_weight": 0.1,
             "tree_method": self.pick(["hist", "approx"] + ([] if self.categories else ["exact"])), "booster": self.pick(["gbtree", "gbtree", "dart"])}
        if p["booster"] == "dart":
            p |= {"rate_drop": 0.5, "normalize_type": self.pick(["tree", "forest"]), "sample_type": self.pick(["uniform", "weighted"])}
        p |= {"num_class": 3} if objective.startswith("multi") else {}
        p |= {"quantile_alpha": self.pick([0.5, [0.2, 0.8]])} if objective == "reg:quantileerror" else {}
        p |= {"num_parallel_tree": 2, "subsample": 0.7} if self.chance(0.3) else {}
        p |= {"base_score": 0.3} if objective[0] in "rb" and self.chance(0.3) else {}
        p |= {"grow_policy": "lossguide", "max_leaves": 20} if p["tree_method"] != "exact" and self.chance(0.3) else {}
        p |= {"max_cat_to_onehot": self.pick([1, 5])} if self.categories else {}
        kinds = ["c" if i in self.categories else "q" for i in range(self.columns)]

        def matrix(x, y=None):
            return xgb.DMatrix(x, y, feature_types=kinds, enable_categorical=True)

        booster = xgb.train(p, matrix(self.x, self.label(objective)), int(self.rng.integers(1, 12)))
        said = booster.predict(matrix(self.t)).astype(float)
        return p, zoo.xgb_bytes(booster, self.pick(["json", "ubj"])), zoo.names(self.columns), said, 3e-7

    def lightgbm(self):
        objective = self.pick(
            "regression regression_l1 huber fair poisson quantile mape gamma tweedie binary multiclass multiclassova cross_entropy lambdarank".split())
        p = {"objective": objective, "num_leaves": int(self.rng.integers(2, 40)), "verbose": -1, "num_threads": 1, "seed": self.seed, "min_data_in_leaf": 5,
             "boosting": self.pick(["gbdt", "gbdt", "dart", "rf", "goss"]), "max_cat_to_onehot": self.pick([1, 4, 8]), "min_data_per_group": 5, "cat_smooth": 1}
        p |= {"bagging_freq": 1, "bagging_fraction": 0.6} if p["boosting"] == "rf" else {}
        p |= {"num_class": 3} if objective.startswith("multi") else {}
        p |= {"zero_as_missing": True} if self.chance(0.2) else {}
        p |= {"use_missing": False} if self.chance(0.2) else {}
        p |= {"reg_sqrt": True} if objective == "regression" and self.chance(0.2) else {}
        p |= {"sigmoid": self.pick([1.0, 0.5, 2.0])} if objective in ("binary", "multiclassova") else {}
        p |= {"extra_trees": True} if self.chance(0.2) else {}
        group = {"group": [20] * (TRAINED // 20)} if objective == "lambdarank" else {}
        data = lgb.Dataset(self.x, self.label(objective), categorical_feature=list(self.categories) or "auto", **group)
        booster = lgb.train(p, data, int(self.rng.integers(1, 12)))
        return p, booster.model_to_string().encode(), booster.feature_name(), booster.predict(self.t), 1e-13


def differs(said, wanted, close, rows):
    wanted = wanted.reshape(len(rows), -1)
    if len(said) != wanted.shape[1]:
        return f"{list(said)} for {wanted.shape[1]} answers"
    for k, (name, a) in enumerate(said.items()):
        bad = ~(np.abs(a - wanted[:, k]) <= close * np.abs(wanted[:, k]))
        if bad.any():
            row = int(np.argmax(bad))
            return f"{name} row {row}: ours {a[row]!r} theirs {wanted[row, k]!r} of {rows[row].tolist()}, {int(bad.sum())} rows"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runner", default="../../../target/debug/examples/score")
    args = parser.parse_args()
    counted = Counter()
    for seed in range(args.seed, args.seed + args.models):
        draw = Draw(seed)
        try:
            p, model, names, wanted, close = draw.xgboost() if draw.chance(0.5) else draw.lightgbm()
        except (xgb.core.XGBoostError, lgb.basic.LightGBMError) as wrong:
            counted[f"not trained: {type(wrong).__name__}"] += 1
            continue
        said, info = ours_of(args.runner, model, names, draw.t)
        verdict = str(info)[:300] if not isinstance(said, dict) else differs(said, wanted, close, draw.t)
        counted["alike" if verdict is None else "differ"] += 1
        if verdict is not None:
            print(f"seed {seed} {p}: {verdict}", flush=True)
    print(dict(counted))
    sys.exit(counted["differ"] > 0)


if __name__ == "__main__":
    main()
