//! Commands on a server whose answers have no local counterpart of the same type: verifications and the log.

use super::{Context, Draft, Outcome};
use crate::face::Remote;
use crate::term::{Column, Mark, Table};
use serde_json::{Value, json};
use yunei_engine::VerifyRequest;

/// Asks a verification.
pub(crate) async fn verify(
    context: &mut Context,
    remote: &Remote,
    request: &VerifyRequest,
    receipt: Option<Draft>,
) -> Outcome {
    let body = json!({
        "product": request.product, "identity": request.identity, "claim": request.claim, "claims": request.claims,
        "purpose": request.purpose, "scene": request.scene, "serial": request.serial, "consent": request.consent,
    });
    let answer: Value = remote.client.post("/v1/verifications", &body).await?;
    if let (Some(receipt), Some(text)) = (receipt, answer["receipt"].as_str()) {
        receipt.finish(text.as_bytes())?;
    }
    if context.term.is_json() {
        context.term.json(&answer);
        return Ok(());
    }
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    context.term.item(Mark::Done, &text("answer"));
    let run = context.term.pick("核验编号", "Verification").to_owned();
    context.term.note(&format!("{run}: {}", text("verification")));
    let as_of = context.term.pick("数据截至", "Data as of").to_owned();
    context.term.note(&format!("{as_of}: {}", text("as_of")));
    Ok(())
}

/// Lists the newest entries of the log.
pub(crate) async fn audit_list(context: &mut Context, remote: &Remote, last: u64) -> Outcome {
    let (size, lines) = remote.audit(last).await?;
    if context.term.is_json() {
        context.term.json(&json!({ "size": size, "entries": lines }));
        return Ok(());
    }
    let headings = [("序号", "#"), ("时间", "At"), ("事项", "What"), ("机构", "Institution"), ("对象", "Of")];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for line in &lines {
        let field = |names: &[&str]| {
            let found = names.iter().find_map(|name| line.fields.get(*name).and_then(Value::as_str));
            found.unwrap_or("–").to_owned()
        };
        table.row([
            line.index.to_string(),
            line.at.clone(),
            line.kind.clone(),
            field(&["institution", "by"]),
            field(&["run", "product", "model", "dataset", "subject", "grant"]),
        ]);
    }
    context.term.table(&table);
    Ok(())
}

/// Shows one entry of the log.
pub(crate) async fn audit_show(context: &mut Context, remote: &Remote, index: u64) -> Outcome {
    let line: Value = remote.client.get(&format!("/v1/audit/entries/{index}")).await?;
    if context.term.is_json() {
        context.term.json(&line);
    } else {
        context.term.text(&serde_json::to_string_pretty(&line).unwrap_or_default());
    }
    Ok(())
}
