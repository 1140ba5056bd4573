//! The command line of the log and its receipts, as clap reads it.

use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use yunei_engine::dates::parse_date;
use yunei_engine::domain::{Outcome, Period};

/// The calendar of Beijing is eight hours ahead of UTC.
const BEIJING_MILLIS: i64 = 8 * 3_600_000;
const DAY_MILLIS: i64 = 86_400_000;

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Lists entries, the newest first.
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// How many.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000))]
        last: u16,
        /// Only entries older than this place in the log: the next page.
        #[arg(long, value_name = "INDEX")]
        before: Option<u64>,
    },
    /// Shows one entry.
    Show {
        /// Its place in the log.
        index: u64,
        /// In the log of this year.
        #[arg(long)]
        year: Option<String>,
    },
    /// Counts entries by kind and outcome.
    Stats {
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Totals uses by institution, product, purpose and period, with the price class: for billing.
    Usage {
        /// Of this institution only.
        #[arg(long)]
        institution: Option<String>,
        /// Of this product only.
        #[arg(long)]
        product: Option<String>,
        #[command(flatten)]
        days: DayArgs,
        /// By which periods, in the calendar of Beijing.
        #[arg(long, value_enum, default_value_t = PeriodArg::Month)]
        period: PeriodArg,
        /// Writes them as CSV.
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
    },
    /// Writes entries to a file: .jsonl or .parquet.
    Export {
        #[command(flatten)]
        filter: FilterArgs,
        /// The file.
        #[arg(short = 'o', value_name = "FILE")]
        output: PathBuf,
    },
    /// Proves that an entry is in the log (C2SP tlog-proof), or that an earlier log is its beginning.
    Prove {
        /// The entry's place in the log.
        #[arg(required_unless_present = "consistency")]
        index: Option<u64>,
        /// The size of the earlier log.
        #[arg(long, value_name = "SIZE", conflicts_with = "index")]
        consistency: Option<u64>,
        /// In the log of this year.
        #[arg(long)]
        year: Option<String>,
    },
    /// Checks the whole log against its signed checkpoint, and the logs of earlier years, and that each follows the one before.
    /// Needs no lock and, with --log and --key, no home.
    Verify {
        /// The log's public key or keys, or a file with them; also keys of witnesses, whose cosignatures are then asked for.
        #[arg(long)]
        key: Vec<String>,
        /// A copy of the log's folder, or of its public part, instead of the home's.
        #[arg(long, value_name = "DIR")]
        log: Option<PathBuf>,
        /// An earlier checkpoint that the log must continue.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// Demands a good SM2 signature of the newest checkpoint.
        #[arg(long)]
        require_sm2: bool,
    },
    /// Lists the logs of all years: the one that is written, those that are sealed, those that were moved.
    Logs,
    /// Seals the log of a year that is over and begins the next one. The sealed log stays in the home, readable as before.
    Seal,
    /// Moves the sealed log of a year out of the home, three years after its latest entry and no earlier. Deletes nothing.
    Move {
        /// The year.
        year: String,
        /// The new place of its folder, on the same file system.
        to: PathBuf,
        /// Where it went, for people; it stands in the log. The folder's name where it is not said.
        #[arg(long)]
        place: Option<String>,
    },
    /// Gives the log an SM2 key that signs beside the Ed25519 key (programs built with the feature sm).
    AddSm2Key,
    /// Prints the newest signed checkpoint: to be kept elsewhere.
    Checkpoint,
    /// Does recorded runs again inside the domain and compares every digest. Charges nothing, releases the verdict alone.
    Replay {
        /// The runs.
        #[arg(required_unless_present = "all")]
        runs: Vec<String>,
        /// Every run that released something.
        #[arg(long, conflicts_with = "runs")]
        all: bool,
        /// Under the rules and policies of the day of the run, where others are in force now.
        #[arg(long)]
        recorded_policy: bool,
        /// Of one verification: an identity field of its subject, or - for a JSON object on standard input.
        #[arg(short = 'i', value_name = "FIELD=VALUE", conflicts_with = "all")]
        identity: Vec<String>,
        /// Of one verification: the claimed value, where the product takes one; FIELD=VALUE where it takes several.
        #[arg(long = "claim", value_name = "VALUE", requires = "identity")]
        claims: Vec<String>,
        /// Of one verification: the subject's consent, a file with the token.
        #[arg(long, value_name = "FILE", requires = "identity")]
        consent: Option<PathBuf>,
    },
    /// Runs a witness: cosigns checkpoints of logs after it has checked that they only grew. For the authority's own machine.
    Witness {
        /// Its folder: key and state. Made where it is not there.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Its name, for a new key.
        #[arg(long, default_value = "witness.example/yunei")]
        name: String,
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:8790")]
        listen: SocketAddr,
        /// A public key, or a file with keys, of a log that it witnesses.
        #[arg(long = "for", value_name = "KEY", required = true)]
        logs: Vec<String>,
    },
    /// Replaces the key that signs the log. Old and new key sign together until end-overlap.
    RotateKey,
    /// Ends the overlap of a replaced key: the old one is removed and signs nothing more.
    EndOverlap,
}

