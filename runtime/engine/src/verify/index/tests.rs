use super::build::MAX_UNITS_IN_MEMORY;
use super::*;

const KEY: [u8; 32] = [7; 32];

fn origin() -> Origin {
    Origin { product: [1; 32], source: [2; 32], version: 3, as_of: 4 }
}

fn packed(values: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        pack(&mut out, value.as_bytes());
    }
    out
}

/// Person `i` is `P…i`, lives in city `i % 3`; the fixed predicate holds for all but every fifth.
fn build(folder: &Path, people: u64, rows: u64) -> std::path::PathBuf {
    let mut builder = Builder::new(IndexKey::new(&KEY), origin(), rows, folder).unwrap();
    let mut batch = build::Batch::default();
    for i in 0..people {
        let id = format!("P{i:08}");
        let identity = packed(&[&id, "x"]);
        batch.push(builder.key(), &identity, &id, &packed(&[&(i % 3).to_string()]), i % 5 != 0);
    }
    builder.add(batch).unwrap();
    let path = folder.join("index");
    assert_eq!(builder.finish(&path).unwrap(), std::fs::metadata(&path).unwrap().len());
    path
}

fn ask(index: &Index, id: &str, other: &str, city: u64) -> (bool, bool, bool) {
    let wanted = index.key().wanted(&packed(&[id, other]), id.as_bytes(), &packed(&[&city.to_string()]));
    let found = index.look_up(&wanted);
    (found.known.into(), found.holds.into(), found.canary.into())
}

#[test]
fn everybody_is_found_and_nobody_else() {
    for people in [0, 1, 3, 5, 64, 5_000] {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(&build(folder.path(), people, people), IndexKey::new(&KEY), &origin()).unwrap();
        assert_eq!(index.len(), people);
        for i in 0..people {
            let id = format!("P{i:08}");
            assert_eq!(ask(&index, &id, "x", i % 3), (true, i % 5 != 0, false), "{i} of {people}");
            assert_eq!(ask(&index, &id, "x", (i + 1) % 3), (true, false, false));
            assert_eq!(ask(&index, &id, "y", i % 3), (false, false, false));
        }
        for i in people + 10..people + 2_000 {
            let (known, holds, _) = ask(&index, &format!("P{i:08}"), "x", i % 3);
            assert!(!known && !holds);
        }
    }
}

#[test]
fn canaries_are_numbers_that_nobody_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = Builder::new(IndexKey::new(&KEY), origin(), 10_000, folder.path()).unwrap();
    let mut batch = build::Batch::default();
    // Every tenth number is given out.
    for i in 0..10_000 {
        let id = format!("P{:08}", i * 10);
        batch.push(builder.key(), &packed(&[&id, "x"]), &id, &[], true);
    }
    builder.add(batch).unwrap();
    builder.finish(&folder.path().join("index")).unwrap();
    let index = Index::open(&folder.path().join("index"), IndexKey::new(&KEY), &origin()).unwrap();
    let canary = |i: u64| ask(&index, &format!("P{i:08}"), "x", 0).2;
    assert!((0..10_000).all(|i| !canary(i * 10)));
    let hits = (0..100_000).filter(|i| canary(*i)).count();
    assert!((1_000..1_500).contains(&hits), "{hits}: about an eighth of 10,000");
    // Far away there is none, but for the filter's errors.
    assert!((200_000..300_000).filter(|i| canary(*i)).count() < 50);
}

#[test]
fn any_damage_and_any_other_origin_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), 300, 300);
    let whole = std::fs::read(&path).unwrap();
    let open = |bytes: &[u8], key: [u8; 32], origin: Origin| {
        let path = folder.path().join("other");
        std::fs::write(&path, bytes).unwrap();
        Index::open(&path, IndexKey::new(&key), &origin).is_some()
    };
    assert!(open(&whole, KEY, origin()));
    assert!(!open(&whole, [8; 32], origin()));
    for other in [
        Origin { product: [9; 32], ..origin() },
        Origin { source: [9; 32], ..origin() },
        Origin { version: 9, ..origin() },
        Origin { as_of: 9, ..origin() },
    ] {
        assert!(!open(&whole, KEY, other));
    }
    for at in (0..whole.len()).step_by(61).chain([0, HEADER - 1, HEADER, whole.len() - 1]) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(!open(&changed, KEY, origin()), "byte {at}");
    }
    assert!(!open(&whole[..whole.len() - 1], KEY, origin()));
    assert!(!open(&[&whole[..], &[0]].concat(), KEY, origin()));
    assert!(!open(&whole[..100], KEY, origin()) && !open(&[], KEY, origin()));
}

#[test]
fn nothing_of_a_subject_stands_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(build(folder.path(), 1_000, 1_000)).unwrap();
    for i in 0..1_000 {
        let id = format!("P{i:08}");
        assert!(!bytes.windows(id.len()).any(|w| w == id.as_bytes()));
    }
    // Whether the fixed predicate holds can not be told from a record: its claim tag is as even as any.
    let records = &bytes[bytes.len() - 1_000 * RECORD..];
    let ones: u32 = records.chunks_exact(RECORD).map(|r| r[16..].iter().map(|b| b.count_ones()).sum::<u32>()).sum();
    assert!((62_000..66_000).contains(&ones), "{ones}");
}

#[test]
fn parts_in_files_make_the_same_index() {
    let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let in_memory = std::fs::read(build(one.path(), 5_000, 5_000)).unwrap();
    let in_files = std::fs::read(build(many.path(), 5_000, MAX_UNITS_IN_MEMORY * 7)).unwrap();
    assert!(in_memory == in_files);
    assert_eq!(std::fs::read_dir(many.path()).unwrap().count(), 1, "no part is left");
}

#[test]
fn a_look_up_reads_as_much_whoever_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(&build(folder.path(), 20_000, 20_000), IndexKey::new(&KEY), &origin()).unwrap();
    // The window covers every bucket, so that no look-up is longer or shorter than another.
    let bits = index.header.bits;
    let mut counts = vec![0u32; 1 << bits];
    for record in index.map[index.records..].chunks_exact(RECORD) {
        let high = u64::from_le_bytes(std::array::from_fn(|i| record[i]));
        counts[(high >> (64 - bits)) as usize] += 1;
    }
    assert_eq!(counts.iter().copied().max(), Some(index.header.window));
    assert!(index.header.window < 24, "{}", index.header.window);
    assert!(index.bytes() <= 20_000 * 40, "{} bytes", index.bytes());
}

#[test]
fn match_wrong_claim_and_unknown_take_the_same_steps() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(&build(folder.path(), 20_000, 20_000), IndexKey::new(&KEY), &origin()).unwrap();
    let steps = |id: &str, other: &str, city: u64| {
        index.steps(&index.key().wanted(&packed(&[id, other]), id.as_bytes(), &packed(&[&city.to_string()])))
    };
    let all: std::collections::BTreeSet<usize> = (0..20_000u64)
        .flat_map(|i| {
            let (known, unknown) = (format!("P{i:08}"), format!("Q{i:08}"));
            [steps(&known, "x", i % 3), steps(&known, "x", 9), steps(&known, "y", i % 3), steps(&unknown, "x", i % 3)]
        })
        .collect();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [index.header.window as usize]);
}
