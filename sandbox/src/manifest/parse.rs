//! The walk over the TOML tree: every key known, every value in range, all reasons at once.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Feature, FeatureType, Kind, Limits, Manifest, Output};
use crate::limits;
use crate::rejection::{Rejection, clean_name};

/// The most steps between `min` and `max`; beyond it a double cannot tell the multiples apart.
const STEPS: f64 = (1_u64 << 50) as f64;
/// The greatest magnitude of a bound: sums of results stay far from the end of the doubles.
const MAGNITUDE: f64 = 1e15;

type Table<'i> = DeTable<'i>;
type Value<'i> = Spanned<DeValue<'i>>;

/// Collects what is wrong and knows on which line an offset lies.
struct Walk<'t> {
    text: &'t str,
    wrong: Vec<Rejection>,
}

/// The table `[model]`.
struct Head {
    id: String,
    version: String,
    kind: Kind,
    file: String,
    export: String,
}

pub(super) fn manifest(text: &str) -> Result<Manifest, Vec<Rejection>> {
    let root = match DeTable::parse(text) {
        Ok(root) => root.into_inner(),
        Err(error) => return Err(vec![syntax(text, error.span())]),
    };
    let mut walk = Walk { text, wrong: Vec::new() };
    let made = walk.root(&root);
    match made {
        Some(manifest) if walk.wrong.is_empty() => Ok(manifest),
        _ => Err(walk.wrong),
    }
}

