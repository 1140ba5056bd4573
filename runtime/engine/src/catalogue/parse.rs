//! From TOML to a valid entry.

use super::column::ColumnSpec;
use super::columns::column;
use super::document::{Item, Need, Reader, Section};
use super::reasons::shown;
use super::rules::{self, DraftUnit};
use super::scalar::is_credit_code;
use super::spec::{Access, Attribute, DatasetSpec, Grade, Provider, Update};
use super::{MAX_COLUMNS, MAX_ENTRY_BYTES, MAX_PATTERNS, MAX_ROWS_PER_UNIT};
use crate::registry::Digest;
use Need::{Optional, Required};
use std::path::{Component, Path};
use toml::de::DeTable;
use yunei_policy::words::{ReleaseClass, Text, UnitKind};
use yunei_policy::{Refusal, Refused};

// `directory` is read and checked by `yunei_policy::register::Directory` when the entry is handed in.
const DATASET_KEYS: &[&str] = &[
    "id",
    "title",
    "provider",
    "files",
    "format",
    "update",
    "sharing",
    "opening",
    "grade",
    "unit",
    "release",
    "directory",
];

pub(super) const UNIT_KINDS: &[(&str, UnitKind)] =
    &[("natural_person", UnitKind::NaturalPerson), ("legal_person", UnitKind::LegalPerson), ("none", UnitKind::None)];

const RELEASES: &[(&str, ReleaseClass)] =
    &[("personal", ReleaseClass::Personal), ("statistical", ReleaseClass::Statistical), ("open", ReleaseClass::Open)];

impl DatasetSpec {
    /// A catalogue entry from its TOML text (DESIGN §2).
    ///
    /// `files` are names or patterns (`*`, `?`, `[…]`, `**`) with `/` between folders, relative to the entry's own folder;
    /// absolute paths are taken (see [`Self::names_absolute_files`]), `..` is not. `missing` is `"never"` (the default) or
    /// `"null"`. Bounds and domains are public knowledge, never computed from the data.
    ///
    /// # Errors
    /// All the faults at once (at most 100, the rest counted), each with its key path and line.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        if text.len() > MAX_ENTRY_BYTES {
            return Err(Refusal::new(
                "catalogue/too-large",
                "目录条目不能超过 1 MiB",
                "a catalogue entry has at most 1 MiB",
            )
            .into());
        }
        let mut reader = Reader::new(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for error in errors {
                let at = error.span().map_or(0, |s| s.start);
                let detail = shown(error.message());
                reader.fault(
                    Refusal::new(
                        "catalogue/not-toml",
                        format!("不是有效的 TOML（{detail}）"),
                        format!("not valid TOML: {detail}"),
                    ),
                    "",
                    at,
                );
            }
            return Err(refused(reader));
        }
        let root_section = reader.root(&root, &["dataset", "column"]);
        let dataset = reader.section(&root_section, "dataset", DATASET_KEYS, Required);
        let columns = columns(&mut reader, &root_section);
        let spec = dataset.and_then(|dataset| entry(&mut reader, &dataset, columns, text));
        match spec {
            Some(spec) => reader.reasons.unless(spec),
            None => Err(refused(reader)),
        }
    }
}

/// The faults found; where something is missing there is always one.
fn refused(reader: Reader<'_>) -> Refused {
    match reader.reasons.unless(()) {
        Err(refused) => refused,
        Ok(()) => Refusal::new("catalogue/malformed", "目录条目不完整", "the catalogue entry is incomplete").into(),
    }
}

fn columns<'d>(reader: &mut Reader<'d>, root: &Section<'d>) -> Vec<Option<ColumnSpec>> {
    let Some(items) = reader.array(root, "column", MAX_COLUMNS, Required) else { return Vec::new() };
    if items.is_empty() {
        reader.fault(
            Refusal::new("catalogue/no-columns", "至少要有一列", "an entry has at least one column"),
            "column",
            root.start(),
        );
    }
    let columns: Vec<Option<ColumnSpec>> = items.iter().map(|item| column(reader, item)).collect();
    rules::distinct_names(reader, &columns, &items);
    columns
}

