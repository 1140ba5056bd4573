"""Files that are foreign, broken, hostile, or ask for what is not built: python foreign.py

Each becomes ../tests/foreign/NAME. What the importer says of them stands in ../tests/foreign.txt, and a test holds it to that
(`YUNEI_WRITE=1 cargo test -p yunei-import --test foreign` writes it anew, to be read before it is kept).
"""
import io
import json
import pickle
import zipfile
from pathlib import Path

import lightgbm as lgb
import numpy as np
import xgboost as xgb
from onnx import TensorProto as P
from onnx import helper as h
from onnx import numpy_helper as nh

import zoo_cards
import zoo_trees

OUT = Path(__file__).parent.parent / "tests" / "foreign"
OUT.mkdir(exist_ok=True)


def write(name, data):
    (OUT / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def graph(nodes, width=3, inits=(), outs=1, inputs=None, opset=17, ml=3, out_name="y", opsets=None, **more):
    inputs = inputs or [h.make_tensor_value_info("x", P.FLOAT, [None, width])]
    g = h.make_graph(nodes, "g", inputs, [h.make_tensor_value_info(out_name, P.FLOAT, [None, outs])], list(inits), **more)
    m = h.make_model(g, opset_imports=opsets if opsets is not None else [h.make_opsetid("", opset), h.make_opsetid("ai.onnx.ml", ml)])
    m.ir_version = 8
    return m


def on(name, *a, **k):
    write(f"{name}.onnx", graph(*a, **k).SerializeToString())


n = h.make_node
W = nh.from_array(np.ones((3, 1), np.float32), "w")
mm = lambda x="x", y="y": n("MatMul", [x, "w"], [y])
on("operator", [n("Gelu", ["x"], ["a"]), mm("a")], inits=[W], opset=20)
on("operator_two", [n("Erf", ["x"], ["a"]), n("Conv", ["a", "w"], ["b"]), mm("b")], inits=[W])
on("domain", [n("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft")], inits=[W])
on("opset_old", [mm()], inits=[W], opset=6)
on("opset_new", [mm()], inits=[W], opset=99)
on("opset_ml_new", [mm()], inits=[W], ml=9)
on("opset_none", [mm()], inits=[W], opsets=[])
m = graph([mm()], inits=[W])
t = m.graph.initializer[0]
t.ClearField("raw_data")
t.data_location = 1
e = t.external_data.add()
e.key = "location"
e.value = "weights.bin"
write("external.onnx", m.SerializeToString())
on("string_tensor", [n("Add", ["x", "s"], ["a"]), mm("a")], inits=[W, h.make_tensor("s", P.STRING, [3], [b"a", b"b", b"c"])])
on("float16", [n("MatMul", ["x", "w16"], ["y"])], inits=[nh.from_array(np.ones((3, 1), np.float16), "w16")])
sp = h.make_sparse_tensor(nh.from_array(np.ones(2, np.float32), "w"), nh.from_array(np.array([0, 2], np.int64), "i"), [3, 1])
on("sparse", [mm()], sparse_initializer=[sp])
on("cycle", [n("Add", ["x", "b"], ["a"]), n("Relu", ["a"], ["b"]), mm("b")], inits=[W])
on("unsorted", [mm("a"), n("Relu", ["x"], ["a"])], inits=[W])
on("unknown_name", [mm("nowhere")], inits=[W])
on("output_unknown", [mm()], inits=[W], out_name="z")
on("two_makers", [n("Relu", ["x"], ["a"]), n("Neg", ["x"], ["a"]), mm("a")], inits=[W])
on("two_inputs", [mm()], inits=[W], inputs=[h.make_tensor_value_info("x", P.FLOAT, [None, 3])] * 2)
on("two_tensors", [mm()], inits=[W, nh.from_array(np.zeros((3, 1), np.float32), "w")])
on("makes_input", [n("Neg", ["x"], ["x"]), mm()], inits=[W])
big = nh.from_array(np.ones((3, 1), np.float32), "w")
del big.dims[:]
big.dims.extend([1 << 40, 1 << 40])
on("dims_huge", [mm()], inits=[big])
neg = nh.from_array(np.ones((3, 1), np.float32), "w")
del neg.dims[:]
neg.dims.extend([-3, -1])
on("dims_negative", [mm()], inits=[neg])
on("input_wide", [n("ReduceSum", ["x"], ["y"])], inputs=[h.make_tensor_value_info("x", P.FLOAT, [None, 1 << 40])])
on("input_image", [n("Flatten", ["x"], ["a"]), mm("a")], inits=[W], inputs=[h.make_tensor_value_info("x", P.FLOAT, [None, 3, 224, 224])])
on("input_open", [mm()], inits=[W], inputs=[h.make_tensor_value_info("x", P.FLOAT, [None, None])])
on("input_noshape", [mm()], inits=[W], inputs=[h.make_tensor_value_info("x", P.FLOAT, None)])
on("input_half", [mm()], inits=[W], inputs=[h.make_tensor_value_info("x", P.FLOAT16, [None, 3])])
for op, more in {"Softmax": {"axis": 0}, "ArgMax": {"axis": 0}, "Flatten": {"axis": 0}, "Transpose": {}, "LSTM": {"hidden_size": 4}}.items():
    on(f"axis_{op.lower()}", [n(op, ["x"], ["a"], **more), n("Cast", ["a"], ["y"], to=1) if op == "ArgMax" else mm("a")], inits=[W])
on("axis_argmax_default", [n("ArgMax", ["x"], ["a"]), n("Cast", ["a"], ["y"], to=1)])
on("axis_concat", [n("Concat", ["x", "x"], ["a"], axis=0), mm("a")], inits=[W])
on("axis_gather", [n("Gather", ["x", "i"], ["a"]), mm("a")], inits=[W, nh.from_array(np.array([0, 1, 2], np.int64), "i")])
on("axis_reducesum", [n("ReduceSum", ["x", "ax"], ["y"])], inits=[nh.from_array(np.array([0], np.int64), "ax")])
on("axis_squeeze", [n("Squeeze", ["x", "ax"], ["a"]), mm("a")], inits=[W, nh.from_array(np.array([0], np.int64), "ax")])
on("reshape_batch", [n("Reshape", ["x", "s"], ["a"]), mm("a")], inits=[W, nh.from_array(np.array([2, -1], np.int64), "s")])
on("reshape_rank3", [n("Reshape", ["x", "s"], ["a"]), n("Softmax", ["a"], ["b"]), mm("b")], inits=[W, nh.from_array(np.array([-1, 3, 1], np.int64), "s")])
on("clip_attribute", [n("Clip", ["x"], ["a"], min=-0.5, max=0.5), mm("a")], inits=[W], opset=10)
on("cast_int", [n("Cast", ["x"], ["a"], to=7), n("Cast", ["a"], ["b"], to=1), mm("b")], inits=[W])
on("cast_double_int", [n("Cast", ["x"], ["a"], to=7), n("Cast", ["a"], ["b"], to=1), mm("b")], inits=[W], inputs=[h.make_tensor_value_info("x", P.DOUBLE, [None, 3])])
on("cast_bool", [n("Cast", ["x"], ["a"], to=9), n("Cast", ["a"], ["b"], to=1), mm("b")], inits=[W])
two = nh.from_array(np.array([2, 2, 2], np.int64), "two")
on("div_int", [n("Div", ["x", "two"], ["a"]), n("Cast", ["a"], ["b"], to=1), mm("b")], inits=[W, two], inputs=[h.make_tensor_value_info("x", P.INT64, [None, 3])])
on("column_constant", [n("Add", ["x", "c"], ["a"]), mm("a")], inits=[W, nh.from_array(np.ones((3, 1), np.float32), "c")])
on("bn", [n("BatchNormalization", ["x", "c", "c", "c", "c"], ["a"]), mm("a")], inits=[W, nh.from_array(np.ones(3, np.float32), "c")])
branch = h.make_graph([n("Identity", ["x"], ["q"])], "t", [], [h.make_tensor_value_info("q", P.FLOAT, None)])
on("if", [n("If", ["c"], ["a"], then_branch=branch, else_branch=branch), mm("a")], inits=[W, nh.from_array(np.array(True), "c")])
m = graph([n("Relu", ["x"], ["a"]), mm("a")], inits=[W])
m.functions.append(h.make_function("", "Relu", ["a"], ["b"], [n("Neg", ["a"], ["b"])], [h.make_opsetid("", 17)]))
write("function.onnx", m.SerializeToString())
on("sequence", [n("SequenceAt", ["x", "i"], ["y"])], inits=[nh.from_array(np.array(0, np.int64), "i")], inputs=[h.make_tensor_sequence_value_info("x", P.FLOAT, [None, 3])])
svm = dict(domain="ai.onnx.ml", coefficients=[1.0, -1.0], support_vectors=[1.0, 2, 3, 4, 5, 6], rho=[0.1], n_supports=2, kernel_params=[0.5, 0, 3])
on("svm_rbf", [n("SVMRegressor", ["x"], ["y"], kernel_type="RBF", **svm)])
on("svm_one_class", [n("SVMRegressor", ["x"], ["y"], kernel_type="LINEAR", one_class=1, **svm)])
on("tfidf", [n("TfIdfVectorizer", ["x"], ["a"], mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0], pool_int64s=[1]), mm("a")], inits=[W])


