//! PMML scorecards (DMG PMML 4.1 to 4.4, `Scorecard`).

use roxmltree::{Document, Node, ParsingOptions};

use super::rules::{Characteristic, Fields, Rule};
use crate::ir::{Model, Null, Output};
use crate::limits;
use crate::refusal::{Refusal, at_most, quote};

/// Parses the document.
pub(super) fn read(bytes: &[u8]) -> Result<Model, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Refusal::malformed("the file is not UTF-8", "文件不是 UTF-8 编码").at(format!("byte {}", e.valid_up_to()))
    })?;
    if text.get(..text.len().min(1024)).unwrap_or(text).to_ascii_lowercase().contains("<html") {
        return Err(Refusal::new(
            "import/format",
            "this is a web page (HTML), not a model",
            "这是网页（HTML），不是模型文件",
        ));
    }
    if text.contains("<!DOCTYPE") {
        return Err(Refusal::malformed(
            "the file has a document type declaration (<!DOCTYPE>), which could pull in entities and other files; PMML needs none",
            "文件含文档类型声明（<!DOCTYPE>），可能引入实体或外部文件；PMML 不需要它",
        ));
    }
    nesting(text)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: 1_000_000, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|e| {
        let at = e.pos();
        Refusal::malformed("the file is not well-formed XML", "文件不是格式良好的 XML")
            .at(format!("line {}, column {}", at.row, at.col))
    })?;
    let root = document.root_element();
    if root.tag_name().name() != "PMML" {
        return Err(Refusal::malformed("the document is not PMML", "不是 PMML 文档"));
    }
    let card = child(root, "Scorecard").ok_or_else(|| other_model(root))?;
    for name in ["LocalTransformations", "Targets"] {
        if let Some(node) = child(card, name).filter(|n| n.has_children()) {
            return Err(unsupported(node));
        }
    }
    for (attribute, only) in [("isScorable", "true"), ("functionName", "regression")] {
        as_usual(card, attribute, &[only])?;
    }
    let mut fields = columns(root, card)?;
    let all = child(card, "Characteristics").ok_or_else(|| missing("Characteristics", card))?;
    let mut characteristics = Vec::new();
    for c in all.children().filter(|n| n.tag_name().name() == "Characteristic") {
        at_most(characteristics.len() + 1, limits::WIDTH - 1, "characteristics", "特征项数")?;
        let mut bins = Vec::new();
        for attribute in c.children().filter(|n| n.tag_name().name() == "Attribute") {
            bins.push(bin(attribute)?);
        }
        let name = c.attribute("name").unwrap_or("").to_owned();
        characteristics.push(Characteristic { name, bins });
    }
    let start = number(card, "initialScore", Some(0.0))?;
    let total = fields.total(start, &characteristics)?;
    let outputs = Output::all(&fields.graph, total, "points", 1);
    Ok(Model {
        format: "PMML",
        kind: format!(
            "Scorecard {} (PMML {})",
            quote(card.attribute("modelName").unwrap_or("")),
            quote(root.attribute("version").unwrap_or(""))
        ),
        inputs: fields.inputs,
        graph: fields.graph,
        outputs,
        warnings: reasons(card),
    })
}

/// Reason codes explain points to a person; the points do not depend on them.
fn reasons(card: Node<'_, '_>) -> Vec<(String, String)> {
    let has = card.attribute("useReasonCodes") != Some("false")
        && card.descendants().any(|n| n.attribute("reasonCode").is_some());
    let warning = (
        "the model answers with its points; reason codes are left out".to_owned(),
        "模型只输出总分，不输出原因代码（reason code）".to_owned(),
    );
    has.then_some(warning).into_iter().collect()
}

/// An attribute that may be absent or have one of some values.
fn as_usual(node: Node<'_, '_>, name: &str, taken: &[&str]) -> Result<(), Refusal> {
    match node.attribute(name) {
        Some(value) if !taken.contains(&value) => Err(Refusal::unsupported(
            format!("{name} = {} is not supported", quote(value)),
            format!("不支持 {name} = {}", quote(value)),
        )
        .at(place(node))),
        _ => Ok(()),
    }
}

/// How deep elements are nested, before a parser sees them.
fn nesting(text: &str) -> Result<(), Refusal> {
    let mut depth = 0_usize;
    for (i, _) in text.match_indices('<') {
        match text.as_bytes().get(i + 1) {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(b'?' | b'!') | None => {}
            Some(_) => {
                let tag = &text[i..];
                let end = tag.find('>').unwrap_or(tag.len());
                if !tag[..end].ends_with('/') {
                    depth += 1;
                }
            }
        }
        at_most(depth, limits::NESTING, "nested elements", "元素嵌套层数").map_err(|r| r.at(format!("byte {i}")))?;
    }
    Ok(())
}

