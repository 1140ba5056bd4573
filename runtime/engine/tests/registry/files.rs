//! Files kept by their content.

use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use yunei_engine::registry::{Digest, FileStore, StoreError};

#[test]
fn files_are_kept_under_their_digest_and_verified() {
    let home = tempfile::tempdir().unwrap();
    let files = FileStore::open(&home.path().join("files")).unwrap();
    let digest = files.put(b"abc").unwrap();
    assert_eq!(digest, Digest::of(b"abc"));
    let path = files.path(&digest);
    assert!(path.ends_with(format!("files/sha256/ba/{digest}")), "{path:?}");
    assert_eq!(files.put(b"abc").unwrap(), digest);
    assert_eq!(files.get(&digest).unwrap(), b"abc");
    assert!(files.contains(&digest).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(home.path().join("files/tmp")).unwrap().count(), 0);

    let other = Digest::of(b"other");
    assert!(!files.contains(&other).unwrap());
    assert_eq!(files.get(&other).unwrap_err().code(), "store/not-found");

    std::fs::write(&path, b"abd").unwrap();
    let error = files.get(&digest).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)) && error.is_fatal());
    assert_eq!(files.put(b"abc").unwrap(), digest, "putting it again mends it");
    assert_eq!(files.get(&digest).unwrap(), b"abc");
    assert_eq!(FileStore::open(&home.path().join("files")).unwrap().get(&digest).unwrap(), b"abc");
}

#[test]
fn a_file_has_a_limit() {
    let home = tempfile::tempdir().unwrap();
    let files = FileStore::with_limit(home.path(), 10).unwrap();
    let digest = files.put(&[1; 10]).unwrap();
    assert_eq!(files.get(&digest).unwrap(), [1; 10]);
    assert_eq!(files.put(&[1; 11]).unwrap_err().code(), "store/limit");
    assert!(!files.contains(&Digest::of(&[1; 11])).unwrap());
    assert_eq!(FileStore::with_limit(home.path(), 9).unwrap().get(&digest).unwrap_err().code(), "store/damaged");
    assert_eq!(files.put(b"").unwrap(), Digest::of(b""));
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let files = FileStore::open(home.path()).unwrap();
    let digest = Digest::of(b"abc");
    // Where the folder of the digest should be there is a file.
    std::fs::write(files.path(&digest).parent().unwrap(), b"in the way").unwrap();
    let error = files.put(b"abc").unwrap_err();
    assert_eq!(error.code(), "store/io");
    assert!(error.is_fatal());
    assert_eq!(std::fs::read_dir(home.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn only_old_drafts_are_cleared_away() {
    let home = tempfile::tempdir().unwrap();
    drop(FileStore::open(home.path()).unwrap());
    let (old, new) = (home.path().join("tmp/old"), home.path().join("tmp/new"));
    std::fs::write(&old, b"x").unwrap();
    std::fs::write(&new, b"x").unwrap();
    let day = std::time::Duration::from_secs(86_400);
    std::fs::File::options().write(true).open(&old).unwrap().set_modified(std::time::SystemTime::now() - day).unwrap();
    drop(FileStore::open(home.path()).unwrap());
    assert!(!old.exists() && new.exists());
}

#[test]
fn many_may_put_the_same_at_once() {
    let home = tempfile::tempdir().unwrap();
    let files = FileStore::open(home.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20u8).for_each(|i| assert_eq!(files.put(&[i; 100]).unwrap(), Digest::of(&[i; 100]))));
        }
    });
    for i in 0..20u8 {
        assert_eq!(files.get(&Digest::of(&[i; 100])).unwrap(), [i; 100]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_put_is_got(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let home = tempfile::tempdir().unwrap();
        let files = FileStore::open(home.path()).unwrap();
        prop_assert_eq!(files.get(&files.put(&bytes).unwrap()).unwrap(), bytes);
    }
}
