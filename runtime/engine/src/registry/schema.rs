//! The schema of the store: one list of migrations for both databases.
//!
//! Their text is SQLite's. For PostgreSQL it is translated statement by statement ([`super::ddl`]); a word that the
//! translation does not know is an error, never passed on.

use super::ddl;
use super::error::StoreError;
use super::store::Engine;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

/// Where a migration is applied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Both,
    /// It is about rows of before there were stores in PostgreSQL.
    Sqlite,
    /// It is PostgreSQL's own text.
    Postgres,
}

const MIGRATIONS: &[(i64, &str, On, &str)] = &[
    (0, "words", On::Postgres, include_str!("../../migrations/0000_words.postgres.sql")),
    (1, "registry", On::Both, include_str!("../../migrations/0001_registry.sql")),
    (110, "statistical", On::Both, include_str!("../../migrations/0110_statistical.sql")),
    (120, "log seen", On::Both, include_str!("../../migrations/0120_log_seen.sql")),
    (130, "credentials", On::Both, include_str!("../../migrations/0130_credentials.sql")),
    (140, "standing", On::Both, include_str!("../../migrations/0140_standing.sql")),
    (141, "lifecycle", On::Both, include_str!("../../migrations/0141_lifecycle.sql")),
    (150, "verification", On::Both, include_str!("../../migrations/0150_verification.sql")),
    (170, "release order", On::Both, include_str!("../../migrations/0170_release_order.sql")),
    (171, "release order before", On::Sqlite, include_str!("../../migrations/0171_release_order_before.sqlite.sql")),
    (180, "holder", On::Both, include_str!("../../migrations/0180_holder.sql")),
    (181, "holder of postgres", On::Postgres, include_str!("../../migrations/0181_holder.postgres.sql")),
];

fn migrator(engine: Engine) -> Result<Migrator, StoreError> {
    let mut migrations = Vec::with_capacity(MIGRATIONS.len());
    for &(version, name, on, text) in MIGRATIONS {
        let sql = match (on, engine) {
            (On::Sqlite, Engine::Postgres) | (On::Postgres, Engine::Sqlite) => continue,
            (On::Both | On::Sqlite, Engine::Sqlite) | (On::Postgres, Engine::Postgres) => text.into_sql_str(),
            // Our own text in other words; no value from outside is in it.
            (On::Both, Engine::Postgres) => sqlx::AssertSqlSafe(
                ddl::postgres(text).map_err(|_| StoreError::Damaged("a migration has no words for PostgreSQL"))?,
            )
            .into_sql_str(),
        };
        migrations.push(Migration::new(version, name.into(), MigrationType::Simple, sql, false));
    }
    Ok(Migrator::with_migrations(migrations))
}

/// Brings a store's schema up to date.
///
/// # Errors
/// [`StoreError::Newer`]; [`StoreError::Damaged`] where it is not the schema that this release made.
pub(super) async fn migrate<C: Migrate>(engine: Engine, connection: &mut C) -> Result<(), StoreError> {
    migrator(engine)?.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(_) => StoreError::Newer,
        MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => {
            StoreError::Damaged("its schema is not the one that this release made")
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        _ => StoreError::Damaged("its schema cannot be brought up to date"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_has_words_in_both_databases() {
        for (version, name, on, text) in MIGRATIONS {
            if *on == On::Both {
                assert!(ddl::postgres(text).is_ok(), "{version} {name}: {:?}", ddl::postgres(text));
            }
        }
        assert!(MIGRATIONS.is_sorted_by_key(|m| m.0));
    }

    #[test]
    fn the_text_for_postgres_is_looked_at_when_it_changes() {
        let texts = MIGRATIONS.iter().filter(|m| m.2 == On::Both);
        let told: Vec<String> = texts.map(|m| format!("-- {}\n{}", m.0, ddl::postgres(m.3).unwrap())).collect();
        insta::assert_snapshot!("postgres", told.join("\n"));
    }
}
