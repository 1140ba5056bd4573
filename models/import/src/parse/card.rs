//! Scorecards as a table: one line per bin, as statistical packages and spreadsheets write them.
//!
//! ```csv
//! feature,bin,points
//! base,,600
//! age,"[18,25)",-12
//! age,"[25,inf)",5
//! age,missing,0
//! city,昆明|大理,8
//! city,else,-3
//! ```

use std::collections::BTreeMap;

use super::rules::{Characteristic, Fields, Rule};
use crate::ir::{Model, Null, Output};
use crate::limits;
use crate::refusal::{Refusal, at_most, quote};

const FEATURE: [&str; 6] = ["feature", "variable", "characteristic", "name", "特征", "变量"];
const BIN: [&str; 5] = ["bin", "range", "attribute", "分箱", "区间"];
const POINTS: [&str; 5] = ["points", "score", "partial_score", "分值", "得分"];
const BASE: [&str; 5] = ["base", "basepoints", "base_points", "intercept", "基础分"];
const MISSING: [&str; 6] = ["missing", "nan", "null", "na", "缺失", "空值"];
const ELSE: [&str; 5] = ["else", "other", "others", "其他", "其它"];

/// What a bin says before it is known whether the feature is a number or a text.
#[derive(Debug, Clone, PartialEq)]
enum Bin {
    Missing,
    Else,
    Interval { low: f64, low_in: bool, high: f64, high_in: bool },
    Texts(Vec<String>),
}

/// A bin, its points, and the line that it stands in.
struct Line {
    bin: Bin,
    score: f64,
    line: u64,
}

/// Whether the first line is the heading of such a table.
pub(super) fn is_card(first_line: &str) -> bool {
    let names: Vec<String> = first_line.split([',', ';', '\t']).map(clean).collect();
    [&FEATURE[..], &BIN, &POINTS].iter().all(|words| names.iter().any(|n| words.contains(&n.as_str())))
}

fn clean(text: &str) -> String {
    text.trim_matches(['\u{feff}', '"', ' ', '\r', '\t']).to_lowercase()
}

/// Parses the table.
pub(super) fn read(bytes: &[u8]) -> Result<Model, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Refusal::malformed("the file is not UTF-8", "文件不是 UTF-8 编码").at(format!("byte {}", e.valid_up_to()))
    })?;
    let first = text.lines().next().unwrap_or("");
    let comma = [b',', b';', b'\t'].into_iter().find(|c| first.contains(char::from(*c))).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(comma).flexible(true).from_reader(text.as_bytes());
    let heading: Vec<String> = reader.headers().map_err(|e| wrong_line(&e))?.iter().map(clean).collect();
    let column = |words: &[&str]| heading.iter().position(|n| words.contains(&n.as_str()));
    let (Some(feature), Some(bin), Some(points)) = (column(&FEATURE), column(&BIN), column(&POINTS)) else {
        return Err(Refusal::malformed(
            "the heading is not feature, bin, points",
            "表头应为 feature、bin、points（特征、分箱、分值）",
        )
        .at("line 1"));
    };
    let mut start = 0.0;
    let mut order: Vec<(String, Vec<Line>)> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| wrong_line(&e))?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = format!("line {line}");
        let get = |i: usize| record.get(i).unwrap_or("").trim();
        if record.iter().all(|f| f.trim().is_empty()) {
            continue;
        }
        let score: f64 = get(points)
            .parse()
            .ok()
            .filter(|x: &f64| x.is_finite())
            .ok_or_else(|| Refusal::malformed("the points are not a number", "分值不是数值").at(place.clone()))?;
        let name = get(feature);
        if name.is_empty() || BASE.contains(&name.to_lowercase().as_str()) {
            start += score;
            continue;
        }
        let bin = parse_bin(get(bin)).ok_or_else(|| {
            Refusal::malformed(
                format!("`{}` is not a bin", quote(get(bin))),
                format!("`{}` 不是有效分箱", quote(get(bin))),
            )
            .at(place)
        })?;
        match order.iter_mut().find(|(n, _)| n == name) {
            Some((_, bins)) => {
                bins.push(Line { bin, score, line });
                at_most(bins.len(), limits::BINS, "bins", "分箱数")?;
            }
            None => {
                at_most(order.len() + 1, limits::WIDTH - 1, "characteristics", "特征项数")?;
                order.push((name.to_owned(), vec![Line { bin, score, line }]));
            }
        }
    }
    model(start, order)
}

