//! The people, meters and firms of the demo: invented, seeded, and written to Parquet as they are made.
//!
//! Every row is a pure function of `(seed, index)` ([`resident`], [`readings`], [`enterprise`]), so the demo can
//! say what any one row holds without reading the file, and a test can name every string that must never leave.
//! No table is ever held in memory: at most one batch of [`BATCH_ROWS`] rows and one row group of the writer.

mod draw;
mod electricity;
mod enterprises;
mod error;
mod ids;
mod names;
mod places;
mod residents;
mod search;
mod table;

#[cfg(test)]
mod tests;

pub(crate) use electricity::{METER_MONTHS, electricity, metered_resident, readings};
pub(crate) use enterprises::{Enterprise, INDUSTRIES, MAX_ENTERPRISES, enterprise, enterprises};
pub(crate) use error::DataError;
pub(crate) use places::PREFECTURES;
pub(crate) use residents::{EDUCATIONS, MAX_RESIDENTS, Resident, SEXES, TODAY, resident, residents};
pub(crate) use search::{Forbidden, Needles, forbidden_strings};
pub(crate) use table::{BATCH_ROWS, Progress};

/// How many rows each table of the demo has, all from one number.
///
/// A fifth of the residents have a meter of their own; there is one enterprise for ten residents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    residents: u64,
}

impl Sizes {
    /// The sizes of a demo of `residents` people.
    ///
    /// # Errors
    /// [`DataError::TooFew`] below ten people (no meter or no enterprise would be left), [`DataError::TooMany`]
    /// above [`MAX_RESIDENTS`].
    pub(crate) fn of(residents: u64) -> Result<Self, DataError> {
        if residents < 10 {
            return Err(DataError::TooFew { least: 10 });
        }
        if residents > MAX_RESIDENTS {
            return Err(DataError::TooMany { most: MAX_RESIDENTS });
        }
        Ok(Self { residents })
    }

    /// Rows of the table of residents.
    pub(crate) fn residents(self) -> u64 {
        self.residents
    }

    /// Residents who have a meter; each has [`METER_MONTHS`] rows.
    pub(crate) fn metered(self) -> u64 {
        self.residents / 5
    }

    /// Rows of the table of enterprises.
    pub(crate) fn enterprises(self) -> u64 {
        self.residents / 10
    }
}
