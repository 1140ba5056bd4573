//! The witness, and the replacement of the log's key.

use super::proof::read_keys;
use super::{Context, Outcome, clock, usage};
use crate::term::Mark;
use serde_json::json;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use yunei_audit::{SigningKey, VerifyingKey, WitnessKey, WitnessServer, WitnessState};
use yunei_engine::{Domain, DomainError};
use yunei_policy::Refusal;

/// Runs a witness until it is interrupted.
pub(crate) async fn serve(
    context: &mut Context,
    dir: &Path,
    name: &str,
    listen: SocketAddr,
    logs: &[String],
) -> Outcome {
    let mut keys: Vec<VerifyingKey> = Vec::new();
    for log in logs {
        // A list has the logs of all years: those that are sealed grow no more, and the newest is the one that counts.
        keys.extend(read_keys(std::slice::from_ref(log))?.logs().iter().flat_map(|log| log.keys().to_vec()));
    }
    let failed = |_: std::io::Error| {
        let refusal = Refusal::new(
            "witness/io",
            "无法建立见证方的文件夹或监听地址",
            "the witness's folder or address can not be used",
        );
        DomainError::Unavailable(refusal.at(format!("{} {listen}", dir.display())))
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let path = dir.join("witness.key");
    if !path.exists() {
        SigningKey::generate(name)?.save(&path)?;
    }
    let key = SigningKey::load(&path)?;
    let public = WitnessKey::of(&key);
    let names: Vec<String> = keys.iter().map(|key| key.name().to_owned()).collect();
    let state = WitnessState::open(dir, key, keys)?;
    let server = WitnessServer::start(TcpListener::bind(listen).map_err(failed)?, state)?;
    let address = server.address();
    if context.term.is_json() {
        context.term.json(&json!({ "witness": public.to_string(), "address": address.to_string(), "logs": names }));
    } else {
        let line = context.term.pick("见证方已启动", "The witness is running").to_owned();
        context.term.item(Mark::Done, &format!("{line}: http://{address}"));
        let hand = context.term.pick("请把以下内容写入域的 yunei.toml：", "For the domain's yunei.toml:").to_owned();
        context.term.text(&hand);
        context.term.raw(&format!(
            "[audit]\nrequire_witness = 1\n[[audit.witness]]\nkey = \"{public}\"\nurl = \"http://{address}\"\n"
        ));
    }
    context.term.flush();
    // Until the process is ended. That may happen at any moment: what was cosigned is on disk before it is answered.
    let never = std::future::pending::<Outcome>().await;
    drop(server);
    never
}

/// Replaces the key that signs the log.
pub(crate) fn rotate_key(context: &mut Context) -> Outcome {
    let rotation = Domain::rotate_log_key(&context.home, &clock())?;
    let (next, retired) = (rotation.next.to_string(), rotation.retired.to_string());
    if context.term.is_json() {
        context.term.json(&json!({ "key": next, "retired": retired }));
        return Ok(());
    }
    let done = context
        .term
        .pick("日志密钥已更换；新旧密钥同时签名", "The log's key is replaced; old and new sign together")
        .to_owned();
    context.term.item(Mark::Done, &done);
    let hand = context
        .term
        .pick(
            "请把 keys/log.vkey（新旧公钥）交给核对凭证的人，之后运行 yunei audit end-overlap",
            "Hand keys/log.vkey (both public keys) to those who check receipts, then run yunei audit end-overlap",
        )
        .to_owned();
    context.term.note(&hand);
    context.term.note(&next);
    Ok(())
}

/// Ends the overlap.
pub(crate) fn end_overlap(context: &mut Context) -> Outcome {
    if !Domain::end_key_overlap(&context.home, &clock())? {
        return Err(usage("key/no-overlap", "没有正在更换的密钥", "no key is being replaced"));
    }
    if context.term.is_json() {
        context.term.json(&json!({ "ended": true }));
        return Ok(());
    }
    let done = context.term.pick("旧密钥已停用并删除", "The old key is retired and removed").to_owned();
    context.term.item(Mark::Done, &done);
    Ok(())
}
