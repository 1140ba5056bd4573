//! Which of DataFusion's functions may stand where. What is not in these tables is refused by name.

use yunei_policy::Refusal;
use yunei_policy::facts::Function;

/// Functions of one row that may stand below a private leaf, by DataFusion's name.
const ROW_FUNCTIONS: &[(&str, Function)] = &[
    ("abs", Function::Abs),
    ("ceil", Function::Ceil),
    ("floor", Function::Floor),
    ("round", Function::Round),
    ("trunc", Function::Trunc),
    ("sqrt", Function::Sqrt),
    ("exp", Function::Exp),
    ("ln", Function::Ln),
    ("log10", Function::Log10),
    ("log2", Function::Log2),
    ("power", Function::Power),
    ("signum", Function::Signum),
    (crate::functions::CLAMP, Function::Clamp),
    ("least", Function::Least),
    ("greatest", Function::Greatest),
    ("coalesce", Function::Coalesce),
    ("nullif", Function::NullIf),
    (crate::functions::WIDTH_BUCKET, Function::WidthBucket),
    ("lower", Function::Lower),
    ("upper", Function::Upper),
    ("btrim", Function::Trim),
    ("character_length", Function::CharacterLength),
    ("substr", Function::Substring),
    ("concat", Function::Concat),
    ("starts_with", Function::StartsWith),
];

/// Further functions that may stand above the leaves, where everything is released or open already.
const PUBLIC_FUNCTIONS: &[&str] = &[
    "date_part",
    "date_trunc",
    "cbrt",
    "pi",
    "sin",
    "cos",
    "tan",
    "atan2",
    "degrees",
    "radians",
    "left",
    "right",
    "strpos",
    "ltrim",
    "rtrim",
    "to_char",
    "nvl",
    "ifnull",
    "isnan",
    "iszero",
    "nanvl",
    "log",
];

/// Aggregates and window functions that may stand above the leaves.
const PUBLIC_AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "var",
    "var_pop",
    "stddev",
    "stddev_pop",
    "median",
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
    "corr",
    "grouping",
    "bool_and",
    "bool_or",
];

/// The function of one row, where it is allowed below a leaf. `date_part` is told apart by its field.
pub(super) fn row_function(name: &str) -> Option<Function> {
    ROW_FUNCTIONS.iter().find(|(n, _)| *n == name).map(|(_, f)| *f)
}

/// Whether a scalar function may stand above the leaves.
pub(super) fn is_public_function(name: &str) -> bool {
    PUBLIC_FUNCTIONS.contains(&name) || row_function(name).is_some()
}

/// Whether an aggregate or window function may stand above the leaves.
pub(super) fn is_public_aggregate(name: &str) -> bool {
    PUBLIC_AGGREGATES.contains(&name)
}

/// The refusal of a function, naming the nearest allowed one.
pub(super) fn not_allowed(name: &str) -> Refusal {
    let near = ROW_FUNCTIONS.iter().map(|(n, _)| *n).min_by_key(|n| distance(name, n)).unwrap_or_default();
    let shown: String = name.chars().take(64).collect();
    Refusal::new(
        "function/not-allowed",
        format!("函数 {shown} 不允许使用"),
        format!("the function {shown} is not allowed here"),
    )
    .at(shown)
    .hint(format!("最接近的可用函数：{near}"), format!("the nearest allowed function is {near}"))
}

/// Levenshtein's distance over at most 64 characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest() {
        assert_eq!(distance("kitten", "sitting"), 3);
        let refusal = not_allowed("flor");
        assert!(refusal.advice().is_some_and(|h| h.en.ends_with("floor")));
    }
}
