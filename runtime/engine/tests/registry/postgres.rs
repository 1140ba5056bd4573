//! What only a server can be: absent, closed to us, badly set, another's, restarted in the middle. Runs where
//! `YUNEI_TEST_POSTGRES` names one.

use crate::tools::{ask, begin, create, database, entry, fresh, open, run, server, store, url};
use yunei_engine::registry::{Store, StoreError, StoreUrl};
use yunei_policy::words::{Role, Text};

fn code<T>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}

/// The server, or a line that says that the test did not run.
fn needs_server() -> Option<String> {
    let found = server();
    if found.is_none() {
        eprintln!("SKIPPED: YUNEI_TEST_POSTGRES names no server");
    }
    found
}

async fn code_at(address: &str) -> &'static str {
    match StoreUrl::parse(address) {
        Err(error) => error.code(),
        Ok(url) => code(Store::open_at(&url).await),
    }
}

#[test]
fn who_cannot_be_reached_or_does_not_let_us_in_is_told_apart() {
    let Some(server) = needs_server() else { return };
    run(async {
        let home = tempfile::tempdir().unwrap();
        store(&home).await.close().await;
        let ours = url(&home, &server);
        let name = ours.public().rsplit_once('/').unwrap().1.to_owned();
        assert_eq!(code(Store::open_at(&ours).await), "ok");
        assert_eq!(code_at("postgres://127.0.0.1:1/home?sslmode=disable").await, "store/unreachable");
        assert_eq!(code_at(&database(&server, "there_is_none")).await, "store/denied");
        assert_eq!(code_at("postgres://127.0.0.1/").await, "store/url");
        // A database that is not ours: empty, of somebody else, and with a schema of our name.
        let other = format!("{name}_other");
        ask(&server, format!("CREATE DATABASE {other} TEMPLATE template0 ENCODING 'UTF8'")).await.unwrap();
        let other = database(&server, &other);
        assert_eq!(code_at(&other).await, "store/absent");
        ask(&other, "CREATE TABLE theirs (n int)".to_owned()).await.unwrap();
        assert_eq!(code_at(&other).await, "store/foreign");
        let other = StoreUrl::parse(&other).unwrap();
        assert_eq!(code(Store::create_at(&other).await), "store/occupied");
        assert_eq!(code(Store::create_at(&ours).await), "store/occupied");
        let latin = format!("{name}_latin");
        ask(
            &server,
            format!("CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"),
        )
        .await
        .unwrap();
        assert_eq!(code_at(&database(&server, &latin)).await, "store/unfit");
    });
}

#[test]
fn a_user_that_only_reads_and_a_server_that_forgets_are_refused() {
    let Some(server) = needs_server() else { return };
    run(async {
        let home = tempfile::tempdir().unwrap();
        store(&home).await.close().await;
        let ours = url(&home, &server);
        let name = ours.public().rsplit_once('/').unwrap().1.to_owned();
        let set = |what: &str| ask(&server, format!("ALTER DATABASE {name} {what}"));
        set("SET synchronous_commit TO off").await.unwrap();
        assert_eq!(code(Store::open_at(&ours).await), "store/unfit");
        set("RESET synchronous_commit").await.unwrap();
        set("SET default_transaction_read_only TO on").await.unwrap();
        assert_eq!(code(Store::open_at(&ours).await), "store/unfit");
        set("RESET default_transaction_read_only").await.unwrap();
        // A stricter default of the server does not change what a change reads.
        set("SET default_transaction_isolation TO 'serializable'").await.unwrap();
        let (one, other) = (open(&home).await.unwrap(), open(&home).await.unwrap());
        let adds = (0..20).map(|i| {
            let store = if i % 2 == 0 { one.clone() } else { other.clone() };
            tokio::spawn(async move {
                let title = Text::new("乙", "B");
                store.add_institution(&format!("c{i}"), Role::Business, &title, 1, entry(&fresh())).await
            })
        });
        for add in adds.collect::<Vec<_>>() {
            add.await.unwrap().unwrap();
        }
        set("RESET default_transaction_isolation").await.unwrap();
    });
}

#[test]
fn of_many_who_make_a_store_in_one_database_one_does() {
    if needs_server().is_none() {
        return;
    }
    run(async {
        let home = tempfile::tempdir().unwrap();
        let (a, b, c) = tokio::join!(create(&home), create(&home), create(&home));
        let mut codes = [code(a), code(b), code(c)];
        codes.sort_unstable();
        assert_eq!(codes, ["ok", "store/occupied", "store/occupied"]);
        assert_eq!(code(open(&home).await), "ok");
    });
}

#[test]
fn sessions_that_are_cut_in_the_middle_of_a_change_leave_nothing_half_written() {
    let Some(server) = needs_server() else { return };
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        let name = url(&home, &server).public().rsplit_once('/').unwrap().1.to_owned();
        let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        let mut confirmed = 0;
        let cutter = {
            let (server, cut) = (server.clone(), cut.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    ask(&server, cut.clone()).await.unwrap();
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            })
        };
        let mut asked = 0;
        while !cutter.is_finished() || asked < 40 {
            let (id, title) = (format!("d{asked}"), Text::new("丙", "C"));
            match store.add_institution(&id, Role::Business, &title, 1, entry(&fresh())).await {
                Ok(()) => confirmed += 1,
                Err(error) => assert!(!matches!(error.code(), "store/exists" | "store/damaged"), "{error:?}"),
            }
            asked += 1;
        }
        cutter.await.unwrap();
        let there = store.institutions().await.unwrap().iter().filter(|i| i.id.starts_with('d')).count();
        let entries = store.outbox_pending().await.unwrap().len();
        // Each has its entry; what was confirmed is there; what was not may be there too (the answer was cut off).
        assert_eq!(there + 5, entries);
        assert!((confirmed..=asked).contains(&there), "{confirmed} {there} {asked}");
        assert_eq!(code(open(&home).await), "ok");
        begin(&store, "after", None).await;
    });
}
