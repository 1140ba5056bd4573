//! One `[[column]]` of a catalogue entry.

use super::MAX_VALUES;
use super::column::{Bounds, ColumnSpec, ColumnType, Domain, EXACT, TYPE_WORDS};
use super::document::{Item, Need, Reader, Section, integer};
use super::parse::bilingual;
use super::reasons::shown;
use super::scalar;
use Need::{Optional, Required};
use std::collections::{BTreeSet, HashSet};
use toml::de::DeValue;
use yunei_policy::Refusal;
use yunei_policy::words::{ColumnClass, Usage};

const CLASSES: &[(&str, ColumnClass)] = &[
    ("direct_identifier", ColumnClass::DirectIdentifier),
    ("quasi_identifier", ColumnClass::QuasiIdentifier),
    ("sensitive", ColumnClass::Sensitive),
    ("attribute", ColumnClass::Attribute),
];

const USAGES: &[(&str, Usage)] = &[
    ("filter", Usage::Filter),
    ("group", Usage::Group),
    ("feature", Usage::Feature),
    ("aggregate", Usage::Aggregate),
    ("join", Usage::Join),
    ("verify", Usage::Verify),
];

const COLUMN_KEYS: &[&str] = &["name", "type", "class", "usages", "meaning", "min", "max", "values", "missing"];

/// Reads one column; `None` where it has a fault, which is then among the reader's reasons.
pub(super) fn column<'d>(reader: &mut Reader<'d>, item: &Item<'d>) -> Option<ColumnSpec> {
    let mut section = reader.as_section(item, COLUMN_KEYS)?;
    let name = name(reader, &section);
    if let Some(name) = &name {
        section.path = format!("column.{name}");
    }
    let column_type = column_type(reader, &section);
    let class = reader.choice(&section, "class", CLASSES, Required);
    let usages = usages(reader, &section);
    let meaning = bilingual(reader, &section, "meaning", 500, Optional);
    let missing = reader.choice(&section, "missing", &[("never", false), ("null", true)], Optional);
    let limits = column_type.and_then(|t| Some((bounds(reader, &section, t).ok()?, domain(reader, &section, t).ok()?)));
    if let (Some(ColumnClass::DirectIdentifier), Some(usages)) = (class, &usages) {
        identifier_usages(reader, &section, usages);
    }
    let (bounds, domain) = limits?;
    within(reader, &section, bounds, domain.as_ref());
    Some(ColumnSpec {
        name: name?,
        column_type: column_type?,
        class: class?,
        usages: usages?,
        meaning,
        bounds,
        domain,
        nullable: missing.unwrap_or(false),
    })
}

fn name<'d>(reader: &mut Reader<'d>, section: &Section<'d>) -> Option<String> {
    let (item, name) = reader.string(section, "name", Required)?;
    let fine = !name.is_empty()
        && name.chars().count() <= 128
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || matches!(c, '"' | '`' | '\'' | '\\' | '.' | '$'));
    if !fine {
        reader.fault(
            Refusal::new(
                "catalogue/bad-name",
                "列名须为 1 至 128 个字符，首尾不能有空格，不能含引号、反斜线、点、`$` 和控制字符",
                "a column's name has 1 to 128 characters, no blanks at its ends, no quotes, backslash, point, `$` or control characters",
            ),
            &item.path,
            item.span.start,
        );
    }
    fine.then(|| name.to_owned())
}

fn column_type<'d>(reader: &mut Reader<'d>, section: &Section<'d>) -> Option<ColumnType> {
    let (item, word) = reader.string(section, "type", Required)?;
    let found = ColumnType::from_word(word);
    if found.is_none() {
        reader.fault(
            Refusal::new(
                "catalogue/bad-choice",
                format!("`{}` 不是列类型", shown(word)),
                format!("`{}` is not a column type", shown(word)),
            )
            .hint(format!("可用的类型：{TYPE_WORDS}"), format!("one of {TYPE_WORDS}")),
            &item.path,
            item.span.start,
        );
    }
    found
}

fn usages<'d>(reader: &mut Reader<'d>, section: &Section<'d>) -> Option<BTreeSet<Usage>> {
    let items = reader.array(section, "usages", USAGES.len(), Required)?;
    let mut usages = BTreeSet::new();
    for item in &items {
        let usage = reader.as_choice(item, USAGES)?;
        if !usages.insert(usage) {
            reader.fault(
                Refusal::new(
                    "catalogue/duplicate",
                    format!("用途 `{usage}` 重复"),
                    format!("the usage `{usage}` stands twice"),
                ),
                &item.path,
                item.span.start,
            );
        }
    }
    Some(usages)
}

