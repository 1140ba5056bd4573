//! What takes a server more than one request.

use super::{Ran, Remote, Stands, Submitted, Written, media_type, place, read, read_text, unexpected};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::ipc::reader::FileReader;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use yunei_audit::Receipt;
use yunei_engine::domain::Stopped;
use yunei_engine::registry::Subject;
use yunei_engine::{Domain, DomainError, Format, RunRequest, Submission, TimingView};
use yunei_policy::Refusal;
use yunei_policy::words::State;
use yunei_server::client::{AuthorKey, Method, Sending, escaped, reason};
use yunei_server::schema;

/// How long one request waits for a run.
const WAIT_SECONDS: u64 = 30;

impl Remote {
    /// An answer that is a text.
    pub(crate) async fn text(&self, path: &str) -> Result<String, DomainError> {
        let reply = self.client.call(Method::GET, path, Sending::default()).await?;
        String::from_utf8(reply.body.to_vec()).map_err(|_| unexpected())
    }

    pub(super) async fn change(&self, subject: &Subject, action: &str, why: &str) -> Result<Stopped, DomainError> {
        let (path, body) = match action {
            "withdraw" => (format!("{}/withdrawal", place(subject)), json!({ "reason": why })),
            _ => (format!("{}/state", place(subject)), json!({ "action": action, "reason": why })),
        };
        let Stands { state, stopped, ended, releases, .. } = self.client.post(&path, &body).await?;
        Ok(Stopped { kind: subject.word(), id: subject.id(), state, stopped, ended, releases })
    }

    /// Approves something, and gives what is told besides.
    pub(super) async fn approve(&self, kind: &str, id: &str) -> Result<(State, Option<TimingView>), DomainError> {
        let subject = Subject::read(kind, id).ok_or_else(|| {
            DomainError::NotFound(Refusal::new("registry/not-found", "没有这个对象", "there is no such thing"))
        })?;
        let path = format!("{}/state", place(&subject));
        let told: Stands = self.client.post(&path, &json!({ "action": "approve" })).await?;
        Ok((told.state, told.timing))
    }

    pub(super) async fn submit_model(&self, manifest: &Path) -> Result<Submission, DomainError> {
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
    pub(super) async fn run(&self, request: &RunRequest, wanted: Option<Format>) -> Result<Ran, DomainError> {
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
