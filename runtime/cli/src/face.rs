//! A domain as the commands see it: the one of a local home, or one behind a server. Both have the same methods.

use crate::commands::local_only;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::ipc::reader::FileReader;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use yunei_audit::Receipt;
use yunei_engine::domain::{
    BudgetView, Checkup, DatasetView, GrantView, InstitutionView, KeyView, ModelView, ProductView, ReleaseView,
    StateChangeView, Stopped, TokenView,
};
use yunei_engine::product::Product;
use yunei_engine::registry::Subject;
use yunei_engine::{Domain, DomainError, Format, GrantRequest, RunAnswer, RunRequest, Submission, TimingView};
use yunei_policy::words::{Role, State};
use yunei_policy::{Refusal, Text};
use yunei_server::client::{AuthorKey, Client, Method, Sending, escaped, reason};
use yunei_server::schema;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// How long one request waits for a run.
const WAIT_SECONDS: u64 = 30;

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

/// An entry of the log, as it is shown.
#[derive(Deserialize, Serialize)]
pub(crate) struct LogLine {
    pub(crate) index: u64,
    pub(crate) at: String,
    pub(crate) kind: String,
    pub(crate) fields: Map<String, Value>,
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

impl Remote {
    async fn change(&self, subject: &Subject, action: &str, why: &str) -> Result<Stopped, DomainError> {
        let (path, body) = match action {
            "withdraw" => (format!("{}/withdrawal", place(subject)), json!({ "reason": why })),
            _ => (format!("{}/state", place(subject)), json!({ "action": action, "reason": why })),
        };
        let Stands { state, stopped, ended, releases } = self.client.post(&path, &body).await?;
        Ok(Stopped { kind: subject.word(), id: subject.id(), state, stopped, ended, releases })
    }

    async fn approve(&self, kind: &str, id: &str) -> Result<State, DomainError> {
        let subject = Subject::read(kind, id).ok_or_else(|| {
            DomainError::NotFound(Refusal::new("registry/not-found", "没有这个对象", "there is no such thing"))
        })?;
        Ok(self.change(&subject, "approve", "").await?.state)
    }

    async fn submit_model(&self, manifest: &Path) -> Result<Submission, DomainError> {
        use base64::Engine as _;
        let Some(path) = &self.signing_key else {
            return Err(Refusal::new("input/signing-key", "缺少签名密钥", "a signing key is needed")
                .hint(
                    "用 --signing-key 或 YUNEI_SIGNING_KEY 指定；可用 yunei key new 生成",
                    "name it with --signing-key or YUNEI_SIGNING_KEY; make one with yunei key new",
                )
                .into());
        };
        let key = AuthorKey::read(path)?;
        // What is wrong with the manifest or the module is found here already.
        let checked = Domain::check_model(manifest)?;
        let text = read_text(manifest)?;
        let named = toml::from_str::<toml::Table>(&text).ok();
        let file = named.as_ref().and_then(|t| t.get("model")?.get("file")?.as_str()).ok_or_else(unexpected)?;
        let module = read(&manifest.parent().unwrap_or(Path::new(".")).join(file), 8 << 20)?;
        let who: schema::Whoami = self.client.get("/v1/whoami").await?;
        let envelope = key.envelope(&who.domain, &who.institution, &checked.id, text.as_bytes(), &module);
        let module = base64::engine::general_purpose::STANDARD.encode(&module);
        let body = json!({ "manifest": text, "module": module, "envelope": envelope });
        Ok(self.client.post::<Submitted>("/v1/models", &body).await?.into())
    }

