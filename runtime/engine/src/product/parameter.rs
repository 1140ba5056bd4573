//! Typed parameters of a product's SQL, and the values given for one run.

use super::raw::RawParameter;
use crate::dates::parse_date;
use datafusion::scalar::ScalarValue;
use std::collections::BTreeMap;
use yunei_policy::facts::{Interval, Kind, Literal};
use yunei_policy::{Refusal, Refused};

/// A declared parameter, written `$name` in the SQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    name: String,
    kind: ParameterKind,
    default: Option<Literal>,
}

/// The type of a parameter and what it may be.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterKind {
    /// A whole number in a closed range.
    Int {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A number in a closed range.
    Float {
        /// The range.
        range: Interval,
    },
    /// A date in a closed range, in days since 1970-01-01.
    Date {
        /// The first.
        min: i32,
        /// The last.
        max: i32,
    },
    /// A truth value.
    Bool,
    /// One of the listed texts.
    Text {
        /// The choices.
        values: Vec<String>,
    },
}

impl Parameter {
    /// Its name, without the `$`.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// What it may be.
    pub fn kind(&self) -> &ParameterKind {
        &self.kind
    }
    /// Its value where the caller gives none.
    pub fn default(&self) -> Option<&Literal> {
        self.default.as_ref()
    }

    /// Its type, for the plan's facts.
    pub fn fact_kind(&self) -> Kind {
        match self.kind {
            ParameterKind::Int { .. } => Kind::Int,
            ParameterKind::Float { .. } => Kind::Float,
            ParameterKind::Date { .. } => Kind::Date,
            ParameterKind::Bool => Kind::Bool,
            ParameterKind::Text { .. } => Kind::Text,
        }
    }

    /// Its range as an interval, where it is a number or a date.
    pub fn bounds(&self) -> Option<Interval> {
        match &self.kind {
            ParameterKind::Int { min, max } => Interval::new(*min as f64, *max as f64),
            ParameterKind::Float { range } => Some(*range),
            ParameterKind::Date { min, max } => Interval::new(f64::from(*min), f64::from(*max)),
            ParameterKind::Bool => Interval::new(0.0, 1.0),
            ParameterKind::Text { .. } => None,
        }
    }

    /// Its choices, where it has them.
    pub fn values(&self) -> Option<Vec<Literal>> {
        match &self.kind {
            ParameterKind::Text { values } => Some(values.iter().cloned().map(Literal::Text).collect()),
            ParameterKind::Bool => Some(vec![Literal::Bool(false), Literal::Bool(true)]),
            _ => None,
        }
    }

    /// A value that it may have: the default, or the least.
    pub(crate) fn sample(&self) -> Literal {
        self.default.clone().unwrap_or_else(|| match &self.kind {
            ParameterKind::Int { min, .. } => Literal::Int(*min),
            ParameterKind::Float { range } => Literal::Float(range.lo()),
            ParameterKind::Date { min, .. } => Literal::Date(*min),
            ParameterKind::Bool => Literal::Bool(false),
            ParameterKind::Text { values } => Literal::Text(values.first().cloned().unwrap_or_default()),
        })
    }

    /// Reads a value from its text.
    fn read(&self, text: &str) -> Option<Literal> {
        match &self.kind {
            ParameterKind::Int { min, max } => {
                text.trim().parse().ok().filter(|v: &i64| (*min..=*max).contains(v)).map(Literal::Int)
            }
            ParameterKind::Float { range } => {
                let value: f64 = text.trim().parse().ok()?;
                (range.lo()..=range.hi()).contains(&value).then_some(Literal::Float(value))
            }
            ParameterKind::Date { min, max } => {
                parse_date(text.trim()).filter(|d| (*min..=*max).contains(d)).map(Literal::Date)
            }
            ParameterKind::Bool => match text.trim() {
                "true" => Some(Literal::Bool(true)),
                "false" => Some(Literal::Bool(false)),
                _ => None,
            },
            ParameterKind::Text { values } => values.iter().any(|v| v == text).then(|| Literal::Text(text.to_owned())),
        }
    }

