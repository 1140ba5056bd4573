//! The tables against the standards, their own declarations, and themselves.

use std::collections::{HashMap, HashSet};
use std::fs::File;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;

const SEED: u64 = 20_261_123;

/// GB 11643 from its text, not from the generator: Σ aᵢ·2^(18-i) over all eighteen places is 1 modulo 11, X being 10.
fn citizen_number_is_valid(code: &str) -> bool {
    let values: Option<Vec<u64>> = code
        .chars()
        .enumerate()
        .map(|(n, c)| if n == 17 && c == 'X' { Some(10) } else { c.to_digit(10).map(u64::from) })
        .collect();
    values.is_some_and(|v| v.len() == 18 && v.iter().enumerate().map(|(n, a)| a << (17 - n)).sum::<u64>() % 11 == 1)
}

/// GB 32100 from its text: Σ cᵢ·3^(i-1) over all eighteen places is 0 modulo 31 (the last weight is 1).
fn credit_code_is_valid(code: &str) -> bool {
    let alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    let values: Option<Vec<usize>> = code.chars().map(|c| alphabet.find(c)).collect();
    values.is_some_and(|v| {
        let weight = |n: usize| if n == 17 { 1 } else { (0..n).fold(1, |w, _| w * 3 % 31) };
        v.len() == 18 && v.iter().enumerate().map(|(n, c)| c * weight(n)).sum::<usize>() % 31 == 0
    })
}

/// GB 11714 from its text: Σ cᵢ·wᵢ plus the check value is 0 modulo 11, X being 10.
fn organisation_code_is_valid(code: &str) -> bool {
    let value = |c: char| c.to_digit(36).expect("letters and digits");
    let sum: u32 = code.chars().zip([3, 7, 9, 10, 5, 8, 4, 2]).map(|(c, w)| value(c) * w).sum();
    let check = match code.chars().last() {
        Some('X') => 10,
        Some(c) => value(c),
        None => return false,
    };
    code.len() == 9 && (sum + check).is_multiple_of(11)
}

#[test]
fn the_checks_know_right_from_wrong() {
    // The example in the annex of GB 11643-1999, and two organisations that publish their codes.
    assert!(citizen_number_is_valid("11010519491231002X"));
    assert!(!citizen_number_is_valid("110105194912310021"));
    assert!(credit_code_is_valid("91350100M000100Y43"));
    assert!(!credit_code_is_valid("91350100M000100Y44"));
    assert!(organisation_code_is_valid("M000100Y4"));
    assert!(!organisation_code_is_valid("M000100Y5"));
}

fn number(text: &str) -> u32 {
    text.parse().expect("digits")
}

#[test]
fn residents_keep_to_the_standard_and_the_declaration() {
    let counties: HashMap<u32, &str> =
        PREFECTURES.iter().flat_map(|p| (0..).take(p.counties.len()).map(|n| (p.county(n), p.name))).collect();
    assert_eq!(counties.len(), 129, "Yunnan has 129 counties, districts and cities");
    for index in 0..20_000 {
        let row = resident(SEED, index);
        let id = row.id_number.as_str();
        assert!(citizen_number_is_valid(id));
        assert_eq!(counties.get(&number(&id[..6])), Some(&row.city));
        let (year, month, day) = (number(&id[6..10]), number(&id[10..12]), number(&id[12..14]));
        assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        let had_birthday = (month, day) <= (TODAY.1, TODAY.2);
        assert_eq!(row.age, (TODAY.0 - year - u32::from(!had_birthday)) as i32);
        assert_eq!(row.sex, SEXES[number(&id[14..17]) as usize % 2]);
        assert!((2..=4).contains(&row.name.chars().count()));
        assert!(EDUCATIONS.contains(&row.education));
        assert!((18..=90).contains(&row.age));
        assert!((0..=500_000).contains(&row.income));
        assert!((0..=480).contains(&row.months_insured));
        assert!((0..=2_000_000).contains(&row.debts));
    }
}

