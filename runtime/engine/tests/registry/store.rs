//! Making and opening stores, and the outbox.

use crate::tools::{address, ask, create, entry, fresh, open, path, run, server, store};
use std::os::unix::fs::PermissionsExt;
use yunei_engine::registry::{AuditEntry, Kind, MAX_ENTRY_BYTES, Store, StoreError, Words};
use yunei_policy::Lang;
use yunei_policy::words::{Role, State, Text};

fn code<T>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}

#[test]
fn a_store_is_made_once_whole_and_for_its_owner_alone() {
    if server().is_some() {
        return;
    }
    run(async {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(code(open(&home).await), "store/absent");
        let made = create(&home).await.unwrap();
        made.close().await;
        assert_eq!(code(create(&home).await), "store/occupied");
        let mode = std::fs::metadata(path(&home)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert!(names.iter().all(|n| !n.to_string_lossy().ends_with(".new")), "{names:?}");
        assert_eq!(code(open(&home).await), "ok");
    });
}

#[test]
fn of_many_who_make_a_store_at_once_one_does() {
    if server().is_some() {
        return;
    }
    run(async {
        let home = tempfile::tempdir().unwrap();
        let makers: Vec<_> = (0..8)
            .map(|_| {
                let path = path(&home);
                tokio::spawn(async move { code(Store::create(&path).await) })
            })
            .collect();
        let mut made = 0;
        for maker in makers {
            match maker.await.unwrap() {
                "ok" => made += 1,
                other => assert_eq!(other, "store/occupied"),
            }
        }
        assert_eq!(made, 1);
        let names: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert!(names.iter().all(|n| !n.to_string_lossy().ends_with(".new")), "{names:?}");
    });
}

#[test]
fn what_is_not_ours_is_left_alone() {
    if server().is_some() {
        return;
    }
    run(async {
        let home = tempfile::tempdir().unwrap();
        let foreign = home.path().join("foreign.db");
        for bytes in [Vec::new(), b"SQLite format 3".to_vec(), vec![7; 4096]] {
            std::fs::write(&foreign, &bytes).unwrap();
            assert_eq!(code(Store::open(&foreign).await), "store/foreign");
            assert_eq!(std::fs::read(&foreign).unwrap(), bytes);
        }
        assert_eq!(code(Store::open(home.path()).await), "store/foreign", "a folder");
        // Another program's database.
        let other = home.path().join("other.db");
        store(&home).await.close().await;
        let mut bytes = std::fs::read(path(&home)).unwrap();
        bytes[68..72].copy_from_slice(&[0; 4]);
        std::fs::write(&other, &bytes).unwrap();
        assert_eq!(code(Store::open(&other).await), "store/foreign");
        // Ours, but cut off in the middle.
        bytes[68..72].copy_from_slice(b"Yune");
        std::fs::write(&other, &bytes[..bytes.len() / 2]).unwrap();
        let error = Store::open(&other).await.unwrap_err();
        assert_eq!(error.code(), "store/damaged");
        assert!(error.is_fatal());
    });
}

/// Opens the database as SQLite does, past our own door.
async fn raw(home: &tempfile::TempDir, sql: &'static str) -> Result<(), sqlx::Error> {
    use sqlx::ConnectOptions;
    if let Some(server) = server() {
        let sql = sql.replace("x'00'", "'\\x00'::bytea");
        return ask(&address(home, &server), format!("SET search_path TO yunei; {sql}")).await;
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path(home));
    let mut connection = options.connect().await.unwrap();
    let done = sqlx::query(sql).execute(&mut connection).await.map(|_| ());
    sqlx::Connection::close(connection).await.unwrap();
    done
}

#[test]
fn a_newer_or_altered_schema_is_refused() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        store(&home).await.close().await;
        raw(
            &home,
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (999, 'later', TRUE, x'00', 0)",
        )
        .await
        .unwrap();
        assert_eq!(code(open(&home).await), "store/newer");
        raw(&home, "DELETE FROM _sqlx_migrations WHERE version = 999").await.unwrap();
        assert_eq!(code(open(&home).await), "ok");
        raw(&home, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await.unwrap();
        assert_eq!(code(open(&home).await), "store/damaged");
    });
}

#[test]
fn the_database_itself_keeps_what_is_spent() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        store(&home).await.close().await;
        raw(&home, "INSERT INTO spent VALUES ('s', 10, 10)").await.unwrap();
        assert_eq!(code(open(&home).await), "store/damaged", "spent without a ledger");
        raw(&home, "UPDATE spent SET rho = 9").await.unwrap_err();
        raw(&home, "UPDATE spent SET delta = 9").await.unwrap_err();
        raw(&home, "UPDATE spent SET scope_key = 't'").await.unwrap_err();
        raw(&home, "DELETE FROM spent").await.unwrap_err();
        raw(&home, "INSERT INTO ledger SELECT id, 's', 10, 10, 0 FROM products").await.unwrap_err();
        raw(&home, "INSERT INTO runs (id, institution, product, purpose, state, at, changed_at) VALUES ('r', 'operator', 'p', 'x', 'charged', 0, 0)").await.unwrap();
        raw(&home, "INSERT INTO ledger VALUES ('r', 's', 10, 10, 0)").await.unwrap();
        assert_eq!(code(open(&home).await), "ok");
        raw(&home, "UPDATE ledger SET rho = 1").await.unwrap_err();
        raw(&home, "DELETE FROM ledger").await.unwrap_err();
    });
}