fn identifier_usages<'d>(reader: &mut Reader<'d>, section: &Section<'d>, usages: &BTreeSet<Usage>) {
    for usage in usages.iter().filter(|u| !matches!(u, Usage::Join | Usage::Verify)) {
        reader.fault(
            Refusal::new(
                "catalogue/identifier-usage",
                format!("直接标识符不能用于 `{usage}`"),
                format!("a direct identifier must not be used for `{usage}`"),
            )
            .hint("直接标识符只能用于 join 和 verify", "a direct identifier may be used for join and verify"),
            &section.join("usages"),
            section.start(),
        );
    }
}

/// A fault was found and told.
struct Told;

fn bad_bounds<'d>(reader: &mut Reader<'d>, item: &Item<'d>, zh: &str, en: &str) -> Told {
    reader.fault(Refusal::new("catalogue/bad-bounds", zh, en), &item.path, item.span.start);
    Told
}

fn bounds<'d>(reader: &mut Reader<'d>, section: &Section<'d>, of: ColumnType) -> Result<Option<Bounds>, Told> {
    let (min, max) = match (reader.item(section, "min", Optional), reader.item(section, "max", Optional)) {
        (None, None) => return Ok(None),
        (Some(min), Some(max)) => (min, max),
        (Some(one), None) | (None, Some(one)) => {
            return Err(bad_bounds(reader, &one, "`min` 与 `max` 须同时给出", "`min` and `max` come together"));
        }
    };
    let (bounds, ordered) = match of {
        ColumnType::Bool | ColumnType::Utf8 => {
            let (zh, en) = (format!("类型 {of} 没有上下界"), format!("the type {of} has no bounds"));
            return Err(bad_bounds(reader, &min, &zh, &en));
        }
        ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => {
            let ends = (end(reader, &min, of, int_end), end(reader, &max, of, int_end));
            let (lo, hi) = (ends.0?, ends.1?);
            (Bounds::Int(lo, hi), lo <= hi)
        }
        ColumnType::Float32 | ColumnType::Float64 => {
            let ends = (end(reader, &min, of, float_end), end(reader, &max, of, float_end));
            let (lo, hi) = (ends.0?, ends.1?);
            (Bounds::Float(lo, hi), lo <= hi)
        }
        ColumnType::Decimal { .. } => {
            let ends = (end(reader, &min, of, decimal_end), end(reader, &max, of, decimal_end));
            let (lo, hi) = (ends.0?, ends.1?);
            (Bounds::Decimal(lo, hi), lo <= hi)
        }
        ColumnType::Date32 => {
            let ends = (end(reader, &min, of, date_end), end(reader, &max, of, date_end));
            let (lo, hi) = (ends.0?, ends.1?);
            (Bounds::Date(lo, hi), lo <= hi)
        }
    };
    if ordered {
        return Ok(Some(bounds));
    }
    Err(bad_bounds(reader, &min, "`min` 不能大于 `max`", "`min` must not be greater than `max`"))
}

/// One end, read by `read`; where that fails the fault says what is expected.
fn end<'d, T>(
    reader: &mut Reader<'d>,
    item: &Item<'d>,
    of: ColumnType,
    read: fn(&DeValue<'d>, ColumnType) -> Option<T>,
) -> Result<T, Told> {
    read(item.value, of).ok_or_else(|| {
        let (zh, en) = match of {
            ColumnType::Date32 => ("须为 `YYYY-MM-DD` 形式的日期".to_owned(), "must be a date `YYYY-MM-DD`".to_owned()),
            ColumnType::Int64 => ("须为 ±2^53 以内的整数".to_owned(), "must be a whole number within ±2^53".to_owned()),
            ColumnType::Decimal { .. } => (
                format!("须为不带指数、能由 {of} 精确表示的数"),
                format!("must be a number without exponent that {of} holds exactly"),
            ),
            ColumnType::Float32 | ColumnType::Float64 => {
                (format!("须为 {of} 能表示的数"), format!("must be a number that {of} holds"))
            }
            _ => (format!("须为 {of} 能表示的整数"), format!("must be a whole number that {of} holds")),
        };
        bad_bounds(reader, item, &zh, &en)
    })
}

fn int_end(value: &DeValue<'_>, of: ColumnType) -> Option<i64> {
    let number = integer(value)?.ok()?;
    let (lo, hi) = of.integer_range()?;
    ((lo..=hi).contains(&number) && number.unsigned_abs() <= EXACT).then_some(number)
}

