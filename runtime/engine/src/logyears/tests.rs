//! A sealing that is broken off at every step, and gone on with by the next opening.

use super::*;
use crate::{Clock, Domain};
use std::sync::Arc;
use yunei_audit::Entry;

const OLD: i64 = 1_795_392_000_000;
/// 2027-01-01 00:00 in Beijing.
const NEW: i64 = 1_798_732_800_000;

fn clock(at: i64) -> Clock {
    Arc::new(move || at)
}

async fn home(folder: &Path) -> PathBuf {
    let root = folder.join("home");
    Domain::create(&root, "test.example/domain", None, clock(OLD)).await.unwrap().close().await;
    root
}

/// The home is whole: a log of 2027 that follows a sealed one of 2026, nothing left over, nothing said twice.
async fn whole(root: &Path, sealed: u64) {
    let domain = Domain::open(root, clock(NEW)).await.unwrap();
    assert_eq!(domain.log().origin(), "test.example/domain/2027");
    assert_eq!(domain.log().size(), 1);
    let holder = yunei_policy::words::Role::Holder;
    let title = yunei_policy::Text::new("又一单位", "Another");
    domain.add_institution("authority", "another", holder, &title).await.unwrap();
    domain.close().await;
    let (keys, kept) = (public_log_keys(root).unwrap(), kept_logs(root).unwrap());
    assert_eq!(keys.logs().len(), 2);
    let current = Archive::open(&root.join("log"), keys.current()).unwrap();
    let found = check_chain(&current, &keys, &kept).unwrap();
    assert_eq!((found.len(), found[0].1.size()), (1, sealed));
    let mut names: Vec<String> = fs::read_dir(root.join("keys"))
        .unwrap()
        .map(|item| item.unwrap().file_name().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["domain.key", "log.key", "log.vkey"]);
    assert!(!root.join("log.successor").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_after_its_last_entry_it_is_finished_from_every_step() {
    let stops = [
        Stop::Opened,
        Stop::KeysTold,
        Stop::OldAway,
        Stop::NextInPlace,
        Stop::OldKeyKept,
        Stop::KeyInPlace,
        Stop::Sm2InPlace,
        Stop::Never,
    ];
    for stop in stops {
        let folder = tempfile::tempdir().unwrap();
        let root = home(folder.path()).await;
        let domain = Domain::open(&root, clock(NEW)).await.unwrap();
        domain.seal_now("authority").await.unwrap();
        let sealed = domain.log().size();
        // Nothing goes into the sealed log any more, and nothing is said to have been done that is not on record.
        let title = yunei_policy::Text::new("机构", "x");
        let late = domain.add_institution("authority", "late", yunei_policy::words::Role::Holder, &title).await;
        assert_eq!(late.unwrap_err().reasons()[0].code(), "audit/sealed");
        drop(domain);
        let (home, key) = Home::open(&root).unwrap();
        drop(home.finish_sealing_until(key, NEW, stop).unwrap());
        drop(home);
        let domain = Domain::open(&root, clock(NEW)).await.unwrap();
        // What the registry had taken and the sealed log had not is in the one that follows.
        let entries: Vec<_> = domain.log().entries(0..domain.log().size()).map(|item| item.unwrap().1).collect();
        let kinds: Vec<&str> = entries.iter().map(Entry::kind).collect();
        assert_eq!(kinds, ["log/opened", "institution.added"], "{stop:?}");
        domain.close().await;
        let (keys, kept) = (public_log_keys(&root).unwrap(), kept_logs(&root).unwrap());
        let current = Archive::open(&root.join("log"), keys.current()).unwrap();
        let found = check_chain(&current, &keys, &kept).unwrap();
        assert_eq!((found.len(), found[0].1.size()), (1, sealed), "{stop:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_before_its_last_entry_nothing_has_happened() {
    for made in ["key", "key and log"] {
        let folder = tempfile::tempdir().unwrap();
        let root = home(folder.path()).await;
        let key = SigningKey::generate("test.example/domain/2027").unwrap();
        key.save(&root.join("keys/log.successor.key")).unwrap();
        if made != "key" {
            Log::create(&root.join("log.successor"), key).unwrap().close().unwrap();
        }
        // The old log goes on.
        let domain = Domain::open(&root, clock(NEW)).await.unwrap();
        assert_eq!(domain.log().origin(), "test.example/domain", "{made}");
        let title = yunei_policy::Text::new("机构", "x");
        domain.add_institution("authority", "late", yunei_policy::words::Role::Holder, &title).await.unwrap();
        let size = domain.log().size();
        domain.close().await;
        let rotation = Domain::rotate_log_key(&root, &clock(NEW)).unwrap_err();
        assert_eq!(rotation.reasons()[0].code(), "key/sealing");
        Domain::seal_log(&root, clock(NEW), "authority").await.unwrap();
        whole(&root, size + 1).await;
    }
}

#[test]
fn the_years_of_names() {
    let of = |origin| year_of_origin("a/b", origin);
    assert_eq!((of("a/b"), of("a/b/2027")), (Some(0), Some(2027)));
    for none in ["a", "a/b/", "a/b/x", "a/b/02027", "a/b/2027/1", "a/b2027", ""] {
        assert_eq!(of(none), None, "{none}");
    }
    assert!(["2026", "1", "999999"].iter().all(|year| is_year(year)));
    assert!(["", "0", "02026", "1234567", "-1", "2026.new"].iter().all(|year| !is_year(year)));
}