#[test]
fn a_change_and_its_audit_entry_are_there_together_or_not_at_all() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        let before = store.outbox_pending().await.unwrap();
        assert_eq!(before.len(), 5);
        let title = Text::new("甲", "A");
        let twice = entry(&before[0].id);
        let error = store.add_institution("new", Role::Holder, &title, 1, twice).await.unwrap_err();
        assert!(matches!(error, StoreError::Exists { kind: Kind::AuditEntry, .. }), "{error:?}");
        assert_eq!(code(store.institution("new").await), "store/not-found");
        let error = store.set_institution_state("holder", State::Suspended, 2, twice).await.unwrap_err();
        assert_eq!(error.code(), "store/exists");
        assert_eq!(store.institution("holder").await.unwrap().state, State::Approved);
        assert_eq!(store.outbox_pending().await.unwrap(), before);
        assert_eq!(
            code(store.set_institution_state("holder", State::Submitted, 2, entry("unused")).await),
            "store/state"
        );
        assert_eq!(code(store.outbox_index("unused").await), "store/not-found");
    });
}

#[test]
fn the_outbox_is_emptied_in_order_and_once() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        let pending = store.outbox_pending().await.unwrap();
        for (index, entry) in (0..).zip(&pending) {
            assert_eq!(store.outbox_index(&entry.id).await.unwrap(), None);
            store.outbox_done(&entry.id, index).await.unwrap();
            store.outbox_done(&entry.id, index).await.unwrap();
            assert_eq!(code(store.outbox_done(&entry.id, index + 1).await), "store/exists");
            assert_eq!(store.outbox_index(&entry.id).await.unwrap(), Some(index));
        }
        assert_eq!(store.outbox_pending().await.unwrap(), []);
        assert_eq!(code(store.outbox_done("nothing", 1).await), "store/not-found");
        assert_eq!(code(store.outbox_done("nothing", u64::MAX).await), "store/limit");
        // What is done is still known: its id is not used again.
        let title = Text::new("甲", "A");
        let again = store.add_institution("new", Role::Holder, &title, 1, entry(&pending[0].id)).await;
        assert_eq!(code(again), "store/exists");
    });
}

#[test]
fn audit_entries_have_limits() {
    let json = |n: usize| format!("\"{}\"", "x".repeat(n - 2));
    assert!(AuditEntry::new(&"i".repeat(128), &json(MAX_ENTRY_BYTES)).is_ok());
    assert!(AuditEntry::new(&"i".repeat(129), "1").is_err());
    assert!(AuditEntry::new("", "1").is_err());
    assert!(AuditEntry::new("a\n", "1").is_err());
    assert!(AuditEntry::new("i", &json(MAX_ENTRY_BYTES + 1)).is_err());
    assert!(AuditEntry::new("i", "{").is_err());
}

#[test]
fn two_stores_on_one_file_see_each_other() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let one = store(&home).await;
        let other = open(&home).await.unwrap();
        let title = Text::new("甲", "A");
        one.add_institution("a", Role::Holder, &title, 1, entry(&fresh())).await.unwrap();
        assert_eq!(other.institution("a").await.unwrap().title, title);
        other.set_institution_state("a", State::Suspended, 2, entry(&fresh())).await.unwrap();
        assert_eq!(one.institution("a").await.unwrap().state, State::Suspended);
        let writes = (0..40).map(|i| {
            let store = if i % 2 == 0 { one.clone() } else { other.clone() };
            tokio::spawn(async move {
                let title = Text::new("乙", "B");
                store.add_institution(&format!("b{i}"), Role::Business, &title, 1, entry(&fresh())).await
            })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap().unwrap();
        }
        assert_eq!(one.institutions().await.unwrap().len(), 4 + 1 + 40);
        assert_eq!(other.institutions().await.unwrap(), one.institutions().await.unwrap());
    });
}

#[test]
fn every_error_has_its_words() {
    let (kind, id) = (Kind::Model, "m@1".to_owned());
    let errors = [
        StoreError::NotFound { kind, id: id.clone() },
        StoreError::Exists { kind, id: id.clone() },
        StoreError::State { kind, id: id.clone(), from: "retired".into(), to: "approved".into() },
        StoreError::Owner { kind, id },
        StoreError::Limit("run id"),
        StoreError::Absent,
        StoreError::Occupied,
        StoreError::Foreign,
        StoreError::Newer,
        StoreError::Url(Words { zh: "不是有效的地址", en: "it is no address" }),
        StoreError::Unreachable,
        StoreError::Denied(Words { zh: "没有这个数据库", en: "there is no such database" }),
        StoreError::Unfit(Words { zh: "服务器版本过旧", en: "the server is too old" }),
        StoreError::Held,
        StoreError::OtherHome,
        StoreError::Busy,
        StoreError::Damaged("a seed is not 32 bytes"),
        StoreError::Io(std::io::Error::other("x")),
        StoreError::Database(sqlx::Error::PoolClosed),
    ];
    let told: Vec<String> = errors
        .iter()
        .map(|error| {
            let refusal = error.to_refusal();
            let hint = |lang| refusal.advice().map_or(String::new(), |h| format!(" | {}", h.get(lang)));
            let text = |lang| format!("{}{}", refusal.message().get(lang), hint(lang));
            let fatal = if error.is_fatal() { " (fatal)" } else { "" };
            assert_eq!(refusal.code(), error.code());
            format!("{}{fatal}\n    {}\n    {}", error.code(), text(Lang::En), text(Lang::Zh))
        })
        .collect();
    insta::assert_snapshot!("errors", told.join("\n"));
}