fn syntax(text: &str, span: Option<Range<usize>>) -> Rejection {
    let rejection = Rejection::new("manifest/syntax", "the manifest is not valid TOML", "模型清单不是有效的 TOML");
    match span {
        Some(span) => rejection.at(format!("line {}", line_of(text, span.start))),
        None => rejection,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let head = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    head.iter().filter(|b| **b == b'\n').count() + 1
}

impl Walk<'_> {
    fn push(
        &mut self,
        code: &'static str,
        key: &str,
        span: &Range<usize>,
        en: impl Into<String>,
        zh: impl Into<String>,
    ) {
        let line = line_of(self.text, span.start);
        self.wrong.push(Rejection::new(code, en, zh).at(format!("{key}, line {line}")));
    }

    fn missing(&mut self, key: &str) {
        self.wrong.push(
            Rejection::new("manifest/missing-key", format!("`{key}` is missing"), format!("缺少 `{key}`")).at(key),
        );
    }

    fn known(&mut self, prefix: &str, table: &Table<'_>, keys: &[&str]) {
        for key in table.keys() {
            if !keys.contains(&key.get_ref().as_ref()) {
                let name = format!("{prefix}{}", clean_name(key.get_ref()));
                let en = format!("`{name}` is not a key of a manifest");
                let zh = format!("模型清单中没有 `{name}` 这一项");
                self.push("manifest/unknown-key", &name, &key.span(), en, zh);
            }
        }
    }

    fn wrong_type(&mut self, key: &str, value: &Value<'_>, en: &str, zh: &str) {
        let en = format!("`{key}` has to be {en}");
        let zh = format!("`{key}` 应为{zh}");
        self.push("manifest/type", key, &value.span(), en, zh);
    }

    fn table<'a, 'i>(&mut self, root: &'a Table<'i>, key: &str) -> Option<&'a Table<'i>> {
        match root.get(key) {
            None => {
                self.missing(&format!("[{key}]"));
                None
            }
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => {
                    self.wrong_type(key, value, "a table", "表");
                    None
                }
            },
        }
    }

    /// A string, with its span; reports its absence when it is required.
    fn string<'a>(&mut self, table: &'a Table<'_>, prefix: &str, key: &str) -> Option<(&'a str, Range<usize>)> {
        let name = format!("{prefix}{key}");
        let Some(value) = table.get(key) else {
            self.missing(&name);
            return None;
        };
        if let DeValue::String(text) = value.get_ref() {
            return Some((text.as_ref(), value.span()));
        }
        self.wrong_type(&name, value, "a string", "字符串");
        None
    }

    /// A finite number of bounded magnitude, written as integer or float.
    fn number(&mut self, table: &Table<'_>, prefix: &str, key: &str) -> Option<Option<f64>> {
        let Some(value) = table.get(key) else {
            return Some(None);
        };
        let name = format!("{prefix}{key}");
        let parsed = match value.get_ref() {
            DeValue::Integer(i) if i.radix() == 10 => i.as_str().parse::<f64>().ok(),
            DeValue::Float(f) => f.as_str().parse::<f64>().ok(),
            _ => {
                self.wrong_type(&name, value, "a number", "数值");
                return None;
            }
        };
        match parsed {
            Some(x) if x.is_finite() && x.abs() <= MAGNITUDE => Some(Some(x)),
            _ => {
                let en = format!("`{name}` has to be finite and at most 1e15 in magnitude");
                let zh = format!("`{name}` 应为绝对值不超过 1e15 的有限数");
                self.push("manifest/range", &name, &value.span(), en, zh);
                None
            }
        }
    }

    fn integer(&mut self, table: &Table<'_>, name: &str, key: &str, max: u64) -> Option<Option<u64>> {
        let Some(value) = table.get(key) else {
            return Some(None);
        };
        let DeValue::Integer(i) = value.get_ref() else {
            self.wrong_type(name, value, "an integer", "整数");
            return None;
        };
        match u64::from_str_radix(i.as_str(), i.radix()) {
            Ok(n) if (1..=max).contains(&n) => Some(Some(n)),
            _ => {
                let en = format!("`{name}` has to lie between 1 and {max}");
                let zh = format!("`{name}` 应在 1 与 {max} 之间");
                self.push("manifest/range", name, &value.span(), en, zh);
                None
            }
        }
    }

    fn root(&mut self, root: &Table<'_>) -> Option<Manifest> {
        self.known("", root, &["model", "feature", "output", "limits"]);
        let model = self.table(root, "model").and_then(|t| self.model(t));
        let features = self.features(root);
        let output = self.table(root, "output").and_then(|t| self.output(t));
        let limits = self.limits(root);
        let Head { id, version, kind, file, export } = model?;
        Some(Manifest { id, version, kind, file, export, features: features?, output: output?, limits: limits? })
    }

    fn model(&mut self, table: &Table<'_>) -> Option<Head> {
        self.known("model.", table, &["id", "version", "kind", "file", "export"]);
        let id = self.named(
            table,
            "model.",
            "id",
            is_id,
            "[a-z0-9-], 1 to 64 characters",
            "1 至 64 个小写字母、数字或连字符",
        );
        let version = self.named(
            table,
            "model.",
            "version",
            is_version,
            "three numbers such as 1.2.0, optionally with a pre-release part",
            "形如 1.2.0 的三段版本号（可带预发布后缀）",
        );
        let file = self.named(
            table,
            "model.",
            "file",
            is_file,
            "a plain file name ending in .wasm or .wat",
            "以 .wasm 或 .wat 结尾的文件名（不含目录）",
        );
        let kind = self
            .named(
                table,
                "model.",
                "kind",
                |k| k == "row" || k == "unit",
                "\"row\" or \"unit\"",
                " \"row\" 或 \"unit\"",
            )
            .map(|k| if k == "row" { Kind::Row } else { Kind::Unit });
        let export = self.export(table, kind);
        Some(Head { id: id?, version: version?, kind: kind?, file: file?, export: export? })
    }

    /// The function of a row model, where it is not `score`.
    fn export(&mut self, table: &Table<'_>, kind: Option<Kind>) -> Option<String> {
        let Some(value) = table.get("export") else {
            return Some("score".to_owned());
        };
        if kind == Some(Kind::Unit) {
            let (en, zh) = (
                "`model.export` is for row models; a unit model exports begin, step and finish",
                "`model.export` 仅用于按行模型；按主体模型导出 begin、step 与 finish",
            );
            self.push("manifest/range", "model.export", &value.span(), en, zh);
            return None;
        }
        let (en, zh) = ("[a-zA-Z0-9_], 1 to 64 characters", "1 至 64 个字母、数字或下划线");
        self.named(table, "model.", "export", is_export, en, zh)
    }

    /// A required string that has to satisfy a test.
    fn named(
        &mut self,
        table: &Table<'_>,
        prefix: &str,
        key: &str,
        test: fn(&str) -> bool,
        en: &str,
        zh: &str,
    ) -> Option<String> {
        let (text, span) = self.string(table, prefix, key)?;
        if test(text) {
            return Some(text.to_owned());
        }
        let name = format!("{prefix}{key}");
        let en = format!("`{name}` has to be {en}");
        let zh = format!("`{name}` 应为{zh}");
        self.push("manifest/name", &name, &span, en, zh);
        None
    }

    fn features(&mut self, root: &Table<'_>) -> Option<Vec<Feature>> {
        let Some(value) = root.get("feature") else {
            self.missing("[[feature]]");
            return None;
        };
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type("feature", value, "a list of tables, [[feature]]", "表的列表，即 [[feature]]");
            return None;
        };
        if !(1..=limits::FEATURES).contains(&array.len()) {
            let en = format!("a model has 1 to {} features", limits::FEATURES);
            let zh = format!("模型应有 1 至 {} 个特征", limits::FEATURES);
            self.push("manifest/features", "feature", &value.span(), en, zh);
            return None;
        }
        let mut features: Vec<Feature> = Vec::with_capacity(array.len());
        let mut complete = true;
        for (i, item) in array.iter().enumerate() {
            let Some(feature) = self.feature(i, item) else {
                complete = false;
                continue;
            };
            if features.iter().any(|f| f.name == feature.name) {
                let key = format!("feature[{i}].name");
                let en = format!("the feature `{}` is declared twice", feature.name);
                let zh = format!("特征 `{}` 重复声明", feature.name);
                self.push("manifest/duplicate-feature", &key, &item.span(), en, zh);
            }
            features.push(feature);
        }
        complete.then_some(features)
    }

    fn feature(&mut self, i: usize, item: &Value<'_>) -> Option<Feature> {
        let prefix = format!("feature[{i}].");
        let DeValue::Table(table) = item.get_ref() else {
            self.wrong_type(&format!("feature[{i}]"), item, "a table", "表");
            return None;
        };
        self.known(&prefix, table, &["name", "type", "missing"]);
        let name = self.named(
            table,
            &prefix,
            "name",
            is_feature,
            "[a-z0-9_], 1 to 64 characters",
            "1 至 64 个小写字母、数字或下划线",
        );
        let feature_type = self
            .named(table, &prefix, "type", |t| type_of(t).is_some(), "f64, f32, i64 or i32", " f64、f32、i64 或 i32")
            .and_then(|t| type_of(&t));
        let missing = self.missing_value(table, &prefix);
        let (name, feature_type, missing) = (name?, feature_type?, missing?);
        if let Some(x) = missing
            && !fits(x, feature_type)
        {
            let key = format!("{prefix}missing");
            let en = format!("`{key}` has to be a value of the type {}", feature_type.as_str());
            let zh = format!("`{key}` 应为 {} 类型的值", feature_type.as_str());
            self.push("manifest/range", &key, &item.span(), en, zh);
            return None;
        }
        Some(Feature { name, feature_type, missing })
    }

    /// What stands for NULL: a finite number, or `nan`.
    fn missing_value(&mut self, table: &Table<'_>, prefix: &str) -> Option<Option<f64>> {
        if let Some(DeValue::Float(f)) = table.get("missing").map(Spanned::get_ref)
            && matches!(f.as_str(), "nan" | "+nan" | "-nan")
        {
            return Some(Some(f64::NAN));
        }
        self.number(table, prefix, "missing")
    }

    fn output(&mut self, table: &Table<'_>) -> Option<Output> {
        self.known("output.", table, &["min", "max", "step", "default"]);
        let min = self.number(table, "output.", "min");
        let max = self.number(table, "output.", "max");
        let step = self.number(table, "output.", "step");
        let default = self.number(table, "output.", "default");
        for (key, value) in [("output.min", min), ("output.max", max), ("output.default", default)] {
            if value == Some(None) {
                self.missing(key);
            }
        }
        let (min, max, default) = (min??, max??, default??);
        let step = step?.unwrap_or(0.0);
        let start = table.get("min").map_or(0..0, Spanned::span);
        let before = self.wrong.len();
        if min > max {
            self.push(
                "manifest/range",
                "output.min",
                &start,
                "`output.min` is greater than `output.max`",
                "`output.min` 大于 `output.max`",
            );
        }
        if step < 0.0 || (step > 0.0 && (max - min) / step > STEPS) {
            self.push(
                "manifest/range",
                "output.step",
                &start,
                "`output.step` has to be zero or positive, with at most 2^50 steps between min and max",
                "`output.step` 应为零或正数，且 min 与 max 之间不超过 2^50 步",
            );
        }
        if !(min..=max).contains(&default) {
            self.push(
                "manifest/range",
                "output.default",
                &start,
                "`output.default` has to lie between min and max",
                "`output.default` 应在 min 与 max 之间",
            );
        }
        (self.wrong.len() == before).then_some(Output { min, max, step, default })
    }

    fn limits(&mut self, root: &Table<'_>) -> Option<Limits> {
        let mut limits = Limits { memory_pages: limits::MEMORY_PAGES_DEFAULT, fuel: limits::FUEL_DEFAULT };
        if root.get("limits").is_none() {
            return Some(limits);
        }
        let table = self.table(root, "limits")?;
        self.known("limits.", table, &["memory_pages", "fuel"]);
        let pages = self.integer(table, "limits.memory_pages", "memory_pages", u64::from(limits::MEMORY_PAGES));
        let fuel = self.integer(table, "limits.fuel", "fuel", limits::FUEL);
        if let Some(pages) = pages? {
            limits.memory_pages = u32::try_from(pages).ok()?;
        }
        if let Some(fuel) = fuel? {
            limits.fuel = fuel;
        }
        Some(limits)
    }
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_export(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_feature(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !text.as_bytes()[0].is_ascii_digit()
}

/// A file beside the manifest: no separator, no hidden file, nothing that a shell or a path treats specially.
fn is_file(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && (text.ends_with(".wasm") || text.ends_with(".wat"))
}

/// Semantic Versioning 2.0.0, §2 and §9: three numbers without leading zeros and an optional
/// pre-release part; build metadata (§10) is left out because it would make two names for one version.
fn is_version(text: &str) -> bool {
    if text.len() > 64 {
        return false;
    }
    let (core, pre) = match text.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (text, None),
    };
    let number = |n: &str| {
        !n.is_empty() && n.len() <= 9 && n.bytes().all(|b| b.is_ascii_digit()) && (n == "0" || !n.starts_with('0'))
    };
    let parts: Vec<&str> = core.split('.').collect();
    let pre_ok = pre.is_none_or(|pre| {
        pre.split('.')
            .all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'))
    });
    parts.len() == 3 && parts.iter().all(|p| number(p)) && pre_ok
}

fn type_of(text: &str) -> Option<FeatureType> {
    [FeatureType::F64, FeatureType::F32, FeatureType::I64, FeatureType::I32].into_iter().find(|t| t.as_str() == text)
}

fn fits(x: f64, feature_type: FeatureType) -> bool {
    match feature_type {
        FeatureType::F64 | FeatureType::F32 => true,
        // Magnitude is bounded by 1e15, so any whole number fits.
        FeatureType::I64 => x.fract() == 0.0,
        FeatureType::I32 => x.fract() == 0.0 && x.abs() <= f64::from(i32::MAX),
    }
}