fn float_end(value: &DeValue<'_>, of: ColumnType) -> Option<f64> {
    let number = match integer(value) {
        Some(whole) => {
            let whole = whole.ok()?;
            (whole.unsigned_abs() <= EXACT).then_some(whole as f64)?
        }
        None => value.as_float()?.as_str().parse().ok()?,
    };
    // Data of a float32 column is compared as float32, so that a bound of 0.1 takes the float32 written as 0.1.
    let held = if of == ColumnType::Float32 { f64::from(number as f32) } else { number };
    held.is_finite().then_some(held)
}

fn decimal_end(value: &DeValue<'_>, of: ColumnType) -> Option<i128> {
    let ColumnType::Decimal { precision, scale } = of else { return None };
    let unscaled = match integer(value) {
        Some(whole) => scalar::decimal(&whole.ok()?.to_string(), scale)?,
        None => scalar::decimal(value.as_float()?.as_str(), scale)?,
    };
    // 10^38 fits i128.
    (unscaled.unsigned_abs() < 10u128.pow(precision.into())).then_some(unscaled)
}

fn date_end(value: &DeValue<'_>, _: ColumnType) -> Option<i32> {
    match value.as_datetime() {
        Some(date) => scalar::date(&date.to_string()),
        None => scalar::date(value.as_str()?),
    }
}

fn domain<'d>(reader: &mut Reader<'d>, section: &Section<'d>, of: ColumnType) -> Result<Option<Domain>, Told> {
    if reader.item(section, "values", Optional).is_none() {
        return Ok(None);
    }
    let items = reader.array(section, "values", MAX_VALUES, Optional).ok_or(Told)?;
    let fault = |reader: &mut Reader<'d>, zh: String, en: String| {
        reader.fault(Refusal::new("catalogue/bad-values", zh, en), &section.join("values"), section.start());
        Told
    };
    if items.is_empty() {
        return Err(fault(reader, "取值表不能为空".into(), "a list of values is not empty".into()));
    }
    let domain = match of {
        ColumnType::Utf8 => {
            Domain::Text(members(reader, &items, of, |v| v.as_str().filter(|s| s.len() <= 1024).map(str::to_owned))?)
        }
        ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => {
            let (lo, hi) = of.integer_range().unwrap_or((0, 0));
            Domain::Int(members(reader, &items, of, |v| integer(v)?.ok().filter(|n| (lo..=hi).contains(n)))?)
        }
        ColumnType::Date32 => Domain::Date(members(reader, &items, of, |v| date_end(v, of))?),
        _ => {
            return Err(fault(
                reader,
                format!("类型 {of} 不能有取值表"),
                format!("the type {of} takes no list of values"),
            ));
        }
    };
    Ok(Some(domain))
}

fn members<'d, T: Clone + Eq + std::hash::Hash>(
    reader: &mut Reader<'d>,
    items: &[Item<'d>],
    of: ColumnType,
    read: impl Fn(&DeValue<'d>) -> Option<T>,
) -> Result<Vec<T>, Told> {
    let mut seen = HashSet::with_capacity(items.len());
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        match read(item.value) {
            Some(value) if seen.insert(value.clone()) => values.push(value),
            Some(_) => reader.fault(
                Refusal::new("catalogue/duplicate", "取值重复", "this value stands twice"),
                &item.path,
                item.span.start,
            ),
            None => reader.fault(
                Refusal::new(
                    "catalogue/bad-values",
                    format!("取值须为 {of} 类型（文字最长 1024 字节，日期写作 `YYYY-MM-DD`）"),
                    format!("a value must be of the type {of} (a text of at most 1024 bytes, a date as `YYYY-MM-DD`)"),
                ),
                &item.path,
                item.span.start,
            ),
        }
    }
    if values.len() == items.len() { Ok(values) } else { Err(Told) }
}

/// A domain must lie within the bounds.
fn within<'d>(reader: &mut Reader<'d>, section: &Section<'d>, bounds: Option<Bounds>, domain: Option<&Domain>) {
    let fits = match (bounds, domain) {
        (Some(Bounds::Int(lo, hi)), Some(Domain::Int(values))) => values.iter().all(|v| (lo..=hi).contains(v)),
        (Some(Bounds::Date(lo, hi)), Some(Domain::Date(values))) => values.iter().all(|v| (lo..=hi).contains(v)),
        _ => true,
    };
    if !fits {
        reader.fault(
            Refusal::new(
                "catalogue/bad-values",
                "取值表中有超出上下界的值",
                "the list of values goes beyond the bounds",
            ),
            &section.join("values"),
            section.start(),
        );
    }
}
