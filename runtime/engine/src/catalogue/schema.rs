//! Whether the files have the columns that the entry lists.

use super::column::ColumnType;
use super::files::Named;
use super::reasons::{MAX_REASONS, Reasons, shown};
use super::spec::DatasetSpec;
use datafusion::arrow::datatypes::{DataType, Schema};
use std::collections::{BTreeMap, HashMap};
use yunei_policy::Refusal;

/// How a file's columns differ from the entry's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Missing { column: String },
    Unlisted { column: String },
    Twice { column: String },
    Type { column: String, declared: String, found: String },
}

/// Faults over all the files: the same fault in many files is one reason.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    faults: BTreeMap<Fault, (String, usize)>,
    more: bool,
}

impl Comparison {
    /// Compares one file's schema with the entry.
    pub(super) fn compare(&mut self, spec: &DatasetSpec, file: &Named, schema: &Schema) {
        let declared: HashMap<&str, ColumnType> = spec.columns().iter().map(|c| (c.name(), c.column_type())).collect();
        let mut found: HashMap<&str, usize> = HashMap::with_capacity(declared.len());
        for field in schema.fields() {
            let times = found.entry(field.name()).or_default();
            *times += 1;
            if *times == 2 {
                self.note(file, Fault::Twice { column: shown(field.name()) });
            }
            match declared.get(field.name().as_str()) {
                None => self.note(file, Fault::Unlisted { column: shown(field.name()) }),
                Some(of) if !of.accepts(field.data_type()) => {
                    let fault = Fault::Type {
                        column: field.name().clone(),
                        declared: of.to_string(),
                        found: type_name(field.data_type()),
                    };
                    self.note(file, fault);
                }
                Some(_) => {}
            }
        }
        for column in spec.columns() {
            if !found.contains_key(column.name()) {
                self.note(file, Fault::Missing { column: column.name().to_owned() });
            }
        }
    }

    fn note(&mut self, file: &Named, fault: Fault) {
        if self.faults.len() >= MAX_REASONS && !self.faults.contains_key(&fault) {
            self.more = true;
            return;
        }
        self.faults.entry(fault).or_insert_with(|| (file.name.clone(), 0)).1 += 1;
    }

    /// The reasons, one per fault.
    pub(super) fn tell(self, reasons: &mut Reasons) {
        for (fault, (file, count)) in self.faults {
            let place = if count > 1 { format!("{} (+{})", shown(&file), count - 1) } else { shown(&file) };
            reasons.push(fault.refusal().at(place));
        }
        if self.more {
            reasons.push(Refusal::new("catalogue/more-reasons", "另有问题未列出", "there are more reasons"));
        }
    }
}

impl Fault {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Missing { column } => Refusal::new(
                "catalogue/missing-column",
                format!("文件中没有列 `{column}`"),
                format!("the file has no column `{column}`"),
            ),
            Self::Unlisted { column } => Refusal::new(
                "catalogue/unlisted-column",
                format!("列 `{column}` 未写入目录条目"),
                format!("the column `{column}` is not in the entry"),
            )
            .hint(
                "逐列写明类别和用途，或从文件中删去该列",
                "list it with its class and usages, or leave it out of the file",
            ),
            Self::Twice { column } => Refusal::new(
                "catalogue/duplicate",
                format!("文件中列 `{column}` 重复"),
                format!("the file has the column `{column}` twice"),
            ),
            Self::Type { column, declared, found } => Refusal::new(
                "catalogue/column-type",
                format!("列 `{column}` 声明为 {declared}，文件中是 {found}"),
                format!("the column `{column}` is declared as {declared}, the file has {found}"),
            ),
        }
    }
}

/// A type of a file in the words of the catalogue where there is one.
fn type_name(found: &DataType) -> String {
    let known = match found {
        DataType::Boolean => ColumnType::Bool,
        DataType::Int8 => ColumnType::Int8,
        DataType::Int16 => ColumnType::Int16,
        DataType::Int32 => ColumnType::Int32,
        DataType::Int64 => ColumnType::Int64,
        DataType::Float32 => ColumnType::Float32,
        DataType::Float64 => ColumnType::Float64,
        DataType::Date32 => ColumnType::Date32,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Utf8,
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            return format!("decimal({p},{s})");
        }
        // Names of nested fields are the file's own; the outer word is enough.
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => return "list".to_owned(),
        DataType::Struct(_) => return "struct".to_owned(),
        DataType::Map(..) => return "map".to_owned(),
        other => return shown(&other.to_string()),
    };
    known.to_string()
}