    fn describe(&self) -> String {
        match &self.kind {
            ParameterKind::Int { min, max } => format!("int {min}..{max}"),
            ParameterKind::Float { range } => format!("float {}..{}", range.lo(), range.hi()),
            ParameterKind::Date { min, max } => {
                format!("date {}..{}", crate::dates::format_date(*min), crate::dates::format_date(*max))
            }
            ParameterKind::Bool => "bool".to_owned(),
            ParameterKind::Text { values } => format!("one of {}", values.join(", ")),
        }
    }
}

/// The values of all of a product's parameters for one run; each is of its declared type and range.
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments(BTreeMap<String, Literal>);

impl Arguments {
    /// Reads the given texts, fills in defaults.
    ///
    /// # Errors
    /// `parameter/unknown`, `parameter/missing`, `parameter/value`: all that is wrong at once. Given values are not
    /// repeated in the refusal.
    pub fn read(declared: &[Parameter], given: &BTreeMap<String, String>) -> Result<Self, Refused> {
        let mut reasons = Vec::new();
        for name in given.keys().filter(|n| !declared.iter().any(|p| p.name == **n)) {
            let known = declared.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
            let shown: String = name.chars().take(64).collect();
            reasons.push(
                Refusal::new("parameter/unknown", "产品没有这个参数", "the product has no such parameter")
                    .at(shown)
                    .hint(format!("已声明的参数：{known}"), format!("declared: {known}")),
            );
        }
        let mut values = BTreeMap::new();
        for parameter in declared {
            let value = match given.get(&parameter.name) {
                None => parameter.default.clone().ok_or_else(|| {
                    Refusal::new("parameter/missing", "缺少参数", "a parameter is missing").at(parameter.name.as_str())
                }),
                Some(text) => parameter.read(text).ok_or_else(|| {
                    Refusal::new(
                        "parameter/value",
                        "参数值不符合声明的类型或范围",
                        "the value is not of the declared type and range",
                    )
                    .at(parameter.name.as_str())
                    .hint(format!("应为 {}", parameter.describe()), format!("takes {}", parameter.describe()))
                }),
            };
            match value {
                Ok(value) => {
                    values.insert(parameter.name.clone(), value);
                }
                Err(refusal) => reasons.push(refusal),
            }
        }
        Refused::unless(reasons, Self(values))
    }

    /// The values by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Literal)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// A text with one form per set of values, for digests and the log.
    pub fn canonical(&self) -> String {
        let object: serde_json::Map<String, serde_json::Value> =
            self.0.iter().map(|(k, v)| (k.clone(), serde_json::Value::String(literal_text(v)))).collect();
        serde_json::Value::Object(object).to_string()
    }

    /// Reads back what [`Arguments::canonical`] wrote: of a use that is on record, whose values were checked then.
    pub(crate) fn recorded(text: &str) -> Option<Self> {
        let object: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
        let values = object.into_iter().map(|(name, value)| Some((name, literal_of_text(&value)?)));
        let arguments = Self(values.collect::<Option<_>>()?);
        (arguments.canonical() == text).then_some(arguments)
    }

    /// The values as the query engine takes them.
    pub(crate) fn scalars(&self) -> Vec<(String, ScalarValue)> {
        self.0.iter().map(|(k, v)| (k.clone(), literal_scalar(v))).collect()
    }
}

/// The text of a literal, for digests.
pub(crate) fn literal_text(literal: &Literal) -> String {
    match literal {
        Literal::Null => "null".to_owned(),
        Literal::Bool(v) => format!("bool:{v}"),
        Literal::Int(v) => format!("int:{v}"),
        Literal::Float(v) => format!("float:{:016x}", v.to_bits()),
        Literal::Date(v) => format!("date:{v}"),
        Literal::Text(v) => format!("text:{v}"),
    }
}

/// The inverse of [`literal_text`].
fn literal_of_text(text: &str) -> Option<Literal> {
    if text == "null" {
        return Some(Literal::Null);
    }
    Some(match text.split_once(':')? {
        ("bool", v) => Literal::Bool(v.parse().ok()?),
        ("int", v) => Literal::Int(v.parse().ok()?),
        ("float", v) => Literal::Float(f64::from_bits(u64::from_str_radix(v, 16).ok()?)),
        ("date", v) => Literal::Date(v.parse().ok()?),
        ("text", v) => Literal::Text(v.to_owned()),
        _ => return None,
    })
}