fn wrong_line(e: &csv::Error) -> Refusal {
    let place = e.position().map_or_else(|| "line 1".to_owned(), |p| format!("line {}", p.line()));
    Refusal::malformed("a line cannot be read", "有一行无法读取").at(place)
}

/// What a value could satisfy two bins of a table for is a mistake in it: neither says that it goes first.
fn apart(name: &str, bins: &[Line]) -> Result<(), Refusal> {
    let both = |a: &Line, b: &Line| {
        let (first, second) = (a.line.min(b.line), a.line.max(b.line));
        Refusal::malformed(
            format!("two bins of `{}` hold for the same value", quote(name)),
            format!("`{}` 的两个分箱包含相同取值", quote(name)),
        )
        .at(format!("lines {first} and {second}"))
    };
    let mut seen: BTreeMap<&str, &Line> = BTreeMap::new();
    let mut intervals: Vec<(f64, f64, bool, bool, &Line)> = Vec::new();
    for line in bins {
        let words: Vec<&str> = match &line.bin {
            Bin::Missing => vec!["\0missing"],
            Bin::Else => vec!["\0else"],
            Bin::Texts(list) => list.iter().map(String::as_str).collect(),
            Bin::Interval { low, low_in, high, high_in } => {
                intervals.push((*low, *high, *low_in, *high_in, line));
                continue;
            }
        };
        for word in words {
            if let Some(other) = seen.insert(word, line) {
                return Err(both(other, line));
            }
        }
    }
    // Of two that begin at one place, the one that has the place itself is first.
    intervals.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.2.cmp(&a.2)));
    for pair in intervals.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        if a.1 > b.0 || (a.1 == b.0 && a.3 && b.2) || (a.0 == b.0 && a.2 == b.2) {
            return Err(both(a.4, b.4));
        }
    }
    Ok(())
}

/// Whether some number is in no bin.
fn leaves_gaps(bins: &[Line]) -> bool {
    let mut intervals: Vec<(f64, f64, bool, bool)> = bins
        .iter()
        .filter_map(|l| match l.bin {
            Bin::Interval { low, low_in, high, high_in } => Some((low, high, low_in, high_in)),
            _ => None,
        })
        .collect();
    if intervals.is_empty() || bins.iter().any(|l| l.bin == Bin::Else) {
        return false;
    }
    intervals.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.2.cmp(&a.2)));
    let ends = intervals[0].0 > f64::NEG_INFINITY || intervals[intervals.len() - 1].1 < f64::INFINITY;
    ends || intervals.windows(2).any(|p| p[0].1 < p[1].0 || (p[0].1 == p[1].0 && !p[0].3 && !p[1].2))
}

fn gap_warning(order: &[(String, Vec<Line>)]) -> Vec<(String, String)> {
    let names: Vec<String> =
        order.iter().filter(|(_, bins)| leaves_gaps(bins)).map(|(n, _)| format!("`{}`", quote(n))).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let (shown, more) = (names[..names.len().min(5)].join(", "), if names.len() > 5 { " …" } else { "" });
    vec![(
        format!(
            "the bins of {shown}{more} leave numbers out: for those the model answers with its default; a bin `else` would take them"
        ),
        format!("{shown}{more} 的分箱未覆盖全部数值：未覆盖的取值按默认值输出；可增加 `else` 分箱"),
    )]
}

