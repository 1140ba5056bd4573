//! The log: reading it, metering, proofs, replays.

use super::{Face, unexpected};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use yunei_audit::Checkpoint;
use yunei_engine::domain::{AuditLine, AuditPage, AuditQuery, ExportFormat, PeriodStats, UsageLine, UsageQuery};
use yunei_engine::{DomainError, ReplayOptions, ReplayReport};
use yunei_policy::Refusal;
use yunei_server::client::escaped;

/// The fields of a query that say something, as a query of a URL.
fn query(asked: &impl serde::Serialize) -> String {
    let Value::Object(fields) = json!(asked) else { return String::new() };
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(escaped(text)),
        other => Some(escaped(&other.to_string())),
    };
    let said: Vec<String> =
        fields.iter().filter_map(|(name, value)| Some(format!("{name}={}", text(value)?))).collect();
    said.join("&")
}

impl Face {
    pub(crate) async fn audit_list(
        &self,
        actor: &str,
        asked: &AuditQuery,
        limit: usize,
        before: Option<u64>,
    ) -> Result<AuditPage, DomainError> {
        match self {
            Face::Local(domain) => domain.audit_list(actor, asked, limit, before).await,
            Face::Remote(remote) => {
                let before = before.map(|b| format!("&before={b}")).unwrap_or_default();
                remote.client.get(&format!("/v1/audit/search?limit={limit}{before}&{}", query(asked))).await
            }
        }
    }

    pub(crate) async fn audit_entry(&self, actor: &str, index: u64) -> Result<AuditLine, DomainError> {
        match self {
            Face::Local(domain) => domain.audit_entry(actor, index).await,
            Face::Remote(remote) => remote.client.get(&format!("/v1/audit/entries/{index}")).await,
        }
    }

    pub(crate) async fn audit_stats(&self, actor: &str, asked: &AuditQuery) -> Result<PeriodStats, DomainError> {
        match self {
            Face::Local(domain) => domain.audit_stats(actor, asked).await,
            Face::Remote(remote) => remote.client.get(&format!("/v1/audit/stats?{}", query(asked))).await,
        }
    }

    pub(crate) async fn audit_usage(&self, actor: &str, asked: &UsageQuery) -> Result<Vec<UsageLine>, DomainError> {
        #[derive(Deserialize)]
        struct Lines {
            lines: Vec<UsageLine>,
        }
        match self {
            Face::Local(domain) => domain.audit_usage(actor, asked).await,
            Face::Remote(remote) => {
                Ok(remote.client.get::<Lines>(&format!("/v1/audit/usage?{}", query(asked))).await?.lines)
            }
        }
    }

    /// Writes entries; how many, where that is known without reading what was written.
    pub(crate) async fn audit_export(
        &self,
        actor: &str,
        asked: &AuditQuery,
        format: ExportFormat,
        mut out: BufWriter<File>,
    ) -> Result<Option<u64>, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.audit_export(actor, asked, format, out).await.map(Some),
            Face::Remote(remote) => remote,
        };
        let word = match format {
            ExportFormat::Jsonl => "jsonl",
            ExportFormat::Parquet => "parquet",
        };
        let mut lines = 0;
        let path = format!("/v1/audit/export?format={word}&{}", query(asked));
        let io = |_: std::io::Error| {
            DomainError::Unavailable(Refusal::new("output/io", "无法写入文件", "the file can not be written"))
        };
        remote
            .client
            .download(&path, |piece| {
                lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
                out.write_all(piece).map_err(io)
            })
            .await?;
        out.flush().map_err(io)?;
        Ok((format == ExportFormat::Jsonl).then_some(lines))
    }

    pub(crate) async fn audit_prove(&self, actor: &str, index: u64) -> Result<String, DomainError> {
        match self {
            Face::Local(domain) => domain.audit_prove(actor, index).await,
            Face::Remote(remote) => remote.text(&format!("/v1/audit/entries/{index}/proof")).await,
        }
    }

    /// The hashes of a consistency proof, hexadecimal, and the checkpoint that they lead to.
    pub(crate) async fn audit_consistency(&self, actor: &str, old: u64) -> Result<(Vec<String>, String), DomainError> {
        #[derive(Deserialize)]
        struct Consistency {
            proof: Vec<String>,
            checkpoint: String,
        }
        let remote = match self {
            Face::Local(domain) => {
                let (hashes, checkpoint) = domain.audit_consistency(actor, old).await?;
                let hex = |hash: &[u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
                return Ok((hashes.iter().map(hex).collect(), checkpoint));
            }
            Face::Remote(remote) => remote,
        };
        let told: Consistency = remote.client.get(&format!("/v1/audit/consistency?old={old}")).await?;
        Ok((told.proof, told.checkpoint))
    }

    pub(crate) async fn replayable(&self, actor: &str) -> Result<Vec<String>, DomainError> {
        match self {
            Face::Local(domain) => domain.replayable(actor).await,
            Face::Remote(remote) => Ok(remote.client.get::<super::Items<String>>("/v1/audit/replayable").await?.items),
        }
    }

    pub(crate) async fn replay(
        &self,
        actor: &str,
        run: &str,
        options: ReplayOptions,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<ReplayReport, DomainError> {
        match self {
            Face::Local(domain) => domain.replay(actor, run, options, progress).await,
            Face::Remote(remote) => {
                let path = format!("/v1/runs/{}/replay", escaped(run));
                remote.client.post(&path, &json!({ "recorded_policy": options.recorded_policy })).await
            }
        }
    }
}

impl super::Remote {
    /// The newest signed checkpoint, as it is and as it reads.
    pub(crate) async fn checkpoint(&self) -> Result<(Checkpoint, String), DomainError> {
        let text = self.text("/v1/audit/checkpoint").await?;
        let checkpoint = Checkpoint::parse(text.as_bytes()).map_err(|_| unexpected())?;
        Ok((checkpoint, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_is_asked_and_nothing_else() {
        assert_eq!(query(&AuditQuery::default()), "");
        let asked = AuditQuery {
            product: Some("a b&c".to_owned()),
            from_millis: Some(-5),
            outcome: Some(yunei_engine::domain::Outcome::Released),
            ..AuditQuery::default()
        };
        // In which order the fields stand is nobody's business.
        let mut told: Vec<String> = query(&asked).split('&').map(str::to_owned).collect();
        told.sort_unstable();
        assert_eq!(told, ["from_millis=-5", "outcome=released", "product=a%20b%26c"]);
    }
}