fn child<'a, 'd>(node: Node<'a, 'd>, name: &str) -> Option<Node<'a, 'd>> {
    node.children().find(|n| n.tag_name().name() == name)
}

fn place(node: Node<'_, '_>) -> String {
    let at = node.document().text_pos_at(node.range().start);
    format!("element {}, line {}", quote(node.tag_name().name()), at.row)
}

fn missing(what: &str, node: Node<'_, '_>) -> Refusal {
    Refusal::malformed(format!("`{what}` is missing"), format!("缺少 `{what}`")).at(place(node))
}

fn unsupported(node: Node<'_, '_>) -> Refusal {
    let name = quote(node.tag_name().name());
    Refusal::unsupported(format!("the element `{name}` is not supported"), format!("不支持元素 `{name}`"))
        .at(place(node))
}

fn other_model(root: Node<'_, '_>) -> Refusal {
    let known = ["Header", "DataDictionary", "MiningBuildTask", "Extension"];
    match root.children().find(|n| n.is_element() && !known.contains(&n.tag_name().name())) {
        Some(node) => {
            let name = quote(node.tag_name().name());
            Refusal::unsupported(
                format!("PMML of the kind `{name}` is not supported; Scorecard is. Trees and networks can come as ONNX, XGBoost or LightGBM"),
                format!("不支持 `{name}` 类 PMML 模型，仅支持 Scorecard；树模型与神经网络可用 ONNX、XGBoost 或 LightGBM 格式导入"),
            )
            .at(place(node))
        }
        None => missing("Scorecard", root),
    }
}

fn number(node: Node<'_, '_>, name: &str, default: Option<f64>) -> Result<f64, Refusal> {
    let Some(text) = node.attribute(name) else {
        return default.ok_or_else(|| missing(name, node));
    };
    text.trim().parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| {
        Refusal::malformed(format!("`{name}` is not a number"), format!("`{name}` 不是数值")).at(place(node))
    })
}

/// The columns that the model uses.
fn columns(root: Node<'_, '_>, card: Node<'_, '_>) -> Result<Fields, Refusal> {
    let mut fields = Fields::default();
    let schema = child(card, "MiningSchema").ok_or_else(|| missing("MiningSchema", card))?;
    let dictionary = child(root, "DataDictionary").ok_or_else(|| missing("DataDictionary", root))?;
    for used in schema.children().filter(|n| n.tag_name().name() == "MiningField") {
        let name = used.attribute("name").ok_or_else(|| missing("name", used))?;
        if !matches!(used.attribute("usageType"), None | Some("active")) {
            continue;
        }
        // What stands for values beyond a range, or that the dictionary does not have.
        as_usual(used, "outliers", &["asIs"])?;
        as_usual(used, "invalidValueTreatment", &["returnInvalid", "asIs"])?;
        let field = dictionary
            .children()
            .find(|n| n.tag_name().name() == "DataField" && n.attribute("name") == Some(name))
            .ok_or_else(|| missing("DataField", used))?;
        for value in field.children().filter(|n| n.tag_name().name() == "Value") {
            // A code that stands for nothing, such as -999; data has NULL for that.
            if value.attribute("property") == Some("missing") {
                return Err(Refusal::unsupported(
                    "a code that stands for a missing value (property = missing) is not supported; the data says NULL for that",
                    "不支持用代码表示缺失值（property = missing）；数据中以空值（NULL）表示缺失",
                )
                .at(place(value)));
            }
        }
        let text = field.attribute("dataType") == Some("string");
        let categories = text.then(|| {
            let mut list: Vec<String> = field
                .children()
                .filter(|n| n.tag_name().name() == "Value" && matches!(n.attribute("property"), None | Some("valid")))
                .filter_map(|n| n.attribute("value").map(str::to_owned))
                .collect();
            // Texts that the dictionary leaves out and a bin names.
            for value in mentioned(card, name) {
                if !list.contains(&value) {
                    list.push(value);
                }
            }
            list
        });
        if text && categories.as_ref().is_some_and(Vec::is_empty) {
            return Err(Refusal::unsupported("a field of texts has no values", "文本字段没有取值").at(place(field)));
        }
        let null = match used.attribute("missingValueReplacement") {
            None => Null::Nan,
            Some(value) => {
                let code = categories.as_ref().and_then(|c| c.iter().position(|v| v == value)).map(|c| c as f64);
                let code = code.or_else(|| value.trim().parse().ok()).filter(|x: &f64| x.is_finite());
                Null::Value(code.ok_or_else(|| {
                    Refusal::malformed(
                        "missingValueReplacement is no value of the field",
                        "missingValueReplacement 不是该字段的取值",
                    )
                    .at(place(used))
                })?)
            }
        };
        fields.add(name, null, categories)?;
    }
    Ok(fields)
}

