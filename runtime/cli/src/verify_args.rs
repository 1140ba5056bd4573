//! The arguments of `verify`, `issuer` and `consent`.

use crate::args::pair;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct VerifyArgs {
    #[command(subcommand)]
    pub(crate) command: Option<VerifyCommand>,
    /// The product.
    #[arg(required = true)]
    pub(crate) product: Option<String>,
    /// An identity field, or - for a JSON object on standard input (nothing then stands in the process list).
    #[arg(short = 'i', value_name = "FIELD=VALUE")]
    pub(crate) identity: Vec<String>,
    /// The claimed value, where the product takes one; FIELD=VALUE where it takes several.
    #[arg(long = "claim", value_name = "VALUE")]
    pub(crate) claims: Vec<String>,
    /// What for.
    #[arg(long, required = true)]
    pub(crate) purpose: Option<String>,
    /// In which scene.
    #[arg(long)]
    pub(crate) scene: Option<String>,
    /// Your own serial number: the same one with the same question gives the same answer, and is charged once.
    #[arg(long)]
    pub(crate) serial: Option<String>,
    /// The subject's consent: a file with the token.
    #[arg(long, value_name = "FILE")]
    pub(crate) consent: Option<PathBuf>,
    /// Writes the receipt.
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum VerifyCommand {
    /// Asks a batch product about many subjects: one JSON object a line with identity, claims, serial and consent.
    Batch {
        /// The product.
        product: String,
        /// The items, or - for standard input.
        file: PathBuf,
        /// What for.
        #[arg(long)]
        purpose: String,
        /// In which scene.
        #[arg(long)]
        scene: Option<String>,
        /// Writes the answers, one JSON object a line.
        #[arg(short = 'o', value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Makes the index of a product ahead of its first question.
    Index {
        /// The product.
        product: String,
    },
    /// Samples the index of a product against the Parquet files.
    Audit {
        /// The product.
        product: String,
        /// About how many rows.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        sample: u64,
    },
    /// Lists what looked like enumeration.
    Alarms,
    /// Lets a business that was stopped ask again.
    Resume {
        /// The business.
        institution: String,
        /// The product.
        product: String,
    },
    /// Lists for a subject who asked about it.
    Asked {
        /// The subject's number, or - for standard input.
        number: String,
        /// A token that proves the subject: a consent over the field `number` for asked-about-me.
        #[arg(long, value_name = "FILE")]
        consent: PathBuf,
        /// The subject is a legal person.
        #[arg(long)]
        legal_person: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum IssuerCommand {
    /// Registers one.
    Add {
        /// The id of its key (`kid`).
        id: String,
        /// Its public key, Ed25519 or P-256, as PEM.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Its Chinese name.
        #[arg(long)]
        zh: String,
        /// Its English name.
        #[arg(long)]
        en: String,
    },
    /// Lists them.
    List,
    /// Takes no more of its tokens.
    Suspend {
        /// The id of its key.
        id: String,
    },
    /// Takes its tokens again.
    Resume {
        /// The id of its key.
        id: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum ConsentCommand {
    /// Makes a key pair for an issuer: the private key into FILE, the public one into FILE.pub.
    Keygen {
        /// The private key's file; it must not be there yet.
        file: PathBuf,
        /// ES256 (P-256) in the place of EdDSA (Ed25519).
        #[arg(long)]
        es256: bool,
    },
    /// Signs a consent, as an issuer. Needs no home.
    Sign(SignArgs),
}

#[derive(Args)]
pub(crate) struct SignArgs {
    /// The issuer's private key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The id under which the authority registered it.
    #[arg(long)]
    pub(crate) issuer: String,
    /// The domain's name.
    #[arg(long)]
    pub(crate) domain: String,
    /// The business that may ask.
    #[arg(long)]
    pub(crate) business: String,
    /// The product.
    #[arg(long)]
    pub(crate) product: String,
    /// The purpose.
    #[arg(long)]
    pub(crate) purpose: String,
    /// An identity field of the subject, as in verify.
    #[arg(short = 'i', value_name = "FIELD=VALUE", value_parser = pair, required = true)]
    pub(crate) identity: Vec<(String, String)>,
    /// How many times.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) uses: u32,
    /// For how many days.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=90))]
    pub(crate) days: i64,
    /// Writes the token.
    #[arg(short = 'o', value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
