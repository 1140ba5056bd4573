//! Files that keep to their entry, and files that do not.

use crate::tools::{ENTRY, counts, spec, surveyed, told, write};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int8Array, Int32Array, Int64Array, StringArray,
};
use std::path::Path;
use std::sync::Arc;
use yunei_engine::catalogue::{DatasetSpec, FileEntry, MAX_FILES, survey, verify_digests, verify_unchanged};
use yunei_engine::registry::Digest;

type Columns = Vec<(&'static str, ArrayRef)>;

/// `n` rows that keep to the entry; each unit has one.
pub(crate) fn good(n: usize) -> Columns {
    let rows = || 0..n as i32;
    let cities = ["昆明", "曲靖", "玉溪"];
    vec![
        ("id_number", Arc::new(StringArray::from_iter_values(rows().map(|i| format!("{:018}", i))))),
        ("age", Arc::new(Int32Array::from_iter_values(rows().map(|i| i % 121)))),
        ("city", Arc::new(StringArray::from_iter_values(rows().map(|i| cities[i as usize % 3])))),
        ("income", decimals(rows().map(|i| (i % 3 > 0).then_some(i128::from(i) * 100)))),
        ("score", Arc::new(Float64Array::from_iter_values(rows().map(|i| f64::from(i % 30) / 10.0 - 1.5)))),
        ("born", Arc::new(Date32Array::from_iter_values(rows()))),
        ("grade", Arc::new(Int8Array::from_iter_values(rows().map(|i| 1 << (i % 3) as i8)))),
        ("employed", Arc::new(BooleanArray::from_iter(rows().map(|i| (i % 5 > 0).then_some(i % 2 == 0))))),
    ]
}

fn decimals(values: impl Iterator<Item = Option<i128>>) -> ArrayRef {
    Arc::new(Decimal128Array::from_iter(values).with_precision_and_scale(12, 2).unwrap())
}

fn with(mut columns: Columns, name: &'static str, array: ArrayRef) -> Columns {
    columns.iter_mut().find(|(n, _)| *n == name).unwrap().1 = array;
    columns
}

/// What is told of one file of these columns.
fn refused(columns: &Columns) -> String {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("residents/a.parquet"), columns);
    told(&surveyed(&spec(), home.path()).unwrap_err())
}

#[test]
fn good_files_are_digested_counted_and_sorted() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("residents");
    write(&folder.join("b.parquet"), &good(250));
    write(&folder.join("a.parquet"), &good(30));
    std::fs::write(folder.join("notes.txt"), "not named by the entry").unwrap();
    let mut seen = Vec::new();
    let result = survey(&spec(), home.path(), &mut |done, total| seen.push((done, total))).unwrap();
    assert_eq!(result.rows(), 280);
    assert_eq!(result.spec_digest(), spec().digest());
    let names: Vec<_> = result.files().iter().map(|f| f.path().file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.parquet", "b.parquet"]);
    for file in result.files() {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(file.path().is_absolute());
        assert_eq!((file.bytes(), file.sha256()), (bytes.len() as u64, Digest::of(&bytes)));
        assert!(file.modified_nanos() > 0);
    }
    assert_eq!(result.files().iter().map(FileEntry::rows).collect::<Vec<_>>(), [30, 250]);
    assert!(seen.is_sorted() && seen.len() > 3);
    let (done, total) = *seen.last().unwrap();
    assert_eq!(done, total);
    let json = serde_json::to_string(result.files()).unwrap();
    assert_eq!(serde_json::from_str::<Vec<FileEntry>>(&json).unwrap(), result.files());
}

#[test]
fn a_dataset_may_be_empty() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("residents/a.parquet"), &good(0));
    assert_eq!(surveyed(&spec(), home.path()).unwrap().rows(), 0);
}

#[test]
fn one_file_under_two_names_is_one_file() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("residents/a.parquet"), &good(10));
    let entry = ENTRY.replace("\"residents/*.parquet\"", "\"residents/*.parquet\", \"residents/a.parquet\"");
    let spec = DatasetSpec::parse(&entry).unwrap();
    std::os::unix::fs::symlink(home.path().join("residents/a.parquet"), home.path().join("residents/z.parquet"))
        .unwrap();
    assert_eq!(surveyed(&spec, home.path()).unwrap().files().len(), 1);
}

#[test]
fn an_absolute_name_is_read_from_anywhere() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("far/a[1].parquet");
    write(&path, &good(10));
    let pattern = format!("{}/far/*.parquet", home.path().display());
    let spec = DatasetSpec::parse(&ENTRY.replace("residents/*.parquet", &pattern)).unwrap();
    assert_eq!(surveyed(&spec, Path::new("/")).unwrap().rows(), 10);
}

#[test]
fn a_folder_with_pattern_characters_is_only_a_folder() {
    let home = tempfile::tempdir().unwrap();
    let base = home.path().join("[年*]");
    write(&base.join("residents/a.parquet"), &good(10));
    assert_eq!(surveyed(&spec(), &base).unwrap().rows(), 10);
}