fn entry<'d>(
    reader: &mut Reader<'d>,
    dataset: &Section<'d>,
    columns: Vec<Option<ColumnSpec>>,
    text: &str,
) -> Option<DatasetSpec> {
    let id = id(reader, dataset);
    let title = bilingual(reader, dataset, "title", 200, Required);
    let provider = provider(reader, dataset);
    let files = patterns(reader, dataset);
    let _only_parquet = reader.choice(dataset, "format", &[("parquet", ())], Optional);
    let update = reader.choice(dataset, "update", &Update::WORDS, Required);
    let sharing = access(reader, dataset, "sharing", "attribute");
    let opening = access(reader, dataset, "opening", "type");
    let grade = reader.choice(dataset, "grade", &Grade::WORDS, Required);
    let release_item = reader.item(dataset, "release", Required);
    let release = release_item.as_ref().and_then(|item| reader.as_choice(item, RELEASES));
    let unit = unit(reader, dataset);

    let unit = unit.and_then(|draft| rules::unit(reader, draft, &columns));
    if let (Some(unit), Some(release), Some(grade), Some(item)) = (&unit, release, grade, &release_item) {
        rules::release(reader, unit.as_ref(), release, grade, &columns, item);
    }
    Some(DatasetSpec {
        id: id?,
        title: title?,
        provider: provider?,
        files: files?,
        update: update?,
        sharing: sharing?,
        opening: opening?,
        grade: grade?,
        unit: unit?,
        release: release?,
        columns: columns.into_iter().collect::<Option<Vec<_>>>()?,
        text: text.to_owned(),
        digest: Digest::of(text.as_bytes()),
    })
}

fn id<'d>(reader: &mut Reader<'d>, dataset: &Section<'d>) -> Option<String> {
    let (item, id) = reader.string(dataset, "id", Required)?;
    let mut bytes = id.bytes();
    let fine = bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && id.len() <= 63
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !fine {
        reader.fault(
            Refusal::new(
                "catalogue/bad-id",
                "数据集标识须以小写字母开头，只含小写字母、数字和下划线，最长 63 个字符",
                "a dataset's id begins with a lower-case letter and has up to 63 lower-case letters, digits and underscores",
            )
            .hint("它也是 SQL 中的表名", "it is also the table's name in SQL"),
            &item.path,
            item.span.start,
        );
    }
    fine.then(|| id.to_owned())
}

/// A text in both languages.
pub(super) fn bilingual<'d>(
    reader: &mut Reader<'d>,
    parent: &Section<'d>,
    key: &str,
    most: usize,
    need: Need,
) -> Option<Text> {
    let section = reader.section(parent, key, &["zh", "en"], need)?;
    let zh = reader.text(&section, "zh", most, Required);
    let en = reader.text(&section, "en", most, Required);
    Some(Text::new(zh?, en?))
}

fn provider<'d>(reader: &mut Reader<'d>, dataset: &Section<'d>) -> Option<Provider> {
    let section = reader.section(dataset, "provider", &["name", "code"], Required)?;
    let name = reader.text(&section, "name", 200, Required);
    let code = reader.string(&section, "code", Required).and_then(|(item, code)| {
        let fine = is_credit_code(code);
        if !fine {
            reader.fault(
                Refusal::new(
                    "catalogue/bad-code",
                    "不是有效的统一社会信用代码（GB 32100）",
                    "not a valid unified social credit code (GB 32100)",
                )
                .hint(
                    "18 位，大写字母不含 I、O、S、V、Z，末位为校验码",
                    "18 characters, capitals without I, O, S, V and Z, the last one a check character",
                ),
                &item.path,
                item.span.start,
            );
        }
        fine.then(|| code.to_owned())
    });
    Some(Provider { name: name?, code: code? })
}