    /// Asks for a run, waits for it, and fetches what it released in the forms that are needed. The idempotency key makes
    /// sure that a request which has to be sent again is not charged twice.
    async fn run(&self, request: &RunRequest, wanted: Option<Format>) -> Result<Ran, DomainError> {
        let body = json!({ "product": request.product, "arguments": request.arguments, "purpose": request.purpose });
        let key = once()?;
        let sent = || {
            let headers = vec![("idempotency-key", key.clone()), ("prefer", format!("wait={WAIT_SECONDS}"))];
            self.client.call(Method::POST, "/v1/runs", Sending { body: Some(&body), headers })
        };
        let mut told: schema::Run = match sent().await {
            Err(DomainError::Unavailable(refusal)) if refusal.code() == "server/unreachable" => sent().await?.json()?,
            other => other?.json()?,
        };
        while matches!(told.state.as_str(), "queued" | "running") {
            let waited = Sending { headers: vec![("prefer", format!("wait={WAIT_SECONDS}"))], ..Sending::default() };
            let path = format!("/v1/runs/{}", escaped(&told.id));
            told = self.client.call(Method::GET, &path, waited).await?.json()?;
        }
        let (Some(result), Some(receipt)) = (&told.result, &told.receipt) else {
            let reasons: Vec<Refusal> = told.refused.into_iter().filter_map(reason).collect();
            let refused = yunei_policy::Refused::from_reasons(reasons);
            return Err(refused.map_or_else(unexpected, DomainError::Refused));
        };
        let mut forms = BTreeMap::new();
        let mut columns = 0;
        for format in [Format::Arrow, Format::Json].into_iter().chain(wanted) {
            let headers = vec![("accept", media_type(format).to_owned())];
            let reply = self.client.call(Method::GET, result, Sending { body: None, headers }).await?;
            columns = reply.header("yunei-columns").and_then(|n| n.parse().ok()).ok_or_else(unexpected)?;
            forms.insert(media_type(format), reply.body.to_vec());
        }
        let receipt = self.client.call(Method::GET, receipt, Sending::default()).await?;
        let batch = forms.get(media_type(Format::Arrow)).and_then(|bytes| read_arrow(bytes)).ok_or_else(unexpected)?;
        let cost = told.charge.as_ref();
        Ok(Ran {
            repeated: told.state == "repeated",
            run: told.first.unwrap_or(told.id),
            receipt: Receipt::parse(&receipt.body).map_err(|_| unexpected())?,
            epsilon: cost.map_or(0.0, |c| c.epsilon),
            delta: cost.map_or(0.0, |c| c.delta),
            columns,
            batch,
            written: Written::There(forms),
        })
    }

    /// The newest entries of the log, and its size.
    pub(crate) async fn audit(&self, last: u64) -> Result<(u64, Vec<LogLine>), DomainError> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<LogLine>,
            next: Option<String>,
            size: u64,
        }
        let probe: Page = self.client.get("/v1/audit/entries?limit=1").await?;
        let size = probe.size;
        let mut from = size.saturating_sub(last);
        let mut lines = Vec::new();
        while from < size {
            let page: Page = self.client.get(&format!("/v1/audit/entries?limit=500&cursor={from}")).await?;
            from = page.next.and_then(|n| n.parse().ok()).unwrap_or(size);
            lines.extend(page.items.into_iter().filter(|line| line.index < size));
        }
        Ok((size, lines))
    }
}