#[test]
fn no_file_is_a_refusal() {
    let home = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(told(&surveyed(&spec(), home.path()).unwrap_err()), @r"
    catalogue/no-files [dataset.files]
        no file matches `residents/*.parquet` | paths are relative to the folder of the entry
        没有文件符合 `residents/*.parquet` | 路径相对于目录条目所在的文件夹
    ");
}

#[test]
fn a_version_has_ten_thousand_files_and_not_one_more() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("residents");
    std::fs::create_dir(&folder).unwrap();
    for i in 0..MAX_FILES {
        std::fs::write(folder.join(format!("{i}.parquet")), "").unwrap();
    }
    let codes = surveyed(&spec(), home.path()).unwrap_err().codes();
    assert_eq!((codes.len(), codes[0], codes[100]), (101, "catalogue/not-parquet", "catalogue/more-reasons"));
    std::fs::write(folder.join("x.parquet"), "").unwrap();
    assert_eq!(surveyed(&spec(), home.path()).unwrap_err().codes(), ["catalogue/too-many"]);
}

#[test]
fn foreign_and_cut_files_are_named() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("residents");
    write(&folder.join("whole.parquet"), &good(50));
    let bytes = std::fs::read(folder.join("whole.parquet")).unwrap();
    std::fs::write(folder.join("cut.parquet"), &bytes[..bytes.len() - 100]).unwrap();
    std::fs::write(folder.join("empty.parquet"), "").unwrap();
    std::fs::write(folder.join("text.parquet"), "id_number,age\n530102199001011234,30\n".repeat(50)).unwrap();
    std::fs::write(folder.join("encrypted.parquet"), [b"PARE", &bytes[4..]].concat()).unwrap();
    insta::assert_snapshot!("foreign_files", told(&surveyed(&spec(), home.path()).unwrap_err()));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("residents/a.parquet");
    write(&path, &good(20));
    let bytes = std::fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(61) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let codes = surveyed(&spec(), home.path()).unwrap_err().codes();
        assert_eq!(codes, ["catalogue/not-parquet"], "cut at {length}");
    }
}

#[test]
fn a_file_damaged_anywhere_never_panics() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("residents/a.parquet");
    write(&path, &good(20));
    let bytes = std::fs::read(&path).unwrap();
    let mut refusals = 0;
    for (at, mask) in (0..bytes.len()).step_by(7).zip([0xff, 0x01, 0x80].into_iter().cycle()) {
        let mut damaged = bytes.clone();
        damaged[at] ^= mask;
        std::fs::write(&path, &damaged).unwrap();
        refusals += u32::from(surveyed(&spec(), home.path()).is_err());
    }
    assert!(refusals > 100, "{refusals}");
}

#[test]
fn missing_unlisted_and_wrongly_typed_columns_are_told_together() {
    let mut columns = good(5);
    columns.retain(|(name, _)| *name != "born");
    columns.push(("phone", Arc::new(StringArray::from_iter_values(["x"; 5]))));
    let columns = with(columns, "age", Arc::new(Int64Array::from_iter_values(0..5)));
    let columns = with(columns, "income", Arc::new(Float64Array::from_iter_values([1.0; 5])));
    insta::assert_snapshot!("schema_faults", refused(&columns));
}

#[test]
fn one_fault_in_many_files_is_one_reason() {
    let home = tempfile::tempdir().unwrap();
    let mut columns = good(5);
    columns.push(("phone", Arc::new(StringArray::from_iter_values(["x"; 5]))));
    for i in 0..12 {
        write(&home.path().join(format!("residents/{i:02}.parquet")), &columns);
    }
    insta::assert_snapshot!(told(&surveyed(&spec(), home.path()).unwrap_err()), @r"
    catalogue/unlisted-column [residents/00.parquet (+11)]
        the column `phone` is not in the entry | list it with its class and usages, or leave it out of the file
        列 `phone` 未写入目录条目 | 逐列写明类别和用途，或从文件中删去该列
    ");
}

#[test]
fn rows_that_break_the_entry_are_counted_and_never_shown() {
    let n = 20;
    let columns = good(n);
    let ids = (0..n).map(|i| {
        if i < 2 {
            None
        } else if i < 7 {
            Some("530102199001011234")
        } else {
            Some("x")
        }
    });
    let columns = with(columns, "id_number", Arc::new(StringArray::from_iter(ids)));
    let ages = (0..n as i32).map(|i| match i {
        0 => Some(-1),
        1 | 2 => Some(121),
        3 => None,
        _ => Some(120),
    });
    let columns = with(columns, "age", Arc::new(Int32Array::from_iter(ages)));
    let cities = (0..n).map(|i| if i < 6 { "丽江" } else { "昆明" });
    let columns = with(columns, "city", Arc::new(StringArray::from_iter_values(cities)));
    let incomes = (0..n as i128).map(|i| Some(if i < 7 { 10_000_000 } else { 9_999_999 }));
    let columns = with(columns, "income", decimals(incomes));
    let scores = [f64::NAN, f64::INFINITY, 1.6, 1.5, -1.5].into_iter().cycle().take(n);
    let columns = with(columns, "score", Arc::new(Float64Array::from_iter_values(scores)));
    let columns = with(columns, "born", Arc::new(Date32Array::from_iter_values((0..n as i32).map(|i| 20_810 + i))));
    let columns = with(columns, "grade", Arc::new(Int8Array::from_iter_values((0..n as i8).map(|i| i % 4))));
    let told = refused(&columns);
    assert!(!told.contains("530102") && !told.contains("丽江"));
    insta::assert_snapshot!("data_faults", told);
}

#[test]
fn the_most_rows_of_a_unit_hold_over_all_files() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("residents");
    for file in ["a", "b", "c"] {
        write(&folder.join(format!("{file}.parquet")), &good(150));
    }
    assert_eq!(surveyed(&spec(), home.path()).unwrap().rows(), 450, "three rows each, at the limit");
    write(&folder.join("d.parquet"), &good(17));
    let refused = surveyed(&spec(), home.path()).unwrap_err();
    assert_eq!(counts(&refused), [("catalogue/too-many-rows-per-unit dataset.unit.most_rows".to_owned(), 17)]);
}

