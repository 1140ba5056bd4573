//! The same values in other physical shapes.

use crate::survey::good;
use crate::tools::{ENTRY, counts, spec, surveyed, write_with};
use datafusion::arrow::array::{
    ArrayRef, BinaryArray, Date64Array, Float32Array, ListArray, StringArray, TimestampMillisecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int32Type};
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::{WriterProperties, WriterVersion};
use std::sync::Arc;
use yunei_engine::catalogue::DatasetSpec;

fn properties(dictionary: bool) -> WriterProperties {
    WriterProperties::builder()
        .set_dictionary_enabled(dictionary)
        .set_writer_version(if dictionary { WriterVersion::PARQUET_1_0 } else { WriterVersion::PARQUET_2_0 })
        .set_compression(if dictionary { Compression::UNCOMPRESSED } else { Compression::ZSTD(ZstdLevel::default()) })
        .set_max_row_group_row_count(Some(37))
        .build()
}

/// Surveys 100 good rows with the columns `names` cast to `to`.
fn recast(names: &[&str], to: &DataType, dictionary: bool) -> Result<u64, Vec<(String, u64)>> {
    let home = tempfile::tempdir().unwrap();
    let mut columns = good(100);
    for (name, array) in &mut columns {
        if names.contains(name) {
            *array = cast(array, to).unwrap();
        }
    }
    write_with(&home.path().join("residents/a.parquet"), &columns, properties(dictionary));
    surveyed(&spec(), home.path()).map(|s| s.rows()).map_err(|r| counts(&r))
}

#[test]
fn text_is_text_however_it_is_kept() {
    let dictionary = |key| DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8));
    let shapes = [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        dictionary(DataType::Int32),
        dictionary(DataType::UInt8),
        DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::LargeUtf8)),
    ];
    for shape in shapes {
        for dictionary in [true, false] {
            assert_eq!(recast(&["id_number", "city"], &shape, dictionary), Ok(100), "{shape} {dictionary}");
        }
    }
}

#[test]
fn decimals_are_decimals_however_wide() {
    for shape in [DataType::Decimal64(12, 2), DataType::Decimal128(12, 2), DataType::Decimal256(12, 2)] {
        assert_eq!(recast(&["income"], &shape, true), Ok(100), "{shape}");
    }
    for shape in [DataType::Decimal128(13, 2), DataType::Decimal128(12, 3)] {
        let refused = recast(&["income"], &shape, true).unwrap_err();
        assert!(refused[0].0.starts_with("catalogue/column-type"), "{shape} {refused:?}");
    }
}

#[test]
fn what_only_looks_alike_is_refused() {
    let n = 3;
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>((0..n).map(|i| Some(vec![Some(i)])));
    let cases: [(&str, ArrayRef); 5] = [
        ("city", Arc::new(BinaryArray::from_iter_values(["昆明"; 3]))),
        ("born", Arc::new(Date64Array::from_iter_values([0; 3]))),
        ("born", Arc::new(TimestampMillisecondArray::from_iter_values([0; 3]))),
        ("score", Arc::new(Float32Array::from_iter_values([0.0; 3]))),
        ("age", Arc::new(list)),
    ];
    for (name, array) in cases {
        let home = tempfile::tempdir().unwrap();
        let mut columns = good(3);
        columns.iter_mut().find(|(n, _)| *n == name).unwrap().1 = array;
        write_with(&home.path().join("residents/a.parquet"), &columns, properties(true));
        let refused = surveyed(&spec(), home.path()).unwrap_err();
        assert_eq!(refused.codes(), ["catalogue/column-type"], "{name}");
    }
}

#[test]
fn a_float32_bound_takes_the_float32_of_the_same_notation() {
    let entry = ENTRY
        .replace("name = \"score\"\ntype = \"float64\"", "name = \"score\"\ntype = \"float32\"")
        .replace("min = -1.5\nmax = 1.5", "min = -0.1\nmax = 0.1");
    let spec = DatasetSpec::parse(&entry).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut columns = good(4);
    columns[4].1 = Arc::new(Float32Array::from_iter_values([0.1, -0.1, 0.0, 0.1]));
    write_with(&home.path().join("residents/a.parquet"), &columns, properties(true));
    assert!(surveyed(&spec, home.path()).is_ok());
    columns[4].1 = Arc::new(Float32Array::from_iter_values([0.1f32.next_up(), -0.1, 0.0, 0.1]));
    write_with(&home.path().join("residents/a.parquet"), &columns, properties(true));
    assert_eq!(counts(&surveyed(&spec, home.path()).unwrap_err())[0].1, 1);
}

#[test]
fn columns_may_stand_in_another_order() {
    let home = tempfile::tempdir().unwrap();
    let mut columns = good(100);
    columns.reverse();
    write_with(&home.path().join("residents/a.parquet"), &columns, properties(true));
    assert_eq!(surveyed(&spec(), home.path()).unwrap().rows(), 100);
    columns[0] = ("EMPLOYED", columns[0].1.clone());
    write_with(&home.path().join("residents/a.parquet"), &columns, properties(true));
    let codes = surveyed(&spec(), home.path()).unwrap_err().codes();
    assert_eq!(codes, ["catalogue/missing-column", "catalogue/unlisted-column"], "case counts");
}

#[test]
fn a_value_left_in_a_dictionary_but_in_no_row_is_not_counted() {
    let home = tempfile::tempdir().unwrap();
    let mut columns = good(4);
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(["昆明", "丽江"]));
    let keys = datafusion::arrow::array::Int32Array::from(vec![0, 0, 0, 0]);
    columns[2].1 = Arc::new(datafusion::arrow::array::DictionaryArray::new(keys, values));
    write_with(&home.path().join("residents/a.parquet"), &columns, properties(true));
    assert_eq!(surveyed(&spec(), home.path()).unwrap().rows(), 4);
}
