//! What can go wrong while the demo's tables are made.

use std::io;
use std::path::PathBuf;

use datafusion::parquet::errors::ParquetError;

/// A table of the demo that could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// Fewer rows than make a story.
    #[error("the demo needs at least {least} rows")]
    TooFew {
        /// The smallest number that is taken.
        least: u64,
    },
    /// More rows than identity numbers are unique for.
    #[error("the demo takes at most {most} rows")]
    TooMany {
        /// The largest number that is taken.
        most: u64,
    },
    /// More metered residents than residents.
    #[error("more metered residents than residents")]
    TooManyMeters,
    /// The file could not be made, written or moved into its place.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The Parquet writer refused, most often because the disk is full.
    #[error("cannot write {}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        source: ParquetError,
    },
}

impl DataError {
    /// The same message in Chinese; [`std::fmt::Display`] has it in English.
    pub(crate) fn zh(&self) -> String {
        match self {
            Self::TooFew { least } => format!("演示至少需要 {least} 行数据"),
            Self::TooMany { most } => format!("演示最多支持 {most} 行数据"),
            Self::TooManyMeters => "有电表的居民不能多于居民总数".to_owned(),
            Self::Io { path, source } => format!("无法写入 {}：{source}", path.display()),
            Self::Parquet { path, source } => format!("无法写入 {}：{source}", path.display()),
        }
    }
}