/// Which entries.
#[derive(Args, Clone, Default)]
pub(crate) struct FilterArgs {
    /// Of this institution.
    #[arg(long)]
    pub(crate) institution: Option<String>,
    /// Of this product.
    #[arg(long)]
    pub(crate) product: Option<String>,
    /// Of this dataset, and uses of products that read it.
    #[arg(long)]
    pub(crate) dataset: Option<String>,
    /// Uses that ended so.
    #[arg(long, value_enum)]
    pub(crate) outcome: Option<OutcomeArg>,
    /// For this purpose.
    #[arg(long)]
    pub(crate) purpose: Option<String>,
    /// Of this run or verification.
    #[arg(long)]
    pub(crate) run: Option<String>,
    /// Of this kind, or kinds that begin so, for example run.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    #[command(flatten)]
    pub(crate) days: DayArgs,
    /// In the log of this year. Counts are over all years where none is named, the rest over the log that is written.
    #[arg(long)]
    pub(crate) year: Option<String>,
}

/// From one day to another, both included, in the calendar of Beijing.
#[derive(Args, Clone, Default)]
pub(crate) struct DayArgs {
    /// From this day on (YYYY-MM-DD, Beijing time).
    #[arg(long, value_parser = day)]
    pub(crate) from: Option<i64>,
    /// Until this day, included.
    #[arg(long, value_parser = day)]
    pub(crate) until: Option<i64>,
}

impl DayArgs {
    /// Milliseconds since 1970 UTC: from, inclusive, and until, exclusive.
    pub(crate) fn millis(&self) -> (Option<i64>, Option<i64>) {
        (self.from, self.until.map(|start| start + DAY_MILLIS))
    }
}

/// The beginning of a day in Beijing, milliseconds since 1970 UTC.
fn day(text: &str) -> Result<i64, String> {
    let days = parse_date(text).ok_or("takes a day as YYYY-MM-DD")?;
    Ok(i64::from(days) * DAY_MILLIS - BEIJING_MILLIS)
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum OutcomeArg {
    Released,
    Repeated,
    Answered,
    Refused,
    Failed,
    Stopped,
}

impl From<OutcomeArg> for Outcome {
    fn from(word: OutcomeArg) -> Self {
        match word {
            OutcomeArg::Released => Outcome::Released,
            OutcomeArg::Repeated => Outcome::Repeated,
            OutcomeArg::Answered => Outcome::Answered,
            OutcomeArg::Refused => Outcome::Refused,
            OutcomeArg::Failed => Outcome::Failed,
            OutcomeArg::Stopped => Outcome::Stopped,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum PeriodArg {
    Day,
    Month,
    Year,
    All,
}

impl From<PeriodArg> for Period {
    fn from(word: PeriodArg) -> Self {
        match word {
            PeriodArg::Day => Period::Day,
            PeriodArg::Month => Period::Month,
            PeriodArg::Year => Period::Year,
            PeriodArg::All => Period::All,
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Checks a receipt offline, with nothing but the log's public key.
    Verify {
        /// The receipt.
        file: PathBuf,
        /// The log's public key or keys (retired ones too), or a file with them; also keys of witnesses, whose
        /// cosignatures are then asked for. The home's where none is given.
        #[arg(long)]
        key: Vec<String>,
        /// A result file, to be checked against the receipt.
        #[arg(long, value_name = "FILE")]
        data: Option<PathBuf>,
        /// Demands a good SM2 signature of the receipt's checkpoint.
        #[arg(long)]
        require_sm2: bool,
    },
    /// Shows the receipt of a run.
    Show {
        /// The run.
        run: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_beijing() {
        let days = DayArgs { from: day("2026-12-01").ok(), until: day("2026-12-01").ok() };
        // 2026-11-30 16:00 UTC, and a day later.
        assert_eq!(days.millis(), (Some(1_796_054_400_000), Some(1_796_140_800_000)));
        assert!(day("2026-02-30").is_err() && day("").is_err());
    }
}