#[test]
fn every_city_sex_age_and_education_occurs() {
    let rows: Vec<Resident> = (0..20_000).map(|index| resident(SEED, index)).collect();
    let distinct = |key: fn(&Resident) -> String| rows.iter().map(key).collect::<HashSet<_>>().len();
    assert_eq!(distinct(|r| r.city.to_owned()), 16);
    assert_eq!(distinct(|r| r.sex.to_owned()), 2);
    assert_eq!(distinct(|r| r.education.to_owned()), 5);
    assert_eq!(distinct(|r| r.age.to_string()), 73);
    assert!(distinct(|r| r.name.clone()) > 5_000);
    let kunming = rows.iter().filter(|r| r.city == "昆明").count();
    // 846 in 4722 of 20,000 is 3583; four standard deviations are 217.
    assert!((3_366..=3_800).contains(&kunming));
}

#[test]
fn identity_numbers_differ_by_construction() {
    // What the construction promises, without making five million numbers: slots are one-to-one over their range.
    let numbers: HashSet<String> =
        (0..60_000).map(|index| resident(SEED, index).id_number.as_str().to_owned()).collect();
    assert_eq!(numbers.len(), 60_000);
    let mut seen = vec![false; 5_099_780];
    for index in 0..MAX_RESIDENTS {
        let at = super::residents::slot_for_test(SEED, index);
        assert!(!std::mem::replace(&mut seen[at], true));
    }
}

#[test]
fn the_slot_can_be_read_back_from_the_number() {
    for index in 0..5_000 {
        let row = resident(SEED, index);
        let id = row.id_number.as_str();
        let (month, day) = (number(&id[10..12]), number(&id[12..14]));
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let day_of_year = lengths[..month as usize - 1].iter().sum::<u32>() + day - 1;
        let class = (row.age as u32 - 18) % 14;
        let at = (u64::from(class) * 998 + u64::from(number(&id[14..17]) - 1)) * 365 + u64::from(day_of_year);
        assert_eq!(at as usize, super::residents::slot_for_test(SEED, index));
    }
}

#[test]
fn enterprises_keep_to_the_standard_and_the_declaration() {
    let mut codes = HashSet::new();
    for index in 0..20_000 {
        let row = enterprise(SEED, index);
        let code = row.credit_code.as_str();
        assert!(credit_code_is_valid(code) && organisation_code_is_valid(&code[8..17]));
        assert!(code.starts_with("9153"));
        assert!(codes.insert(code.to_owned()));
        let place = PREFECTURES.iter().find(|p| p.name == row.city).expect("a prefecture");
        assert_eq!(number(&code[2..6]), place.code);
        assert!(INDUSTRIES.iter().any(|i| i.name == row.industry));
        assert!((0..=5_000_000_000).contains(&row.capital));
        assert!((0..=500_000_000).contains(&row.tax));
        assert!((0..=20_000).contains(&row.employees));
    }
}

#[test]
fn a_seed_says_everything() {
    assert_eq!(resident(1, 77), resident(1, 77));
    assert!((0..100).all(|index| resident(1, index) != resident(2, index)));
    assert!((0..100).all(|index| enterprise(1, index) != enterprise(2, index)));
    assert_eq!(readings(1, 77), readings(1, 77));
    assert_ne!(readings(1, 77), readings(2, 77));
}

#[test]
fn rows_stay_as_they_are() {
    // A change here changes every figure that the documents quote from the demo.
    let row = resident(SEED, 0);
    assert_eq!((row.id_number.as_str(), row.name.as_str()), ("533124199412056208", "郭彩珍"));
    assert_eq!((row.sex, row.age, row.city, row.education), ("女", 31, "德宏", "本科"));
    assert_eq!((row.income, row.months_insured, row.debts), (53_680, 97, 87_700));
    let firm = enterprise(SEED, 0);
    assert_eq!((firm.credit_code.as_str(), firm.name.as_str()), ("91530324MA6MX3BKXA", "曲靖翠辉润商贸有限公司"));
    assert_eq!((firm.capital, firm.tax, firm.employees), (620_000, 20_023, 2));
}

fn read(path: &std::path::Path) -> Vec<RecordBatch> {
    let file = File::open(path).expect("just written");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("readable");
    reader.collect::<Result<_, _>>().expect("readable")
}

