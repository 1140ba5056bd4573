//! The command line, as clap reads it.

use crate::audit_args::{AuditCommand, ReceiptCommand};
use crate::term::parse_language;
use crate::verify_args::{ConsentCommand, IssuerCommand, VerifyArgs};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use yunei_policy::Lang;

/// Where help lists what every command takes.
pub(crate) const EVERYWHERE: &str = "Options of every command";

/// Usable but invisible: models and products over data that never leaves its domain.
#[derive(Parser)]
#[command(
    name = "yunei",
    version,
    about = "Usable but invisible: data products over data that never leaves its domain\n原始数据不出域、数据可用不可见",
    propagate_version = true
)]
pub(crate) struct Cli {
    /// The home folder of the domain.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "YUNEI_HOME", default_value = "yunei-home")]
    pub(crate) home: PathBuf,
    /// The institution that acts.
    #[arg(long = "as", global = true, help_heading = EVERYWHERE, value_name = "INSTITUTION")]
    pub(crate) actor: Option<String>,
    /// One JSON document on standard output.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// The language of texts: zh or en.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_parser = parse_language)]
    pub(crate) lang: Option<Lang>,
    #[command(flatten)]
    pub(crate) remote: crate::remote::RemoteArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Tells the whole story once on made-up data.
    Demo {
        /// How many residents.
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10..=5_000_000))]
        rows: u64,
        /// Leaves the home in this folder.
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
    },
    /// Makes a domain.
    Init {
        /// Its name; it stands in the log's key and in receipts.
        #[arg(long, default_value = "domain.example/yunei")]
        name: String,
        /// A rule set instead of the shipped one.
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
        /// Also makes an SM2 key, which signs the log beside the Ed25519 key (programs built with the feature sm).
        #[arg(long)]
        sm2: bool,
        /// The empty PostgreSQL database that keeps the store, instead of a file in the home:
        /// postgres://user@host/database. Never with a password, which others could read here: give it by PGPASSWORD,
        /// by ~/.pgpass, or in an address in YUNEI_STORE.
        #[arg(long, value_name = "URL")]
        store: Option<String>,
    },
    /// Serves the domain over HTTP until SIGTERM or SIGINT.
    Serve(crate::commands::serve::ServeArgs),
    /// Tokens, which open the interface.
    #[command(subcommand)]
    Token(crate::commands::credentials::TokenCommand),
    /// Keys, which models are signed with.
    #[command(subcommand)]
    Key(crate::commands::credentials::KeyCommand),
    /// Institutions.
    #[command(subcommand)]
    Institution(InstitutionCommand),
    /// Datasets.
    #[command(subcommand)]
    Dataset(DatasetCommand),
    /// Models.
    #[command(subcommand)]
    Model(crate::commands::model::ModelCommand),
    /// Products.
    #[command(subcommand)]
    Product(ItemCommand),
    /// Grants.
    #[command(subcommand)]
    Grant(GrantCommand),
    #[command(flatten)]
    State(crate::commands::lifecycle::StateCommand),
    #[command(flatten)]
    Decision(crate::commands::registers::DecisionCommand),
    /// Runs an aggregate product.
    Run(RunArgs),
    /// Asks a verification product.
    Verify(VerifyArgs),
    /// Issuers of consents.
    #[command(subcommand)]
    Issuer(IssuerCommand),
    /// Consents, as an issuer signs them.
    #[command(subcommand)]
    Consent(ConsentCommand),
    /// Privacy budgets.
    #[command(subcommand)]
    Budget(BudgetCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Receipts.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
}

#[derive(Subcommand)]
pub(crate) enum InstitutionCommand {
    /// Adds one.
    Add {
        /// Its id.
        id: String,
        /// holder, operator, business or authority.
        #[arg(long)]
        role: String,
        /// Its Chinese name.
        #[arg(long)]
        zh: String,
        /// Its English name.
        #[arg(long)]
        en: String,
    },
    /// Lists them.
    List,
}

#[derive(Subcommand)]
pub(crate) enum DatasetCommand {
    /// Registers a dataset or a new version of it, and publishes it.
    Register {
        /// The catalogue entry.
        file: PathBuf,
        /// Leaves the publishing to the authority.
        #[arg(long)]
        no_publish: bool,
    },
    /// Publishes one.
    Approve {
        /// Its id.
        id: String,
    },
    /// Opens a new budget epoch of one: its budgets begin afresh. For the authority alone.
    Epoch {
        /// Its id.
        id: String,
    },
    /// Lists them.
    List,
    /// Shows one, or a column of it with all that it may hold.
    Show {
        /// Its id.
        id: String,
        /// A column.
        column: Option<String>,
    },
}

#[derive(Subcommand)]
pub(crate) enum ItemCommand {
    /// Checks a manifest; nothing is stored and no data is touched.
    Check {
        /// The manifest.
        file: PathBuf,
    },
    /// Hands one in.
    Submit {
        /// The manifest.
        file: PathBuf,
    },
    /// Approves one.
    Approve {
        /// Its id; of a model id@version.
        id: String,
    },
    /// Lists them.
    List,
    /// Shows one.
    Show {
        /// Its id; of a model id@version.
        id: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum GrantCommand {
    /// Grants a product to an institution.
    Add {
        /// To whom.
        #[arg(long)]
        institution: String,
        /// Of what.
        #[arg(long)]
        product: String,
        /// For what; all the product's purposes where none is given.
        #[arg(long = "purpose")]
        purposes: Vec<String>,
        /// For how many days.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=1830))]
        days: i64,
        /// At most how many uses.
        #[arg(long)]
        max_runs: Option<u64>,
        /// The document of the agreement that it rests on, recorded by its digest for as long as the grant lasts, at most
        /// five years. Without it the grant bears no use until `agreement` records one.
        #[arg(long, value_name = "FILE")]
        agreement: Option<PathBuf>,
    },
    /// Lists them.
    List,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The product.
    pub(crate) product: String,
    /// A parameter.
    #[arg(short = 'p', value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) parameters: Vec<(String, String)>,
    /// What for.
    #[arg(long)]
    pub(crate) purpose: String,
    /// Writes the result: .json, .csv, .arrow or .parquet.
    #[arg(short = 'o', value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Writes the receipt.
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum BudgetCommand {
    /// What is left of every budget that was charged, or of those of one product.
    Show {
        /// The product: what is left in its budgets, and about how many more runs like its own that is.
        product: Option<String>,
        /// The institution that would run it: operator on a home here, whoever asks on a server.
        #[arg(long = "for", value_name = "INSTITUTION")]
        institution: Option<String>,
    },
}

/// `name=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("takes NAME=VALUE".to_owned()),
    }
}
