//! The core elements of a directory entry (政务信息资源目录核心元数据), of datasets and of products.
//!
//! Category, name, code, provider, provider's code, summary, format, items, sharing attribute, opening attribute, update
//! cycle, date, related codes: thirteen. What the catalogue entry or the product's manifest says already is not asked
//! again; the rest stands in its optional table `directory`, and has a default.

use crate::refusal::{Refusal, Refused};
use crate::scan::personal_data;
use crate::words::Text;
use crate::workdays::parse_day;
use serde::{Deserialize, Serialize};

/// The longest text of a directory table, in characters.
pub const MAX_DIRECTORY_TEXT: usize = 2_000;
/// The most related codes.
const MAX_RELATED: usize = 100;
/// The highest fee cap, yuan: a hundred billion.
const MAX_FEE_CAP: u64 = 100_000_000_000;

/// The class of a directory entry (资源分类).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// 基础信息资源.
    Base,
    /// 主题信息资源.
    Theme,
    /// 部门信息资源.
    #[default]
    Department,
}

/// How a price is found (价格形成).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PriceClass {
    /// 无偿: for public administration and public benefit.
    #[default]
    Free,
    /// 政府指导价: up to the cap that the authority sets.
    Guided,
    /// 市场调节价.
    Market,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    category: Category,
    code: Option<String>,
    summary: Option<Text>,
    date: Option<String>,
    #[serde(default)]
    related: Vec<String>,
    price: Option<RawPrice>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    class: PriceClass,
    cap_yuan: Option<u64>,
}

#[derive(Deserialize)]
struct Document {
    dataset: Option<Part>,
    product: Option<Part>,
}

#[derive(Deserialize)]
struct Part {
    directory: Option<toml::Value>,
}

/// The `directory` table of a catalogue entry or a product's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    category: Category,
    code: Option<String>,
    summary: Option<Text>,
    date: Option<String>,
    related: Vec<String>,
    price: PriceClass,
    fee_cap_yuan: Option<u64>,
}

impl Directory {
    /// The table in a TOML document whose other parts are read elsewhere; the defaults where there is none.
    ///
    /// # Errors
    /// `directory/…` with every reason.
    pub fn of_document(text: &str) -> Result<Self, Refused> {
        let document: Document = toml::from_str(text).map_err(|e| malformed(e.message()))?;
        let part = document.dataset.or(document.product);
        let Some(table) = part.and_then(|p| p.directory) else { return Ok(Self::default()) };
        let raw: Raw = table.try_into().map_err(|e: toml::de::Error| malformed(e.message()))?;
        raw.check()
    }

    /// How the price is found.
    pub fn price(&self) -> PriceClass {
        self.price
    }

    /// The most that may be charged for one use, yuan; under `guided` there is always one.
    pub fn fee_cap_yuan(&self) -> Option<u64> {
        self.fee_cap_yuan
    }
}

impl Raw {
    fn check(self) -> Result<Directory, Refused> {
        let mut reasons = Vec::new();
        let mut text = |name: &str, text: &str, most: usize| {
            let count = text.chars().count();
            if !(1..=most).contains(&count) || text.trim().is_empty() || text.chars().any(char::is_control) {
                reasons.push(
                    Refusal::new(
                        "directory/text",
                        format!("须为 1 到 {most} 字，不含控制字符"),
                        format!("takes 1 to {most} characters, no control characters"),
                    )
                    .at(name),
                );
            }
        };
        if let Some(code) = &self.code {
            text("directory.code", code, 64);
        }
        if let Some(summary) = &self.summary {
            text("directory.summary.zh", &summary.zh, MAX_DIRECTORY_TEXT);
            text("directory.summary.en", &summary.en, MAX_DIRECTORY_TEXT);
        }
        for related in self.related.iter().take(MAX_RELATED) {
            text("directory.related", related, 64);
        }
        if self.related.len() > MAX_RELATED {
            reasons.push(
                Refusal::new(
                    "directory/too-many",
                    format!("关联代码最多 {MAX_RELATED} 个"),
                    format!("there are at most {MAX_RELATED} related codes"),
                )
                .at("directory.related"),
            );
        }
        let summaries = self.summary.iter().flat_map(|s| [&s.zh, &s.en]);
        if summaries.into_iter().any(|s| !personal_data(s).is_empty()) {
            reasons.push(
                Refusal::new(
                    "directory/personal",
                    "摘要中含有个人或企业的号码",
                    "the summary holds a number of a person or a firm",
                )
                .at("directory.summary"),
            );
        }
        if self.date.as_deref().is_some_and(|d| parse_day(d).is_none()) {
            reasons.push(
                Refusal::new("directory/date", "日期写作 YYYY-MM-DD", "a date is YYYY-MM-DD").at("directory.date"),
            );
        }
        let (price, cap) = self.price.map_or((PriceClass::Free, None), |p| (p.class, p.cap_yuan));
        let fits = match (price, cap) {
            (PriceClass::Free, None) | (PriceClass::Market, _) => true,
            (PriceClass::Free, Some(_)) | (PriceClass::Guided, None) => false,
            (PriceClass::Guided, Some(_)) => true,
        };
        if !fits || cap.is_some_and(|c| c > MAX_FEE_CAP) {
            reasons.push(
                Refusal::new(
                    "directory/price",
                    "政府指导价须有上限 cap_yuan，无偿的没有上限；上限不超过一千亿元",
                    "a guided price has a cap (cap_yuan), a free one has none; a cap is at most 100,000,000,000",
                )
                .at("directory.price"),
            );
        }
        let directory = Directory {
            category: self.category,
            code: self.code,
            summary: self.summary,
            date: self.date,
            related: self.related,
            price,
            fee_cap_yuan: cap,
        };
        Refused::unless(reasons, directory)
    }
}