#[test]
fn the_file_of_residents_holds_the_rows_of_the_function() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("residents.parquet");
    let rows = 2 * BATCH_ROWS + 1;
    let mut told = Vec::new();
    residents(&path, rows, SEED, &mut |done, total| told.push((done, total))).expect("written");
    assert_eq!(told, [(0, rows), (BATCH_ROWS, rows), (2 * BATCH_ROWS, rows), (rows, rows)]);
    let mut index = 0;
    for batch in read(&path) {
        for n in 0..batch.num_rows() {
            let text = |column: usize| batch.column(column).as_string::<i32>().value(n).to_owned();
            let int = |column: usize| batch.column(column).as_primitive::<Int32Type>().value(n);
            let long = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(n);
            let row = resident(SEED, index);
            assert_eq!(text(0), row.id_number.as_str());
            assert_eq!(
                (text(1), text(2), text(4), text(5)),
                (row.name, row.sex.into(), row.city.into(), row.education.into())
            );
            assert_eq!((int(3), long(6), int(7), long(8)), (row.age, row.income, row.months_insured, row.debts));
            index += 1;
        }
        assert!(batch.columns().iter().all(|column| column.null_count() == 0));
    }
    assert_eq!(index, rows);
    assert_eq!(std::fs::read_dir(home.path()).expect("a folder").count(), 1, "no partial file is left");
}

#[test]
fn the_file_of_readings_holds_twelve_rows_for_each_meter() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("electricity.parquet");
    // Meters enough for a batch to end in the middle of one.
    let (people, meters) = (7_001, 1_400);
    electricity(&path, people, meters, SEED, &mut |_, _| ()).expect("written");
    let mut row = 0;
    let mut holders = HashSet::new();
    for batch in read(&path) {
        for n in 0..batch.num_rows() {
            let index = metered_resident(people, meters, row / METER_MONTHS);
            let month = row % METER_MONTHS;
            let kwh = batch.column(2).as_primitive::<Float64Type>().value(n);
            let id = batch.column(0).as_string::<i32>().value(n);
            if month == 0 {
                assert_eq!(id, resident(SEED, index).id_number.as_str());
                assert!(holders.insert(id.to_owned()));
            }
            assert_eq!(u64::from(batch.column(1).as_primitive::<Int32Type>().value(n).unsigned_abs()), month + 1);
            assert_eq!(kwh, readings(SEED, index)[month as usize]);
            assert!((0.0..=3_000.0).contains(&kwh));
            assert_eq!(kwh, format!("{kwh:.2}").parse::<f64>().expect("a number"), "two decimals");
            row += 1;
        }
    }
    assert_eq!(row, meters * METER_MONTHS);
    assert_eq!(holders.len() as u64, meters);
}

#[test]
fn the_file_of_enterprises_holds_the_rows_of_the_function() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("enterprises.parquet");
    enterprises(&path, 3_000, SEED, &mut |_, _| ()).expect("written");
    let mut index = 0;
    for batch in read(&path) {
        for n in 0..batch.num_rows() {
            let row = enterprise(SEED, index);
            let text = |column: usize| batch.column(column).as_string::<i32>().value(n).to_owned();
            let long = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(n);
            assert_eq!(text(0), row.credit_code.as_str());
            assert_eq!((text(1), text(2), text(3)), (row.name, row.industry.into(), row.city.into()));
            assert_eq!((long(4), long(5)), (row.capital, row.tax));
            assert_eq!(batch.column(6).as_primitive::<Int32Type>().value(n), row.employees);
            index += 1;
        }
    }
    assert_eq!(index, 3_000);
}

#[test]
fn row_groups_are_compressed_and_have_statistics() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("residents.parquet");
    residents(&path, 100, SEED, &mut |_, _| ()).expect("written");
    let reader = SerializedFileReader::new(File::open(&path).expect("just written")).expect("Parquet");
    for column in reader.metadata().row_group(0).columns() {
        assert!(column.statistics().is_some());
        assert!(format!("{:?}", column.compression()).starts_with("ZSTD"));
    }
}

