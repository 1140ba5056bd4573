//! The words of the domain that every decision is made of (DESIGN §2).

use serde::{Deserialize, Serialize};
use std::fmt;

/// A language that people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// Chinese.
    Zh,
    /// English.
    #[default]
    En,
}

/// A text for people, in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Text {
    /// A text from its Chinese and English forms.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// The form in `lang`.
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.zh,
            Lang::En => &self.en,
        }
    }
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// 数据提供单位: registers datasets.
    Holder,
    /// 运营机构: submits models and products, runs aggregate products.
    Operator,
    /// 企业 (核验需求方): sends verification requests.
    Business,
    /// 数据主管部门: approves, grants, suspends, audits.
    Authority,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Holder => "holder",
            Role::Operator => "operator",
            Role::Business => "business",
            Role::Authority => "authority",
        })
    }
}

/// The part of the authority's staff (三员分立): none can do another's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Office {
    /// 系统管理员: enters institutions, keeps the service and its credentials.
    System,
    /// 安全管理员: approves, registers, grants, suspends, resumes.
    Security,
    /// 审计管理员: reads the log, replays runs.
    Audit,
}

impl Office {
    /// All of them.
    pub const ALL: [Office; 3] = [Office::System, Office::Security, Office::Audit];

    /// The word in the store, in policies and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Office::System => "system",
            Office::Security => "security",
            Office::Audit => "audit",
        }
    }
}

/// Where a dataset, model, product or grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Handed in, not yet usable.
    Submitted,
    /// Usable.
    Approved,
    /// Not usable until the authority resumes it.
    Suspended,
    /// Never usable again.
    Retired,
    /// Handed in and declined, with reasons: to be handed in again, changed.
    Declined,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Submitted => "submitted",
            State::Approved => "approved",
            State::Suspended => "suspended",
            State::Retired => "retired",
            State::Declined => "declined",
        })
    }
}

/// Whom a row is about (数据主体).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// 自然人.
    NaturalPerson,
    /// 法人.
    LegalPerson,
    /// Nobody: the dataset has no unit column.
    None,
}

/// How a dataset's aggregates may leave (发布类别), strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseClass {
    /// Differential privacy.
    Personal,
    /// Statistical disclosure control.
    Statistical,
    /// As they are.
    Open,
}

/// What a column says about its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnClass {
    /// Names the unit by itself.
    DirectIdentifier,
    /// Names the unit together with others.
    QuasiIdentifier,
    /// What the unit would not have known.
    Sensitive,
    /// Anything else.
    Attribute,
}

/// What a column may be used for (用途); what is not listed is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Usage {
    /// In a row condition.
    Filter,
    /// As a group key.
    Group,
    /// As an input of a model.
    Feature,
    /// Inside an aggregate.
    Aggregate,
    /// As a join key.
    Join,
    /// In a verification.
    Verify,
}

impl Usage {
    /// The word as it is written in a catalogue entry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Usage::Filter => "filter",
            Usage::Group => "group",
            Usage::Feature => "feature",
            Usage::Aggregate => "aggregate",
            Usage::Join => "join",
            Usage::Verify => "verify",
        }
    }
}

impl Usage {
    /// The word for people who read Chinese, with the word of the catalogue entry.
    pub const fn zh(self) -> &'static str {
        match self {
            Usage::Filter => "筛选（filter）",
            Usage::Group => "分组（group）",
            Usage::Feature => "模型输入（feature）",
            Usage::Aggregate => "聚合（aggregate）",
            Usage::Join => "连接（join）",
            Usage::Verify => "核验（verify）",
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
