"""Trains three small models of one invented credit risk, with XGBoost, LightGBM and scikit-learn: python train.py

Writes models/ and, with what each original runtime says of 500 rows, predictions/. Needs xgboost-cpu, lightgbm, scikit-learn, skl2onnx,
onnxruntime. The files are checked in: importing them needs none of these.
"""
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnxruntime as ort
import xgboost as xgb
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
COLUMNS = ["age", "income", "months_insured", "debts"]


def people(rng, n):
    age = rng.integers(18, 91, n)
    income = np.round(rng.gamma(4, 15_000, n)).clip(0, 500_000)
    months = rng.integers(0, 481, n)
    debts = np.where(rng.random(n) < 1 / 3, 0, np.round(rng.random(n) * rng.random(n) * 500_000))
    return np.column_stack([age, income, months, debts]).astype(np.float64)


def defaulted(rng, x):
    age, income, months, debts = x.T
    z = -0.5 + 3.4 * debts / (debts + income + 10_000) + 0.4 * ((45 - age) / 45) ** 2 - 1.6 * income / (income + 80_000) - 0.9 * months / (months + 60)
    return (rng.random(len(x)) < 1 / (1 + np.exp(-2 * z))).astype(int)


def main():
    rng = np.random.default_rng(2026)
    x = people(rng, 20_000)
    y = defaulted(rng, x)
    t = people(rng, 500)
    (HERE / "models").mkdir(exist_ok=True)
    (HERE / "predictions").mkdir(exist_ok=True)
    said = {}

    booster = xgb.train({"objective": "binary:logistic", "max_depth": 3, "eta": 0.2}, xgb.DMatrix(x, y, feature_names=COLUMNS), 25)
    booster.save_model(HERE / "models/risk_xgboost.json")
    said["risk_xgboost"] = booster.predict(xgb.DMatrix(t, feature_names=COLUMNS))

    booster = lgb.train({"objective": "binary", "num_leaves": 8, "verbose": -1}, lgb.Dataset(x, y, feature_name=COLUMNS), 25)
    booster.save_model(HERE / "models/risk_lightgbm.txt")
    said["risk_lightgbm"] = booster.predict(t)

    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    model = to_onnx(pipeline, x[:1].astype(np.float32), options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3})
    (HERE / "models/risk_sklearn.onnx").write_bytes(model.SerializeToString())
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    said["risk_sklearn"] = session.run(None, {"X": t.astype(np.float32)})[1][:, 1]

    for name, scores in said.items():
        lines = [",".join([*COLUMNS, "prediction"])]
        lines += [",".join(repr(float(v)) for v in [*row, s]) for row, s in zip(t, scores)]
        (HERE / f"predictions/{name}.csv").write_text("\n".join(lines) + "\n")


main()