/// The thirteen elements, complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elements {
    /// 1 资源分类.
    pub category: Category,
    /// 2 名称.
    pub name: Text,
    /// 3 代码.
    pub code: String,
    /// 4 提供方.
    pub provider: String,
    /// 5 提供方代码.
    pub provider_code: String,
    /// 6 摘要.
    pub summary: Text,
    /// 7 格式.
    pub format: String,
    /// 8 信息项: names of columns, never values.
    pub items: Vec<String>,
    /// 9 共享属性.
    pub sharing: String,
    /// 10 开放属性.
    pub opening: String,
    /// 11 更新周期.
    pub update: String,
    /// 12 发布日期, `YYYY-MM-DD`.
    pub date: String,
    /// 13 关联资源代码.
    pub related: Vec<String>,
}

impl Elements {
    /// Puts what the `directory` table says over the elements found elsewhere.
    #[must_use]
    pub fn with(mut self, directory: &Directory) -> Self {
        self.category = directory.category;
        if let Some(code) = &directory.code {
            self.code.clone_from(code);
        }
        if let Some(summary) = &directory.summary {
            self.summary = summary.clone();
        }
        if let Some(date) = &directory.date {
            self.date.clone_from(date);
        }
        self.related.extend(directory.related.iter().cloned());
        self
    }
}

fn malformed(why: &str) -> Refusal {
    Refusal::new(
        "directory/malformed",
        format!("目录要素无法解析：{why}"),
        format!("the directory table does not parse: {why}"),
    )
    .at("directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(table: &str) -> Vec<&'static str> {
        let text = format!("[dataset]\nid = \"d\"\n[dataset.directory]\n{table}");
        Directory::of_document(&text).map_or_else(|refused| refused.codes(), |_| Vec::new())
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let none = Directory::of_document("[product]\nid = \"p\"\n").unwrap();
        assert_eq!(none, Directory::default());
        assert_eq!((none.price(), none.fee_cap_yuan()), (PriceClass::Free, None));
    }

    #[test]
    fn every_fault_at_once_and_every_bound() {
        assert!(codes("category = \"theme\"\ncode = \"A\"\ndate = \"2026-11-26\"\nrelated = [\"B\"]\n").is_empty());
        assert!(codes("price = { class = \"guided\", cap_yuan = 100000000000 }").is_empty());
        assert_eq!(codes("price = { class = \"guided\", cap_yuan = 100000000001 }"), ["directory/price"]);
        assert_eq!(codes("price = { class = \"guided\" }"), ["directory/price"]);
        assert_eq!(codes("price = { class = \"free\", cap_yuan = 1 }"), ["directory/price"]);
        assert_eq!(codes("price = { class = \"dear\" }"), ["directory/malformed"]);
        assert_eq!(codes("colour = 1"), ["directory/malformed"]);
        assert_eq!(codes("date = \"2026-13-01\"\ncode = \"\""), ["directory/text", "directory/date"]);
        let summary = |n: usize| format!("summary = {{ zh = \"{}\", en = \"x\" }}", "字".repeat(n));
        assert!(codes(&summary(MAX_DIRECTORY_TEXT)).is_empty());
        assert_eq!(codes(&summary(MAX_DIRECTORY_TEXT + 1)), ["directory/text"]);
        assert_eq!(codes("summary = { zh = \"11010519491231002X\", en = \"x\" }"), ["directory/personal"]);
        let related = |n: usize| format!("related = [{}]", vec!["\"r\""; n].join(","));
        assert!(codes(&related(100)).is_empty());
        assert_eq!(codes(&related(101)), ["directory/too-many"]);
    }
}