fn patterns<'d>(reader: &mut Reader<'d>, dataset: &Section<'d>) -> Option<Vec<String>> {
    let items = reader.array(dataset, "files", MAX_PATTERNS, Required)?;
    if items.is_empty() {
        reader.fault(
            Refusal::new("catalogue/no-files", "至少要写一个文件", "name at least one file"),
            &dataset.join("files"),
            dataset.start(),
        );
        return None;
    }
    let patterns: Vec<Option<String>> = items.iter().map(|item| pattern(reader, item)).collect();
    patterns.into_iter().collect()
}

fn pattern<'d>(reader: &mut Reader<'d>, item: &Item<'d>) -> Option<String> {
    let text = reader.as_string(item)?;
    let parts_fine = Path::new(text)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::RootDir | Component::CurDir));
    let fine = !text.is_empty()
        && text.len() <= 1024
        && parts_fine
        && !text.chars().any(|c| c.is_control() || c == '\\')
        && glob::Pattern::new(text).is_ok();
    if !fine {
        reader.fault(
            Refusal::new("catalogue/bad-path", "不是可用的文件名或通配模式", "not a usable file name or pattern").hint(
                "最长 1024 字节，用 `/` 分隔，不能含 `..` 和反斜线",
                "at most 1024 bytes, `/` between folders, no `..`, no backslash",
            ),
            &item.path,
            item.span.start,
        );
    }
    fine.then(|| text.to_owned())
}

fn access<'d>(reader: &mut Reader<'d>, dataset: &Section<'d>, key: &str, word: &str) -> Option<Access> {
    let section = reader.section(dataset, key, &[word, "conditions"], Required)?;
    let attribute = reader.choice(&section, word, &Attribute::WORDS, Required);
    // Conditional access without conditions would say nothing.
    let need = if attribute == Some(Attribute::Conditional) { Required } else { Optional };
    let given = reader.item(&section, "conditions", need).is_some();
    let conditions = if given { reader.text(&section, "conditions", 2_000, Optional) } else { None };
    if (given || need == Required) && conditions.is_none() {
        return None;
    }
    Some(Access { attribute: attribute?, conditions })
}

fn unit<'d>(reader: &mut Reader<'d>, dataset: &Section<'d>) -> Option<DraftUnit<'d>> {
    let keys = ["kind", "column", "most_rows", "most_groups"];
    let section = reader.section(dataset, "unit", &keys, Required)?;
    let kind = reader.choice(&section, "kind", UNIT_KINDS, Required)?;
    // The rows of an open table may be about nobody and still have a key, on which others may join it.
    let has_key = kind == UnitKind::None && reader.item(&section, "column", Optional).is_some();
    if kind == UnitKind::None {
        let without: &[&str] = if has_key { &["most_groups"] } else { &["most_rows", "most_groups"] };
        for key in without.iter().copied() {
            if let Some(item) = reader.item(&section, key, Optional) {
                reader.fault(
                    Refusal::new(
                        "catalogue/unit-none",
                        format!("没有数据主体（`none`）时不能写 `{key}`"),
                        format!("`{key}` has no meaning where the kind of unit is `none`"),
                    ),
                    &item.path,
                    item.span.start,
                );
            }
        }
        if !has_key {
            return Some(DraftUnit::None);
        }
    }
    let column = reader.string(&section, "column", Required);
    let most_rows = reader.count(&section, "most_rows", 1, MAX_ROWS_PER_UNIT, Required);
    let groups_given = reader.item(&section, "most_groups", Optional);
    let most_groups = reader.count(&section, "most_groups", 1, most_rows.unwrap_or(MAX_ROWS_PER_UNIT), Optional);
    if groups_given.is_some() && most_groups.is_none() {
        return None;
    }
    let (item, column) = column?;
    Some(DraftUnit::Of { kind, column: column.to_owned(), item, most_rows: most_rows?, most_groups })
}