fn model(start: f64, mut order: Vec<(String, Vec<Line>)>) -> Result<Model, Refusal> {
    let mut fields = Fields::default();
    let mut characteristics = Vec::new();
    for (name, bins) in &mut order {
        apart(name, bins)?;
        // What is left over is what no other bin takes, wherever it stands.
        bins.sort_by_key(|l| l.bin == Bin::Else);
        let has_text = bins.iter().any(|l| matches!(l.bin, Bin::Texts(_)));
        let has_number = bins.iter().any(|l| matches!(l.bin, Bin::Interval { .. }));
        if has_text && has_number {
            return Err(Refusal::malformed(
                "a feature has bins of numbers and bins of texts",
                "同一特征混用了数值分箱与文本分箱",
            )
            .at(format!("feature `{}`", quote(name))));
        }
        let mut texts: Vec<String> = Vec::new();
        for line in bins.iter() {
            if let Bin::Texts(list) = &line.bin {
                texts.extend(list.iter().filter(|t| !texts.contains(t)).cloned().collect::<Vec<_>>());
            }
        }
        let null = if bins.iter().any(|l| l.bin == Bin::Missing) { Null::Nan } else { Null::Refused };
        fields.add(name, null, has_text.then_some(texts))?;
        let mut rules: Vec<(Rule, f64)> = Vec::new();
        for line in bins.iter() {
            rules.push((rule(name, &line.bin), line.score));
        }
        characteristics.push(Characteristic { name: name.clone(), bins: rules });
    }
    let total = fields.total(start, &characteristics)?;
    let outputs = Output::all(&fields.graph, total, "points", 1);
    let bins: usize = characteristics.iter().map(|c| c.bins.len()).sum();
    Ok(Model {
        format: "CSV",
        kind: format!("scorecard, {} characteristics, {bins} bins", characteristics.len()),
        inputs: fields.inputs,
        graph: fields.graph,
        outputs,
        warnings: gap_warning(&order),
    })
}

fn rule(name: &str, bin: &Bin) -> Rule {
    let field = name.to_owned();
    match bin {
        Bin::Missing => Rule::Missing(field),
        Bin::Else => Rule::Present(field),
        Bin::Interval { low, low_in, high, high_in } => {
            Rule::Between { field, low: *low, low_in: *low_in, high: *high, high_in: *high_in }
        }
        Bin::Texts(list) => Rule::Among(field, list.clone()),
    }
}

fn parse_bin(text: &str) -> Option<Bin> {
    let lower = text.to_lowercase();
    if MISSING.contains(&lower.as_str()) {
        return Some(Bin::Missing);
    }
    if ELSE.contains(&lower.as_str()) {
        return Some(Bin::Else);
    }
    if text.is_empty() {
        return None;
    }
    if let Some(interval) = interval(text) {
        return Some(interval);
    }
    // What is written as an interval is one, or a mistake; a comma tells `[a,b)` from a text in brackets.
    let bracketed = text.starts_with(['[', '(']) && text.ends_with([']', ')']) && text.contains([',', '，']);
    let compared = text.starts_with(['<', '≤', '≥']) || (text.starts_with('>') && !text.ends_with('>'));
    if bracketed || (compared && !text.ends_with('>')) {
        return None;
    }
    let separator = if text.contains("%,%") { "%,%" } else { "|" };
    Some(Bin::Texts(text.split(separator).map(|t| t.trim().to_owned()).collect()))
}

fn interval(text: &str) -> Option<Bin> {
    let number = |t: &str| -> Option<f64> {
        match t.trim().to_lowercase().as_str() {
            "" => None,
            "inf" | "+inf" | "∞" | "+∞" => Some(f64::INFINITY),
            "-inf" | "-∞" => Some(f64::NEG_INFINITY),
            other => other.parse().ok().filter(|x: &f64| x.is_finite()),
        }
    };
    for (sign, low_in, high_in, above) in [
        ("<=", false, true, false),
        ("≤", false, true, false),
        (">=", true, false, true),
        ("≥", true, false, true),
        ("<", false, false, false),
        (">", false, false, true),
    ] {
        if let Some(rest) = text.strip_prefix(sign) {
            let x = number(rest)?;
            let (low, high) = if above { (x, f64::INFINITY) } else { (f64::NEG_INFINITY, x) };
            return Some(Bin::Interval { low, low_in, high, high_in });
        }
    }
    let low_in = match text.chars().next()? {
        '[' => true,
        '(' => false,
        _ => return None,
    };
    let high_in = match text.chars().next_back()? {
        ']' => true,
        ')' => false,
        _ => return None,
    };
    let inner = text.get(1..text.len() - 1)?;
    let (low, high) = inner.split_once([',', '，'])?;
    let (low, high) = (number(low)?, number(high)?);
    (low <= high).then_some(Bin::Interval { low, low_in, high, high_in })
}