/// A literal as the query engine takes it.
pub(crate) fn literal_scalar(literal: &Literal) -> ScalarValue {
    match literal {
        Literal::Null => ScalarValue::Null,
        Literal::Bool(v) => ScalarValue::Boolean(Some(*v)),
        Literal::Int(v) => ScalarValue::Int64(Some(*v)),
        Literal::Float(v) => ScalarValue::Float64(Some(*v)),
        Literal::Date(v) => ScalarValue::Date32(Some(*v)),
        Literal::Text(v) => ScalarValue::Utf8(Some(v.clone())),
    }
}

pub(super) fn parameters(
    raw: &BTreeMap<String, RawParameter>,
    sql: &str,
    reasons: &mut Vec<Refusal>,
) -> Vec<Parameter> {
    if raw.len() > super::MAX_NAMES {
        reasons.push(
            Refusal::new("product/list", "参数过多", format!("at most {} parameters", super::MAX_NAMES))
                .at("product.params"),
        );
        return Vec::new();
    }
    let mut parameters = Vec::with_capacity(raw.len());
    for (name, raw) in raw {
        let place = format!("product.params.{name}");
        let well_named = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        let Some(kind) = parameter_kind(raw).filter(|_| well_named) else {
            reasons.push(
                Refusal::new(
                    "product/parameter",
                    "参数须有类型：int、float、date（并给出 min、max），bool，或 text（并给出 values）",
                    "a parameter is an int, float or date (with min and max), a bool, or a text (with values)",
                )
                .at(place),
            );
            continue;
        };
        let mut parameter = Parameter { name: name.clone(), kind, default: None };
        if let Some(default) = &raw.default {
            parameter.default = parameter.read(&toml_text(default));
            if parameter.default.is_none() {
                reasons.push(
                    Refusal::new(
                        "product/parameter-default",
                        "默认值不在声明的范围内",
                        "the default is outside the declared range",
                    )
                    .at(format!("{place}.default")),
                );
            }
        }
        if !mentions(sql, name) {
            reasons.push(
                Refusal::new(
                    "product/parameter-unused",
                    "SQL 中没有用到这个参数",
                    "the SQL does not use this parameter",
                )
                .at(place)
                .hint(format!("在 SQL 中写 ${name}，或删去声明"), format!("write ${name} in the SQL, or remove it")),
            );
        }
        parameters.push(parameter);
    }
    parameters
}

/// Whether `$name` stands in the SQL, not as the beginning of a longer name.
fn mentions(sql: &str, name: &str) -> bool {
    let needle = format!("${name}");
    sql.match_indices(&needle)
        .any(|(at, _)| !sql[at + needle.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
}

pub(super) fn toml_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(s) => s.clone(),
        toml::Value::Datetime(d) => d.to_string(),
        toml::Value::Integer(i) => i.to_string(),
        toml::Value::Float(f) => f.to_string(),
        toml::Value::Boolean(b) => b.to_string(),
        toml::Value::Array(_) | toml::Value::Table(_) => String::new(),
    }
}

fn parameter_kind(raw: &RawParameter) -> Option<ParameterKind> {
    let range = (raw.min.as_ref().map(toml_text), raw.max.as_ref().map(toml_text), raw.values.as_deref());
    match (raw.kind.as_str(), range) {
        ("int", (Some(min), Some(max), None)) => {
            let (min, max): (i64, i64) = (min.parse().ok()?, max.parse().ok()?);
            (min <= max).then_some(ParameterKind::Int { min, max })
        }
        ("float", (Some(min), Some(max), None)) => {
            Some(ParameterKind::Float { range: Interval::new(min.parse().ok()?, max.parse().ok()?)? })
        }
        ("date", (Some(min), Some(max), None)) => {
            let (min, max) = (parse_date(&min)?, parse_date(&max)?);
            (min <= max).then_some(ParameterKind::Date { min, max })
        }
        ("bool", (None, None, None)) => Some(ParameterKind::Bool),
        ("text", (None, None, Some(values))) => {
            let fits = (1..=1000).contains(&values.len()) && values.iter().all(|v| v.len() <= 256);
            fits.then(|| ParameterKind::Text { values: values.to_vec() })
        }
        _ => None,
    }
}