#[test]
fn an_empty_table_is_a_file_with_a_schema() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("residents.parquet");
    residents(&path, 0, SEED, &mut |_, _| ()).expect("written");
    assert!(read(&path).iter().all(|batch| batch.num_rows() == 0));
}

#[test]
fn too_many_rows_are_refused_before_a_file_is_made() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("x.parquet");
    let none = &mut |_, _| ();
    assert!(matches!(residents(&path, MAX_RESIDENTS + 1, 1, none), Err(DataError::TooMany { .. })));
    assert!(matches!(enterprises(&path, MAX_ENTERPRISES + 1, 1, none), Err(DataError::TooMany { .. })));
    assert!(matches!(electricity(&path, MAX_RESIDENTS + 1, 1, 1, none), Err(DataError::TooMany { .. })));
    assert!(matches!(electricity(&path, 10, 11, 1, none), Err(DataError::TooManyMeters)));
    assert!(!path.exists());
    electricity(&path, 10, 10, 1, none).expect("as many meters as residents");
}

#[test]
fn a_folder_that_is_not_there_is_said_in_both_languages() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("absent").join("x.parquet");
    let error = residents(&path, 1, 1, &mut |_, _| ()).expect_err("no folder");
    assert!(error.to_string().starts_with("cannot write ") && error.zh().starts_with("无法写入 "));
}

#[test]
fn sizes_come_from_one_number() {
    let sizes = Sizes::of(1_000_000).expect("in range");
    assert_eq!((sizes.residents(), sizes.metered(), sizes.enterprises()), (1_000_000, 200_000, 100_000));
    assert!(matches!(Sizes::of(9), Err(DataError::TooFew { least: 10 })));
    assert_eq!(Sizes::of(10).expect("the least").enterprises(), 1);
    assert!(Sizes::of(MAX_RESIDENTS).is_ok());
    assert!(matches!(Sizes::of(MAX_RESIDENTS + 1), Err(DataError::TooMany { most: MAX_RESIDENTS })));
}

#[test]
fn every_forbidden_string_is_found_wherever_it_stands() {
    let sizes = Sizes::of(500).expect("in range");
    let strings: Vec<(Forbidden, String)> = forbidden_strings(SEED, sizes).collect();
    assert_eq!(strings.len(), 2 * 500 + 2 * 50);
    let needles = Needles::new(strings.iter().map(|(_, text)| text));
    let distinct: HashSet<&String> = strings.iter().map(|(_, text)| text).collect();
    assert_eq!(needles.len(), distinct.len());
    for (_, text) in &strings {
        for haystack in [text.clone(), format!("\"{text}"), format!("{{\"值\":\"{text}\"}}"), format!("535353{text}李")]
        {
            assert!(needles.contains_any(haystack.as_bytes()));
        }
    }
    let (_, id) = &strings[0];
    assert_eq!(needles.find(format!("ab{id}").as_bytes()), Some((2, 18)));
    assert!(!needles.contains_any(&id.as_bytes()[..17]), "part of a number is not the number");
    assert!(!needles.contains_any(id.replace(&id[6..10], "1700").as_bytes()));
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let needles = Needles::new(["", "甲乙", "53"]);
    assert_eq!(needles.len(), 2);
    assert!(!needles.contains_any(b""));
    assert!(!needles.contains_any("甲 乙 5 3".as_bytes()));
    assert!(needles.contains_any("\u{0}\u{1}53".as_bytes()));
    assert!(!Needles::new(Vec::<String>::new()).contains_any("甲乙".as_bytes()));
}

#[test]
fn the_manifests_and_declared_values_hold_no_name_by_accident() {
    // The words that the demo is bound to print: places, levels, trades.
    let needles = Needles::new(forbidden_strings(SEED, Sizes::of(50_000).expect("in range")).map(|(_, text)| text));
    let mut words: Vec<&str> = EDUCATIONS.into();
    words.extend(SEXES);
    words.extend(PREFECTURES.iter().map(|p| p.name));
    words.extend(INDUSTRIES.iter().map(|i| i.name));
    assert!(!needles.contains_any(words.join(" ").as_bytes()));
    assert!(!needles.contains_any(words.join("").as_bytes()));
}
