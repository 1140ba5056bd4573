//! What must hold between the parts of an entry.

use super::column::{ColumnSpec, ColumnType};
use super::document::{Item, Reader};
use super::reasons::shown;
use super::spec::{Grade, Unit};
use std::collections::HashSet;
use yunei_policy::Refusal;
use yunei_policy::words::{ColumnClass, ReleaseClass, UnitKind};

/// A unit whose column is still a name.
#[derive(Debug)]
pub(super) enum DraftUnit<'d> {
    None,
    Of { kind: UnitKind, column: String, item: Item<'d>, most_rows: u32, most_groups: Option<u32> },
}

/// No two columns have names that differ in case alone: SQL could not tell them apart.
pub(super) fn distinct_names<'d>(reader: &mut Reader<'d>, columns: &[Option<ColumnSpec>], items: &[Item<'d>]) {
    let mut seen = HashSet::with_capacity(columns.len());
    for (column, item) in columns.iter().zip(items) {
        let Some(column) = column else { continue };
        if !seen.insert(column.name.to_lowercase()) {
            reader.fault(
                Refusal::new(
                    "catalogue/duplicate",
                    format!("列名 `{}` 重复（不区分大小写）", column.name),
                    format!("the column `{}` stands twice (case does not count)", column.name),
                ),
                &item.path,
                item.span.start,
            );
        }
    }
}

/// The unit with its column found: `Some(None)` where there is no unit, `None` where there is a fault.
pub(super) fn unit(
    reader: &mut Reader<'_>,
    draft: DraftUnit<'_>,
    columns: &[Option<ColumnSpec>],
) -> Option<Option<Unit>> {
    let DraftUnit::Of { kind, column, item, most_rows, most_groups } = draft else { return Some(None) };
    let found = columns.iter().enumerate().find_map(|(i, c)| c.as_ref().filter(|c| c.name == column).map(|c| (i, c)));
    let Some((position, spec)) = found else {
        // A column with faults of its own, or a list that could not be read, may hold the one that is meant.
        if !columns.is_empty() && columns.iter().all(Option::is_some) {
            let fault = Refusal::new(
                "catalogue/absent-unit",
                format!("主体列 `{}` 不在列表中", shown(&column)),
                format!("the unit column `{}` is not among the columns", shown(&column)),
            );
            reader.fault(fault, &item.path, item.span.start);
        }
        return None;
    };
    let mut fine = true;
    let mut fault = |refusal: Refusal| {
        fine = false;
        reader.fault(refusal, &item.path, item.span.start);
    };
    let about_somebody = kind != UnitKind::None;
    if about_somebody && !matches!(spec.class, ColumnClass::DirectIdentifier | ColumnClass::QuasiIdentifier) {
        fault(Refusal::new(
            "catalogue/unit-class",
            format!("主体列 `{column}` 须为直接标识符或准标识符"),
            format!("the unit column `{column}` must be a direct_identifier or a quasi_identifier"),
        ));
    }
    if spec.nullable {
        fault(Refusal::new(
            "catalogue/unit-missing",
            format!("主体列 `{column}` 不能缺失"),
            format!("the unit column `{column}` must never be missing"),
        ));
    }
    if spec.column_type != ColumnType::Utf8 && spec.column_type.integer_range().is_none() {
        fault(Refusal::new(
            "catalogue/unit-type",
            format!("主体列 `{column}` 须为文字或整数"),
            format!("the unit column `{column}` must be of text or of integers"),
        ));
    }
    fine.then_some(Some(Unit { kind, column: position, most_rows, most_groups }))
}

/// The release class fits the unit, the grade and the columns.
pub(super) fn release(
    reader: &mut Reader<'_>,
    unit: Option<&Unit>,
    release: ReleaseClass,
    grade: Grade,
    columns: &[Option<ColumnSpec>],
    item: &Item<'_>,
) {
    let mut fault = |refusal: Refusal| reader.fault(refusal, &item.path, item.span.start);
    // The key of rows about nobody is no unit.
    let unit = unit.filter(|u| u.kind != UnitKind::None);
    match (unit.map(|u| u.kind), release) {
        (Some(UnitKind::NaturalPerson), ReleaseClass::Statistical | ReleaseClass::Open) => fault(
            Refusal::new(
                "catalogue/release-class",
                "自然人的数据须以 `personal` 类别发布",
                "data about natural persons is released as `personal`",
            )
            .hint("写 release = \"personal\"", "write release = \"personal\""),
        ),
        (None, ReleaseClass::Personal | ReleaseClass::Statistical) => fault(
            Refusal::new(
                "catalogue/release-class",
                "没有数据主体的数据只能以 `open` 类别发布",
                "data without a unit can be released as `open` alone",
            )
            .hint(
                "这两类规则都按数据主体计数：写明主体列，或改为 open",
                "the other classes count units: name a unit column, or write open",
            ),
        ),
        _ => {}
    }
    if release == ReleaseClass::Open && grade <= Grade::Important {
        fault(Refusal::new(
            "catalogue/release-grade",
            "核心数据和重要数据不能以 `open` 类别发布",
            "core and important data is not released as `open`",
        ));
    }
    for column in columns.iter().flatten() {
        let closed = match column.class {
            ColumnClass::Sensitive => release == ReleaseClass::Open,
            ColumnClass::DirectIdentifier => unit.is_none(),
            ColumnClass::QuasiIdentifier | ColumnClass::Attribute => false,
        };
        if closed {
            fault(Refusal::new(
                "catalogue/open-column",
                format!("列 `{}` 的类别与 `open` 发布或无主体相矛盾", column.name),
                format!(
                    "the class of the column `{}` contradicts an `open` release or the absence of a unit",
                    column.name
                ),
            ));
        }
    }
}