/// The texts that predicates compare a field with.
fn mentioned(card: Node<'_, '_>, field: &str) -> Vec<String> {
    let mut out = Vec::new();
    for node in card.descendants().filter(|n| n.attribute("field") == Some(field)) {
        out.extend(node.attribute("value").map(str::to_owned));
        if let Some(array) = child(node, "Array") {
            out.extend(array_items(array));
        }
    }
    out.truncate(limits::WIDTH);
    out
}

fn bin(attribute: Node<'_, '_>) -> Result<(Rule, f64), Refusal> {
    if let Some(complex) = child(attribute, "ComplexPartialScore") {
        return Err(unsupported(complex));
    }
    let score = number(attribute, "partialScore", None)?;
    let predicate = attribute.children().find(|n| n.is_element() && n.tag_name().name() != "Extension");
    let predicate = predicate.ok_or_else(|| missing("a predicate", attribute))?;
    Ok((rule(predicate, 0)?, score))
}

fn rule(node: Node<'_, '_>, depth: usize) -> Result<Rule, Refusal> {
    at_most(depth, limits::NESTING, "nested predicates", "谓词嵌套层数")?;
    let field = || node.attribute("field").map(str::to_owned).ok_or_else(|| missing("field", node));
    match node.tag_name().name() {
        "True" => Ok(Rule::Always),
        "False" => Ok(Rule::Never),
        "SimplePredicate" => simple(node, field()?),
        "SimpleSetPredicate" => {
            let array = child(node, "Array").ok_or_else(|| missing("Array", node))?;
            let items = array_items(array);
            match node.attribute("booleanOperator") {
                Some("isIn") => Ok(Rule::Among(field()?, items)),
                Some("isNotIn") => Ok(Rule::NotAmong(field()?, items)),
                _ => Err(unsupported(node)),
            }
        }
        "CompoundPredicate" => {
            let rules = node
                .children()
                .filter(Node::is_element)
                .map(|n| rule(n, depth + 1))
                .collect::<Result<Vec<Rule>, _>>()?;
            match node.attribute("booleanOperator") {
                Some("and") => Ok(Rule::All(rules)),
                Some("or") => Ok(Rule::Any(rules)),
                other => Err(Refusal::unsupported(
                    format!("booleanOperator = {} is not supported", quote(other.unwrap_or(""))),
                    format!("不支持 booleanOperator = {}", quote(other.unwrap_or(""))),
                )
                .at(place(node))),
            }
        }
        _ => Err(unsupported(node)),
    }
}

fn simple(node: Node<'_, '_>, field: String) -> Result<Rule, Refusal> {
    let operator = node.attribute("operator").ok_or_else(|| missing("operator", node))?;
    let text = || node.attribute("value").map(str::to_owned).ok_or_else(|| missing("value", node));
    let between = |low: Option<bool>, high: Option<bool>, field: String| -> Result<Rule, Refusal> {
        let x = number(node, "value", None)?;
        Ok(Rule::Between {
            field,
            low: if low.is_some() { x } else { f64::NEG_INFINITY },
            low_in: low.unwrap_or(false),
            high: if high.is_some() { x } else { f64::INFINITY },
            high_in: high.unwrap_or(false),
        })
    };
    match operator {
        "equal" => Ok(Rule::Among(field, vec![text()?])),
        "notEqual" => Ok(Rule::NotAmong(field, vec![text()?])),
        "lessThan" => between(None, Some(false), field),
        "lessOrEqual" => between(None, Some(true), field),
        "greaterThan" => between(Some(false), None, field),
        "greaterOrEqual" => between(Some(true), None, field),
        "isMissing" => Ok(Rule::Missing(field)),
        "isNotMissing" => Ok(Rule::Present(field)),
        other => Err(Refusal::unsupported(
            format!("the operator `{}` is not supported", quote(other)),
            format!("不支持运算符 `{}`", quote(other)),
        )
        .at(place(node))),
    }
}

/// Items of an array: apart by spaces, or between quotes with backslashes before quotes.
fn array_items(array: Node<'_, '_>) -> Vec<String> {
    let text = array.text().unwrap_or("");
    let mut out: Vec<String> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut item = String::new();
        if c == '"' {
            while let Some(c) = chars.next() {
                match c {
                    '\\' if chars.peek() == Some(&'"') => item.extend(chars.next()),
                    '"' => break,
                    c => item.push(c),
                }
            }
        } else {
            item.push(c);
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                item.push(c);
            }
        }
        out.push(item);
    }
    out
}
