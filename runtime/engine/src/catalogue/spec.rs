//! A valid catalogue entry.

use super::column::ColumnSpec;
use crate::registry::Digest;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use std::sync::Arc;
use yunei_policy::facts::Scan;
use yunei_policy::words::{ReleaseClass, Text, UnitKind};

/// Who provides a dataset (提供单位).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    pub(super) name: String,
    pub(super) code: String,
}

impl Provider {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its unified social credit code (GB 32100), check character verified.
    pub fn code(&self) -> &str {
        &self.code
    }
}

/// How often a dataset is brought up to date (更新频率).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// `realtime` 实时
    Realtime,
    /// `daily` 每日
    Daily,
    /// `weekly` 每周
    Weekly,
    /// `monthly` 每月
    Monthly,
    /// `quarterly` 每季度
    Quarterly,
    /// `half-yearly` 每半年
    HalfYearly,
    /// `yearly` 每年
    Yearly,
    /// `irregular` 不定期
    Irregular,
    /// `never` 不更新
    Never,
}

impl Update {
    pub(super) const WORDS: [(&'static str, Self); 9] = [
        ("realtime", Self::Realtime),
        ("daily", Self::Daily),
        ("weekly", Self::Weekly),
        ("monthly", Self::Monthly),
        ("quarterly", Self::Quarterly),
        ("half-yearly", Self::HalfYearly),
        ("yearly", Self::Yearly),
        ("irregular", Self::Irregular),
        ("never", Self::Never),
    ];

    /// The word in a catalogue entry.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, v)| *v == self).map_or("", |(w, _)| w)
    }
}

/// Whether others may have a dataset (共享属性, 开放属性).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// `unconditional` 无条件
    Unconditional,
    /// `conditional` 有条件
    Conditional,
    /// `none` 不予
    None,
}

impl Attribute {
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("unconditional", Self::Unconditional), ("conditional", Self::Conditional), ("none", Self::None)];

    /// The word in a catalogue entry.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, v)| *v == self).map_or("", |(w, _)| w)
    }
}

/// An attribute and its conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub(super) attribute: Attribute,
    pub(super) conditions: Option<String>,
}

impl Access {
    /// The attribute.
    pub fn attribute(&self) -> Attribute {
        self.attribute
    }

    /// The conditions, or the ground for `none`; always there where the attribute is conditional.
    pub fn conditions(&self) -> Option<&str> {
        self.conditions.as_deref()
    }
}

/// The grade of the data (GB/T 43697-2024), gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// `core` 核心数据
    Core,
    /// `important` 重要数据
    Important,
    /// `general-4` 一般数据 4 级
    General4,
    /// `general-3` 一般数据 3 级
    General3,
    /// `general-2` 一般数据 2 级
    General2,
    /// `general-1` 一般数据 1 级
    General1,
}

impl Grade {
    pub(super) const WORDS: [(&'static str, Self); 6] = [
        ("core", Self::Core),
        ("important", Self::Important),
        ("general-1", Self::General1),
        ("general-2", Self::General2),
        ("general-3", Self::General3),
        ("general-4", Self::General4),
    ];

    /// The word in a catalogue entry.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, v)| *v == self).map_or("", |(w, _)| w)
    }
}

/// Whom the rows are about, and how far one unit reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    pub(super) kind: UnitKind,
    pub(super) column: usize,
    pub(super) most_rows: u32,
    pub(super) most_groups: Option<u32>,
}

impl Unit {
    /// The kind; `none` where the column is the key of an open table about nobody.
    pub fn kind(&self) -> UnitKind {
        self.kind
    }

    /// The position of the unit column.
    pub fn column(&self) -> usize {
        self.column
    }

    /// At most how many rows a unit has; at least 1; checked on the data at registration.
    pub fn most_rows(&self) -> u32 {
        self.most_rows
    }

    /// At most how many groups a unit touches, `1..=most_rows`; a promise.
    pub fn most_groups(&self) -> Option<u32> {
        self.most_groups
    }
}

/// A valid catalogue entry. Made by [`DatasetSpec::parse`] alone.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSpec {
    pub(super) id: String,
    pub(super) title: Text,
    pub(super) provider: Provider,
    pub(super) files: Vec<String>,
    pub(super) update: Update,
    pub(super) sharing: Access,
    pub(super) opening: Access,
    pub(super) grade: Grade,
    pub(super) unit: Option<Unit>,
    pub(super) release: ReleaseClass,
    pub(super) columns: Vec<ColumnSpec>,
    pub(super) text: String,
    pub(super) digest: Digest,
}

impl DatasetSpec {
    /// Its id: `[a-z][a-z0-9_]{0,62}`, which is also its table name in SQL.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its title.
    pub fn title(&self) -> &Text {
        &self.title
    }

    /// Who provides it.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The file names and patterns; none holds `..`.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Whether a file is named by an absolute path. A holder's own machine takes them, as data seldom lies beside its
    /// entry; whoever takes entries from afar should not.
    pub fn names_absolute_files(&self) -> bool {
        self.files.iter().any(|f| std::path::Path::new(f).is_absolute())
    }

    /// How often it is brought up to date.
    pub fn update(&self) -> Update {
        self.update
    }

    /// The sharing attribute (共享属性).
    pub fn sharing(&self) -> &Access {
        &self.sharing
    }

    /// The opening attribute (开放属性).
    pub fn opening(&self) -> &Access {
        &self.opening
    }

    /// The grade.
    pub fn grade(&self) -> Grade {
        self.grade
    }

    /// Whom the rows are about; `None` where they are about nobody.
    pub fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    /// The kind of unit; `UnitKind::None` where the rows are about nobody.
    pub fn unit_kind(&self) -> UnitKind {
        self.unit.map_or(UnitKind::None, |u| u.kind)
    }

    /// How its aggregates may leave.
    pub fn release(&self) -> ReleaseClass {
        self.release
    }

    /// The columns, in the order of the entry.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&ColumnSpec> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The entry as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The SHA-256 of [`Self::text`].
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// A read of the dataset, as decisions see it.
    pub fn scan(&self) -> Scan {
        Scan {
            dataset: self.id.clone(),
            release: self.release,
            unit_kind: self.unit_kind(),
            unit: self.unit.map(|u| u.column),
            most_rows: self.unit.map(|u| u.most_rows),
            most_groups: self.unit.and_then(|u| u.most_groups),
            columns: self.columns.iter().map(ColumnSpec::facts).collect(),
        }
    }

    /// The schema that queries see: the declared columns in order; nullable where `missing = "null"`.
    pub fn arrow_schema(&self) -> SchemaRef {
        let field = |c: &ColumnSpec| Field::new(&c.name, c.column_type.arrow(), c.nullable);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}