/// A name that no other request has.
fn once() -> Result<String, DomainError> {
    let mut bytes = [0; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).map_err(|_| {
        DomainError::Unavailable(Refusal::new("home/randomness", "系统随机数不可用", "the system gives no randomness"))
    })?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn read_arrow(bytes: &[u8]) -> Option<RecordBatch> {
    let reader = FileReader::try_new(Cursor::new(bytes), None).ok()?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().ok()?;
    concat_batches(&schema, &batches).ok()
}

impl Face {
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

    pub(crate) async fn institutions(&self) -> Result<Vec<InstitutionView>, DomainError> {
        match self {
            Face::Local(domain) => domain.institutions().await,
            Face::Remote(remote) => remote.client.list("/v1/institutions").await,
        }
    }

    pub(crate) async fn add_institution(
        &self,
        actor: &str,
        id: &str,
        role: Role,
        title: &Text,
    ) -> Result<(), DomainError> {
        match self {
            Face::Local(domain) => domain.add_institution(actor, id, role, title).await,
            Face::Remote(remote) => {
                let body = json!({ "id": id, "role": role, "title": title });
                remote.client.post::<Value>("/v1/institutions", &body).await.map(drop)
            }
        }
    }

    pub(crate) async fn grants(&self) -> Result<Vec<GrantView>, DomainError> {
        match self {
            Face::Local(domain) => domain.grants().await,
            Face::Remote(remote) => remote.client.list("/v1/grants").await,
        }
    }

    pub(crate) async fn add_grant(&self, actor: &str, request: &GrantRequest) -> Result<String, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.add_grant(actor, request).await,
            Face::Remote(remote) => remote,
        };
        let days = request.until_millis.saturating_sub(request.from_millis) / DAY;
        let body = json!({
            "institution": request.institution, "product": request.product, "purposes": request.purposes,
            "days": days, "max_runs": request.max_runs,
        });
        Ok(remote.client.post::<schema::Created>("/v1/grants", &body).await?.id)
    }

    pub(crate) async fn budgets(&self, actor: &str) -> Result<Vec<BudgetView>, DomainError> {
        match self {
            Face::Local(domain) => domain.budgets(actor).await,
            Face::Remote(remote) => Ok(remote.client.get::<Items<BudgetView>>("/v1/budgets").await?.items),
        }
    }

    pub(crate) async fn datasets(&self) -> Result<Vec<DatasetView>, DomainError> {
        match self {
            Face::Local(domain) => domain.datasets().await,
            Face::Remote(remote) => remote.client.list("/v1/datasets").await,
        }
    }

    pub(crate) async fn dataset(&self, id: &str) -> Result<DatasetView, DomainError> {
        match self {
            Face::Local(domain) => domain.dataset(id).await,
            Face::Remote(remote) => remote.client.get(&format!("/v1/datasets/{}", escaped(id))).await,
        }
    }

    pub(crate) async fn register_dataset(
        &self,
        actor: &str,
        file: &Path,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<Submission, DomainError> {
        match self {
            Face::Local(domain) => domain.register_dataset(actor, file, progress).await,
            Face::Remote(remote) => {
                let body = json!({ "entry": read_text(file)? });
                Ok(remote.client.post::<Submitted>("/v1/datasets", &body).await?.into())
            }
        }
    }

    pub(crate) async fn set_dataset_state(&self, actor: &str, id: &str, to: State) -> Result<State, DomainError> {
        match self {
            Face::Local(domain) => domain.set_dataset_state(actor, id, to).await,
            Face::Remote(remote) => remote.approve("dataset", id).await,
        }
    }

    pub(crate) async fn models(&self) -> Result<Vec<ModelView>, DomainError> {
        match self {
            Face::Local(domain) => domain.models().await,
            Face::Remote(remote) => remote.client.list("/v1/models").await,
        }
    }

    pub(crate) async fn model(&self, id: &str) -> Result<ModelView, DomainError> {
        match self {
            Face::Local(domain) => domain.model(id).await,
            Face::Remote(remote) => remote.client.get(&format!("/v1/models/{}", escaped(id))).await,
        }
    }

    pub(crate) async fn submit_model(&self, actor: &str, file: &Path) -> Result<Submission, DomainError> {
        match self {
            Face::Local(domain) => domain.submit_model(actor, file).await,
            Face::Remote(remote) => remote.submit_model(file).await,
        }
    }

    pub(crate) async fn set_model_state(&self, actor: &str, id: &str, to: State) -> Result<State, DomainError> {
        match self {
            Face::Local(domain) => domain.set_model_state(actor, id, to).await,
            Face::Remote(remote) => remote.approve("model", id).await,
        }
    }

    pub(crate) async fn products(&self) -> Result<Vec<ProductView>, DomainError> {
        match self {
            Face::Local(domain) => domain.products().await,
            Face::Remote(remote) => remote.client.list("/v1/products").await,
        }
    }

    pub(crate) async fn product(&self, id: &str) -> Result<(ProductView, Product), DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.product(id).await,
            Face::Remote(remote) => remote,
        };
        let told: Value = remote.client.get(&format!("/v1/products/{}", escaped(id))).await?;
        let text = told["manifest"].as_str().ok_or_else(unexpected)?;
        let product = Product::parse(text).map_err(|_| unexpected())?;
        Ok((serde_json::from_value(told).map_err(|_| unexpected())?, product))
    }

    pub(crate) async fn check_product(&self, file: &Path) -> Result<Checkup, DomainError> {
        match self {
            Face::Local(domain) => domain.check_product(file).await,
            Face::Remote(remote) => {
                remote.client.post("/v1/products/check", &json!({ "manifest": read_text(file)? })).await
            }
        }
    }

    pub(crate) async fn submit_product(&self, actor: &str, file: &Path) -> Result<Submission, DomainError> {
        match self {
            Face::Local(domain) => domain.submit_product(actor, file).await,
            Face::Remote(remote) => {
                let body = json!({ "manifest": read_text(file)? });
                Ok(remote.client.post::<Submitted>("/v1/products", &body).await?.into())
            }
        }
    }

    pub(crate) async fn set_product_state(&self, actor: &str, id: &str, to: State) -> Result<State, DomainError> {
        match self {
            Face::Local(domain) => domain.set_product_state(actor, id, to).await,
            Face::Remote(remote) => remote.approve("product", id).await,
        }
    }

    /// Opens a new budget epoch; at the domain's machine alone.
    pub(crate) async fn open_epoch(&self, actor: &str, id: &str) -> Result<u64, DomainError> {
        match self {
            Face::Local(domain) => domain.open_epoch(actor, id).await,
            Face::Remote(_) => Err(local_only()),
        }
    }

    /// What the time of a run can tell about one unit; a server does not tell it with an approval.
    pub(crate) async fn product_timing(&self, id: &str) -> Result<Option<TimingView>, DomainError> {
        match self {
            Face::Local(domain) => domain.product_timing(id).await,
            Face::Remote(_) => Ok(None),
        }
    }

    pub(crate) async fn suspend(&self, actor: &str, subject: &Subject, why: &str) -> Result<Stopped, DomainError> {
        match self {
            Face::Local(domain) => domain.suspend(actor, subject, why).await,
            Face::Remote(remote) => remote.change(subject, "suspend", why).await,
        }
    }

    pub(crate) async fn end(&self, actor: &str, subject: &Subject, why: &str) -> Result<Stopped, DomainError> {
        match self {
            Face::Local(domain) => domain.end(actor, subject, why).await,
            Face::Remote(remote) => remote.change(subject, "end", why).await,
        }
    }

    pub(crate) async fn withdraw(&self, actor: &str, subject: &Subject, why: &str) -> Result<Stopped, DomainError> {
        match self {
            Face::Local(domain) => domain.withdraw(actor, subject, why).await,
            Face::Remote(_) if !matches!(subject, Subject::Dataset(_) | Subject::Version { .. }) => Err(Refusal::new(
                "input/subject",
                "只有数据集及其版本可以撤回",
                "only a dataset or a version of one is withdrawn",
            )
            .into()),
            Face::Remote(remote) => remote.change(subject, "withdraw", why).await,
        }
    }

    pub(crate) async fn resume(&self, actor: &str, subject: &Subject, why: &str) -> Result<State, DomainError> {
        match self {
            Face::Local(domain) => domain.resume(actor, subject, why).await,
            Face::Remote(remote) => Ok(remote.change(subject, "resume", why).await?.state),
        }
    }

    pub(crate) async fn releases_on(&self, actor: &str, subject: &Subject) -> Result<Vec<ReleaseView>, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.releases_on(actor, subject).await,
            Face::Remote(remote) => remote,
        };
        let path = format!("/v1/audit/releases/{}/{}", subject.word(), escaped(&subject.id()));
        Ok(remote.client.get::<Items<ReleaseView>>(&path).await?.items)
    }

    pub(crate) async fn state_history(
        &self,
        actor: &str,
        subject: &Subject,
    ) -> Result<Vec<StateChangeView>, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.state_history(actor, subject).await,
            Face::Remote(remote) => remote,
        };
        let path = format!("/v1/audit/history/{}/{}", subject.word(), escaped(&subject.id()));
        Ok(remote.client.get::<Items<StateChangeView>>(&path).await?.items)
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
        let path = format!("/v1/runs/{}/receipt", escaped(run));
        let reply = remote.client.call(Method::GET, &path, Sending::default()).await?;
        String::from_utf8(reply.body.to_vec()).map_err(|_| unexpected())
    }

    pub(crate) async fn tokens(&self, actor: &str) -> Result<Vec<TokenView>, DomainError> {
        match self {
            Face::Local(domain) => domain.tokens_for(actor).await,
            Face::Remote(remote) => remote.client.list("/v1/tokens").await,
        }
    }

    pub(crate) async fn revoke_token(&self, actor: &str, id: &str) -> Result<(), DomainError> {
        match self {
            Face::Local(domain) => domain.revoke_token(actor, id).await,
            Face::Remote(remote) => {
                let path = format!("/v1/tokens/{}", escaped(id));
                remote.client.call(Method::DELETE, &path, Sending::default()).await.map(drop)
            }
        }
    }

    pub(crate) async fn keys(&self, actor: &str) -> Result<Vec<KeyView>, DomainError> {
        match self {
            Face::Local(domain) => domain.signing_keys_for(actor).await,
            Face::Remote(remote) => remote.client.list("/v1/keys").await,
        }
    }

    pub(crate) async fn add_key(&self, actor: &str, public_key: &str, label: &str) -> Result<KeyView, DomainError> {
        match self {
            Face::Local(domain) => domain.add_signing_key(actor, actor, public_key, label).await,
            Face::Remote(remote) => {
                remote.client.post("/v1/keys", &json!({ "public_key": public_key, "label": label })).await
            }
        }
    }

    pub(crate) async fn retire_key(&self, actor: &str, id: &str) -> Result<(), DomainError> {
        match self {
            Face::Local(domain) => domain.retire_signing_key(actor, id).await,
            Face::Remote(remote) => {
                let path = format!("/v1/keys/{}", escaped(id));
                remote.client.call(Method::DELETE, &path, Sending::default()).await.map(drop)
            }
        }
    }
}