#[test]
fn a_unit_of_integers_or_of_a_domain_is_counted_too() {
    let home = tempfile::tempdir().unwrap();
    let mut columns = good(40);
    columns[0].1 = Arc::new(Int64Array::from_iter_values((0..40).map(|i| i % 11)));
    write(&home.path().join("residents/a.parquet"), &columns);
    let entry = ENTRY.replacen("type = \"utf8\"", "type = \"int64\"", 1);
    let refused = surveyed(&DatasetSpec::parse(&entry).unwrap(), home.path()).unwrap_err();
    assert_eq!(counts(&refused)[0].1, 7, "40 rows over 11 units: seven have four");

    columns[0].1 = Arc::new(StringArray::from_iter_values((0..40).map(|i| format!("u{}", i % 12))));
    write(&home.path().join("residents/a.parquet"), &columns);
    let units: Vec<String> = (0..12).map(|i| format!("\"u{i}\"")).collect();
    let entry = ENTRY.replacen("type = \"utf8\"", &format!("type = \"utf8\"\nvalues = [{}]", units.join(",")), 1);
    let refused = surveyed(&DatasetSpec::parse(&entry).unwrap(), home.path()).unwrap_err();
    assert_eq!(counts(&refused)[0].1, 4, "40 rows over 12 units: four have four");
}

#[test]
fn changed_files_are_found_and_touched_ones_are_not() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("residents/a.parquet");
    write(&path, &good(50));
    let files = surveyed(&spec(), home.path()).unwrap().files().to_vec();
    assert!(verify_unchanged(&files).is_ok());

    let file = std::fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    assert!(verify_unchanged(&files).is_ok(), "another time, the same bytes");

    let bytes = std::fs::read(&path).unwrap();
    let mut other = bytes.clone();
    other[40] ^= 1;
    std::fs::write(&path, &other).unwrap();
    let refused = verify_unchanged(&files).unwrap_err();
    assert_eq!(refused.codes(), ["dataset/changed"]);
    assert_eq!(refused.reasons()[0].place(), None, "it does not say which file");

    std::fs::write(&path, [bytes.as_slice(), b"x"].concat()).unwrap();
    assert_eq!(verify_unchanged(&files).unwrap_err().codes(), ["dataset/changed"]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(verify_unchanged(&files).unwrap_err().codes(), ["dataset/changed"]);
    std::fs::create_dir(&path).unwrap();
    assert_eq!(verify_unchanged(&files).unwrap_err().codes(), ["dataset/changed"]);
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    assert!(verify_unchanged(&files).is_ok(), "put back");
}

#[test]
fn a_forged_time_deceives_the_quick_check_and_not_the_digests() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("residents/a.parquet");
    write(&path, &good(50));
    let files = surveyed(&spec(), home.path()).unwrap().files().to_vec();
    assert!(verify_digests(&files).is_ok());
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
    assert!(verify_unchanged(&files).is_ok());
    assert_eq!(verify_digests(&files).unwrap_err().codes(), ["dataset/changed"]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(verify_digests(&files).unwrap_err().codes(), ["dataset/changed"]);
}

#[test]
fn a_file_changed_while_it_is_read_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("residents/a.parquet");
    write(&path, &good(50));
    let mut touched = false;
    let result = survey(&spec(), home.path(), &mut |_, _| {
        if !std::mem::replace(&mut touched, true) {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.push(0);
            std::fs::write(&path, bytes).unwrap();
        }
    });
    assert!(touched);
    let codes = result.unwrap_err().codes();
    assert!(codes == ["dataset/changed"] || codes == ["catalogue/not-parquet"], "{codes:?}");
}

#[test]
fn debug_output_tells_neither_paths_nor_rows() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("residents/secret-name.parquet"), &good(5));
    let shown = format!("{:?}", surveyed(&spec(), home.path()).unwrap());
    assert!(!shown.contains("secret-name"), "{shown}");
}
