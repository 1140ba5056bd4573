//! A domain as the commands see it: the one of a local home, or one behind a server. Both have the same methods.

mod catalogue;
mod log;
mod office;
mod remote;
mod standing;
mod verification;

pub(crate) use catalogue::Agreed;
pub(crate) use verification::Verified;

use datafusion::arrow::array::RecordBatch;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use yunei_audit::Receipt;
use yunei_engine::domain::ReleaseView;
use yunei_engine::registry::Subject;
use yunei_engine::{Domain, DomainError, Format, RunAnswer, RunRequest, Submission, TimingView};
use yunei_policy::Refusal;
use yunei_policy::words::State;
use yunei_server::client::{Client, escaped};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// A domain, here or elsewhere.
pub(crate) enum Face {
    /// Of the home that this process holds.
    Local(Box<Domain>),
    /// Behind a server.
    Remote(Remote),
}

/// A server and the key of who signs models.
pub(crate) struct Remote {
    pub(crate) client: Client,
    pub(crate) signing_key: Option<PathBuf>,
}

/// A run that released something.
pub(crate) struct Ran {
    pub(crate) run: String,
    pub(crate) receipt: Receipt,
    pub(crate) epsilon: f64,
    pub(crate) delta: f64,
    pub(crate) repeated: bool,
    columns: usize,
    batch: RecordBatch,
    written: Written,
}

enum Written {
    Here(Box<RunAnswer>),
    There(BTreeMap<&'static str, Vec<u8>>),
}

impl Ran {
    /// The released rows.
    pub(crate) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// How many of the columns are the product's own.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The rows in a form: the bytes of the receipt's digest.
    pub(crate) fn bytes(&self, format: Format) -> Result<Vec<u8>, DomainError> {
        let wrong = || {
            DomainError::Failed(Refusal::new(
                "output/format",
                "结果不能写成这种格式",
                "the result can not be written in that form",
            ))
        };
        match &self.written {
            Written::Here(answer) => answer.released.write(format).map_err(|_| wrong()),
            Written::There(forms) => forms.get(media_type(format)).cloned().ok_or_else(wrong),
        }
    }
}

fn media_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Csv => "text/csv",
        Format::Arrow => "application/vnd.apache.arrow.file",
        Format::Parquet => "application/vnd.apache.parquet",
    }
}

fn unexpected() -> DomainError {
    DomainError::Unavailable(Refusal::new(
        "server/answer",
        "服务器的答复无法识别",
        "the server's answer is not understood",
    ))
}

/// Reads what is sent to a server.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, DomainError> {
    let shown = path.display().to_string();
    let absent = || {
        DomainError::NotFound(
            Refusal::new("input/no-file", "没有这个文件，或无法读取", "there is no such file, or it can not be read")
                .at(shown.clone()),
        )
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|f| f.take(most + 1).read_to_end(&mut bytes)).map_err(|_| absent())?;
    if bytes.len() as u64 > most {
        return Err(Refusal::new("input/too-large", "文件过大", "the file is too large").at(shown).into());
    }
    Ok(bytes)
}

fn read_text(path: &Path) -> Result<String, DomainError> {
    String::from_utf8(read(path, 1 << 20)?)
        .map_err(|_| Refusal::new("input/not-text", "文件不是 UTF-8 文本", "the file is not UTF-8 text").into())
}

#[derive(Deserialize)]
struct Submitted {
    id: String,
    version: Option<u64>,
    rows: Option<u64>,
    state: State,
}

impl From<Submitted> for Submission {
    fn from(told: Submitted) -> Self {
        Submission { id: told.id, version: told.version, rows: told.rows, state: told.state }
    }
}

#[derive(Deserialize)]
struct Stands {
    state: State,
    stopped: Vec<String>,
    ended: bool,
    releases: Vec<ReleaseView>,
    timing: Option<TimingView>,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

/// Where a subject stands in the interface.
fn place(subject: &Subject) -> String {
    match subject {
        Subject::Institution(id) => format!("/v1/institutions/{}", escaped(id)),
        Subject::Dataset(id) => format!("/v1/datasets/{}", escaped(id)),
        Subject::Version { dataset, number } => format!("/v1/datasets/{}/versions/{number}", escaped(dataset)),
        Subject::Model { .. } => format!("/v1/models/{}", escaped(&subject.id())),
        Subject::Product(id) => format!("/v1/products/{}", escaped(id)),
        Subject::Grant(id) => format!("/v1/grants/{}", escaped(id)),
    }
}

impl Face {
    /// Ends the work on a domain of this machine; it loses nothing where this is left out.
    pub(crate) async fn close(self) {
        if let Face::Local(domain) = self {
            domain.close().await;
        }
    }

    /// Whether the domain is behind a server.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Face::Remote(_))
    }

    pub(crate) fn now(&self) -> i64 {
        match self {
            Face::Local(domain) => domain.now(),
            Face::Remote(_) => crate::commands::clock()(),
        }
    }

    pub(crate) async fn run(&self, request: &RunRequest, wanted: Option<Format>) -> Result<Ran, DomainError> {
        let answer = match self {
            Face::Local(domain) => domain.run(request).await?,
            Face::Remote(remote) => return remote.run(request, wanted).await,
        };
        Ok(Ran {
            run: answer.run.clone(),
            receipt: answer.receipt.clone(),
            epsilon: answer.epsilon,
            delta: answer.delta,
            repeated: answer.repeated,
            columns: answer.released.columns(),
            batch: answer.released.batch().clone(),
            written: Written::Here(Box::new(answer)),
        })
    }

    pub(crate) async fn receipt(&self, run: &str) -> Result<String, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.receipt(run).await,
            Face::Remote(remote) => remote,
        };
        remote.text(&format!("/v1/runs/{}/receipt", escaped(run))).await
    }
}
