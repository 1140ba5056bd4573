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
    ("ends_with", Function::EndsWith),
    ("contains", Function::Contains),
    ("left", Function::Left),
    ("right", Function::Right),
    ("ltrim", Function::TrimStart),
    ("rtrim", Function::TrimEnd),
    ("strpos", Function::Position),
    ("nvl", Function::Coalesce),
];

/// Functions of one row that take a field first, and what their refusals may propose.
const DATE_FUNCTIONS: &[&str] = &["date_part", "date_trunc"];

/// Further functions that may stand above the leaves, where everything is released or open already.
const PUBLIC_FUNCTIONS: &[&str] = &[
    "date_part",
    "date_trunc",
    "to_char",
    "to_date",
    "make_date",
    "cbrt",
    "pi",
    "sin",
    "cos",
    "tan",
    "cot",
    "asin",
    "acos",
    "atan",
    "atan2",
    "sinh",
    "cosh",
    "tanh",
    "degrees",
    "radians",
    "log",
    "gcd",
    "lcm",
    "isnan",
    "iszero",
    "nanvl",
    "nvl2",
    "replace",
    "reverse",
    "initcap",
    "split_part",
    "translate",
    "concat_ws",
    "ascii",
    "octet_length",
    "bit_length",
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
    "approx_median",
    "percentile_cont",
    "approx_percentile_cont",
    "covar_pop",
    "covar_samp",
    "regr_slope",
    "regr_intercept",
    "regr_r2",
    "string_agg",
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

/// What is meant by functions whose names are near to nothing.
const MEANT: &[(&str, &str)] = &[
    ("now", "a date parameter, $today"),
    ("current_date", "a date parameter, $today"),
    ("current_time", "a date parameter, $today"),
    ("current_timestamp", "a date parameter, $today"),
    ("today", "a date parameter, $today"),
    ("regexp_like", "LIKE"),
    ("regexp_match", "LIKE"),
    ("regexp_replace", "substr"),
    ("regexp_count", "LIKE"),
    ("regexp_instr", "strpos"),
    ("date_bin", "date_trunc"),
    ("to_timestamp", "date_trunc"),
    ("to_char", "date_part"),
    ("to_date", "CAST(x AS DATE)"),
    ("extract", "date_part"),
    ("year", "date_part('year', d)"),
    ("month", "date_part('month', d)"),
    ("day", "date_part('day', d)"),
    ("quarter", "date_part('quarter', d)"),
    ("datediff", "d1 - d2"),
    ("md5", "COUNT(DISTINCT unit)"),
    ("sha224", "COUNT(DISTINCT unit)"),
    ("sha256", "COUNT(DISTINCT unit)"),
    ("sha384", "COUNT(DISTINCT unit)"),
    ("sha512", "COUNT(DISTINCT unit)"),
    ("digest", "COUNT(DISTINCT unit)"),
    ("encode", "COUNT(DISTINCT unit)"),
    ("random", "an aggregate: noise is added at the gate"),
    ("uuid", "an aggregate: noise is added at the gate"),
    ("split_part", "substr"),
    ("replace", "CASE"),
    ("if", "CASE"),
    ("iff", "CASE"),
    ("decode", "CASE"),
    ("ifnull", "coalesce"),
    ("isnull", "x IS NULL"),
    ("median", "approx_percentile_cont"),
    ("array_agg", "COUNT(*) with GROUP BY"),
    ("approx_distinct", "COUNT(DISTINCT unit)"),
    ("first_value", "avg"),
    ("last_value", "avg"),
    ("nth_value", "avg"),
    ("string_agg", "COUNT(*) with GROUP BY"),
    ("any_value", "avg"),
    ("mode", "COUNT(*) with GROUP BY"),
    ("group_concat", "COUNT(*) with GROUP BY"),
    ("listagg", "COUNT(*) with GROUP BY"),
    ("skewness", "avg and var_samp"),
    ("kurtosis", "avg and var_samp"),
    ("kurtosis_pop", "avg and var_samp"),
    ("entropy", "COUNT(*) with GROUP BY"),
    ("corr", "avg(x * y), avg(x), avg(y) and their variances"),
    ("covar_samp", "avg(x * y), avg(x), avg(y)"),
    ("covar_pop", "avg(x * y), avg(x), avg(y)"),
];

/// All names that may stand in a product's SQL somewhere.
pub(super) fn is_known(name: &str) -> bool {
    is_public_function(name) || is_public_aggregate(name) || DATE_FUNCTIONS.contains(&name)
}

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

/// Whether an aggregate may stand below a leaf, over one unit's rows.
pub(super) fn is_unit_aggregate(name: &str) -> bool {
    matches!(
        name,
        "count"
            | "sum"
            | "avg"
            | "min"
            | "max"
            | "var"
            | "var_pop"
            | "stddev"
            | "stddev_pop"
            | "median"
            | "percentile_cont"
    )
}

/// The refusal of a function, naming the nearest allowed one.
pub(super) fn not_allowed(name: &str) -> Refusal {
    let known = ROW_FUNCTIONS.iter().map(|(n, _)| *n).chain(DATE_FUNCTIONS.iter().copied());
    let near = MEANT.iter().find(|(n, _)| *n == name).map(|(_, near)| *near);
    let near = near.or_else(|| known.min_by_key(|n| distance(name, n))).unwrap_or_default();
    let shown: String = name.chars().take(64).collect();
    Refusal::new(
        "function/not-allowed",
        format!("函数 {shown} 不允许使用"),
        format!("the function {shown} is not allowed here"),
    )
    .at(shown)
    .hint(format!("最接近的可用写法：{near}"), format!("the nearest that is allowed: {near}"))
}

/// The allowed aggregate that is meant by one that is not, or whose name is nearest.
pub(super) fn nearest_aggregate(name: &str) -> &'static str {
    const ALLOWED: &[&str] = &[
        "count",
        "sum",
        "avg",
        "var_samp",
        "var_pop",
        "stddev_samp",
        "stddev_pop",
        "median",
        "approx_percentile_cont",
    ];
    let meant = MEANT.iter().find(|(n, _)| *n == name).map(|(_, near)| *near);
    meant.unwrap_or_else(|| ALLOWED.iter().copied().min_by_key(|n| distance(name, n)).unwrap_or("count"))
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