def tree(name, over=None, ml=3, **more):
    a = dict(nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_values=[0.5, 0.0, 0.0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
             nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0], n_targets=1)
    a.update(over or {})
    on(name, [n("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **{k: v for k, v in a.items() if v is not None})], ml=ml)

tree("tree_ok")
tree("tree_nan", {"nodes_values": [float("nan"), 0.0, 0.0]})
B = 1 << 31
tree("tree_ids_large", {"nodes_nodeids": [B, B + 1, B + 2], "nodes_truenodeids": [B + 1, 0, 0], "nodes_falsenodeids": [B + 2, 0, 0], "target_nodeids": [B + 1, B + 2]})
tree("tree_feature_negative", {"nodes_featureids": [-1, 0, 0]})
tree("tree_feature_large", {"nodes_featureids": [B, 0, 0]})
tree("tree_child_missing", {"nodes_falsenodeids": [7, 0, 0]})
tree("tree_cycle", {"nodes_falsenodeids": [0, 0, 0]})
tree("tree_twice", {"nodes_nodeids": [0, 1, 1]})
tree("tree_no_weights", {"target_treeids": None, "target_nodeids": None, "target_ids": None, "target_weights": None})
tree("tree_max", {"aggregate_function": "MAX"})
tree("tree_mode", {"nodes_modes": ["BRANCH_SOMETIMES", "LEAF", "LEAF"]})
tree("tree_probit", {"post_transform": "PROBIT"})


def tensor(name, values, kind=P.FLOAT):
    return h.make_tensor(name, kind, (len(values),), values)


on("tree_v5_empty", [n("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, nodes_modes=tensor("m", [], P.UINT8), nodes_splits=tensor("s", []), leaf_weights=tensor("w", []))], ml=5)
v5 = dict(domain="ai.onnx.ml", nodes_featureids=[0], nodes_truenodeids=[0], nodes_trueleafs=[1], nodes_falsenodeids=[1], nodes_falseleafs=[1], tree_roots=[0], leaf_targetids=[0, 1],
          leaf_weights=tensor("w", [1.0, 2.0]), nodes_splits=tensor("s", [0.5]), n_targets=2)
on("tree_v5_softmax", [n("TreeEnsemble", ["x"], ["y"], post_transform=1, nodes_modes=tensor("m", [0], P.UINT8), **v5)], ml=5, outs=2)
on("tree_v5_member", [n("TreeEnsemble", ["x"], ["y"], nodes_modes=tensor("m", [6], P.UINT8), membership_values=tensor("v", [-1.0, 2.0, float("nan")]), **v5)], ml=5, outs=2)
pair = dict(nodes_treeids=[0] * 3, nodes_nodeids=[0, 1, 2], nodes_featureids=[0] * 3, nodes_values=[0.5, 0.0, 0.0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0],
            nodes_falsenodeids=[2, 0, 0], classlabels_int64s=[0, 1], domain="ai.onnx.ml")
both = dict(class_treeids=[0] * 4, class_nodeids=[1, 1, 2, 2], class_ids=[0, 1, 0, 1], class_weights=[0.2, 0.8, 0.6, 0.4])
one = dict(class_treeids=[0] * 2, class_nodeids=[1, 2], class_ids=[1, 1], class_weights=[0.2, 0.8])
on("classes_base", [n("TreeEnsembleClassifier", ["x"], ["l", "y"], base_values=[0.5, 0.5], **pair, **both)], outs=2)
on("classes_second", [n("TreeEnsembleClassifier", ["x"], ["l", "y"], **pair, **one)], outs=2)
on("classes_gap", [n("TreeEnsembleClassifier", ["x"], ["l", "y"], **pair, **{**both, "class_ids": [0, 1, 0, 0]})], outs=2)
on("targets_gap", [n("TreeEnsembleRegressor", ["x"], ["y"], n_targets=2, base_values=[1.0, 2.0], target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 1], target_weights=[1.0, 2.0],
   **{k: v for k, v in pair.items() if k != "classlabels_int64s"})], outs=2)
on("linear_logistic", [n("LinearRegressor", ["x"], ["y"], domain="ai.onnx.ml", coefficients=[1.0, 2.0, 3.0], post_transform="LOGISTIC")])
on("label_computed", [n("TreeEnsembleClassifier", ["x"], ["l", "p"], **pair, **both), n("Add", ["p", "l"], ["y"])], outs=2)
on("label_encoder_empty", [n("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", default_float=1.0)], width=1)
on("attribute_unknown", [n("Gemm", ["x", "w"], ["y"], broadcast=1, secret=3)], inits=[W])
full = graph([mm()], inits=[W]).SerializeToString()
write("cut.onnx", full[: len(full) // 2])

tree("tree_logistic", {"post_transform": "LOGISTIC"})

# XGBoost
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 4))
Y = X[:, 0] + 0.1
lin = xgb.train({"booster": "gblinear"}, xgb.DMatrix(X, Y), 3)
write("gblinear.json", zoo_trees.xgb_bytes(lin))
write("gblinear.ubj", zoo_trees.xgb_bytes(lin, "ubj"))
multi = xgb.train({"multi_strategy": "multi_output_tree", "tree_method": "hist"}, xgb.DMatrix(X, np.column_stack([Y, -Y])), 2)
write("multi_output.json", zoo_trees.xgb_bytes(multi))
b = xgb.train({"max_depth": 2}, xgb.DMatrix(X, Y), 2)
j = zoo_trees.xgb_bytes(b).decode()
u = zoo_trees.xgb_bytes(b, "ubj")
write("cut.ubj", u[: len(u) // 2])
write("cut.json", j[: len(j) // 2])


def edit(f):
    d = json.loads(j)
    f(d)
    return json.dumps(d)


T = lambda d: d["learner"]["gradient_booster"]["model"]["trees"][0]
write("xgb_nan.json", edit(lambda d: T(d)["split_conditions"].__setitem__(0, float("nan"))))
write("xgb_child.json", edit(lambda d: T(d)["left_children"].__setitem__(0, 2**31)))
write("xgb_negative.json", edit(lambda d: T(d)["right_children"].__setitem__(0, -7)))
write("xgb_feature.json", edit(lambda d: T(d)["split_indices"].__setitem__(0, 99)))
write("xgb_survival.json", edit(lambda d: d["learner"]["objective"].__setitem__("name", "survival:cox")))
write("xgb_text_where_number.json", edit(lambda d: T(d)["left_children"].__setitem__(0, "one")))
write("xgb_no_model.json", edit(lambda d: d["learner"]["gradient_booster"].pop("model")))
write("xgb_dump.json", "[" + ",".join(b.get_dump(dump_format="json")) + "]")
write("xgb_dump.txt", "".join(f"booster[{i}]:\n{t}" for i, t in enumerate(b.get_dump())))
write("xgb_binary.model", b"binf\x00\x00\x00?" + bytes(200))
write("catboost.json", json.dumps({"features_info": {"float_features": []}, "model_info": {"params": {}}, "oblivious_trees": []}))
write("catboost.cbm", b"CBM1" + bytes(100))
write("other.json", json.dumps({"hello": 1}))
# LightGBM
lt = lgb.train({"verbose": -1, "linear_tree": True, "num_leaves": 4}, lgb.Dataset(X, Y), 2)
write("lgb_linear.txt", lt.model_to_string())
l = lgb.train({"verbose": -1, "num_leaves": 4}, lgb.Dataset(X, Y), 2)
s = l.model_to_string()
write("lgb_cut.txt", s[: s.index("Tree=1") + 60])
write("lgb_dump.json", json.dumps(l.dump_model()))
write("lgb_nan.txt", s.replace("threshold=" + s.split("threshold=")[1].split(" ")[0], "threshold=nan", 1))
write("lgb_custom.txt", s.replace("objective=regression", "objective=custom_loss"))
# others
write("pickle.pkl", pickle.dumps({"a": 1}, protocol=4))
z = io.BytesIO()
with zipfile.ZipFile(z, "w") as f:
    f.writestr(zipfile.ZipInfo("archive/data.pkl"), b"x")
write("torch.pt", z.getvalue())
write("keras.h5", b"\x89HDF\r\n\x1a\n" + bytes(100))
write("gzip.json.gz", b"\x1f\x8b\x08\x00" + bytes(50))
write("tflite.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(50))
write("onnx_text.txt", 'ir_version: 8\ngraph {\n}\n')
write("wasm.wasm", b"\0asm\x01\0\0\0")
write("empty", b"")
# XML
write("bomb.pmml", '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><PMML version="4.4">&c;</PMML>')
write("entity.pmml", '<?xml version="1.0"?><!DOCTYPE p SYSTEM "file:///etc/passwd"><PMML version="4.4"/>')
write("deep.pmml", '<PMML version="4.4">' + "<a>" * 500 + "</a>" * 500 + "</PMML>")
p = zoo_cards.pmml_scorecard(1)[0].decode()
write("pmml_tree.pmml", p.replace("Scorecard", "TreeModel"))
write("pmml_mining.pmml", '<PMML version="4.4"><Header/><DataDictionary/><MiningModel functionName="regression"><Segmentation multipleModelMethod="average"/></MiningModel></PMML>')
write("pmml_complex.pmml", p.replace(' partialScore="-8.0">', '><ComplexPartialScore><Apply function="*"><FieldRef field="age"/><Constant>2</Constant></Apply></ComplexPartialScore>'))
write("pmml_missing_code.pmml", p.replace('<DataField name="age" optype="continuous" dataType="double"/>', '<DataField name="age" optype="continuous" dataType="double"><Value value="-999" property="missing"/></DataField>'))
write("pmml_outliers.pmml", p.replace('<MiningField name="age"/>', '<MiningField name="age" outliers="asExtremeValues" lowValue="18" highValue="80"/>'))
write("pmml_invalid.pmml", p.replace('<MiningField name="town"/>', '<MiningField name="town" invalidValueTreatment="asMissing"/>'))
write("pmml_derived.pmml", p.replace('field="age" operator="lessThan"', 'field="age_band" operator="lessThan"'))
write("pmml_reasons.pmml", p.replace('useReasonCodes="false"', 'useReasonCodes="true" reasonCodeAlgorithm="pointsBelow"').replace("<Attribute ", '<Attribute reasonCode="R1" '))
write("pmml_not_scorable.pmml", p.replace("<Scorecard ", '<Scorecard isScorable="false" '))
write("pmml_number.pmml", p.replace('partialScore="-8.0"', 'partialScore="minus eight"'))
write("html.html", "<!DOCTYPE html><html><body>not found</body></html>")
# CSV
write("card_mixed.csv", 'feature,bin,points\nage,"[0,10)",1\nage,red,2\n')
write("card_points.csv", 'feature,bin,points\nage,"[0,10)",many\n')
write("card_bin.csv", 'feature,bin,points\nage,"[10,0)",1\n')
write("card_gbk.csv", '特征,分箱,分值\n城市,昆明,1\n'.encode("gbk"))
write("card_other.csv", 'a,b,c\n1,2,3\n')
write("card_gap.csv", 'feature,bin,points\nage,"[0,10)",1\nage,"[20,30)",2\n')
write("card_overlap.csv", 'feature,bin,points\nage,"[0,10)",1\nage,"[5,30)",2\n')
write("card_twice.csv", 'feature,bin,points\nage,"[0,10)",1\nage,"[0,10)",2\n')
write("card_base_only.csv", 'feature,bin,points\nbase,,600\n')
write("card_categories_twice.csv", 'feature,bin,points\ncity,昆明|大理,1\ncity,大理,2\n')
write("card_else_first.csv", 'feature,bin,points\nage,else,1\nage,"[0,10)",2\n')
early = xgb.train({"max_depth": 2}, xgb.DMatrix(X, Y), 4)
early.set_attr(best_iteration="1")
write("xgb_stopped_early.json", zoo_trees.xgb_bytes(early))
stump = xgb.train({"max_depth": 2, "gamma": 1e9}, xgb.DMatrix(X, Y), 2)
write("xgb_no_splits.json", zoo_trees.xgb_bytes(stump))
