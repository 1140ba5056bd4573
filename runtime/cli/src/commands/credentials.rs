//! Tokens and signing keys.

use super::{Context, Outcome, usage};
use crate::face::Face;
use crate::term::{Column, Mark, Table};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use yunei_engine::DomainError;
use yunei_engine::domain::TokenRequest;
use yunei_policy::authorise::Scopes;
use yunei_server::client::AuthorKey;

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Issues one. Its secret is shown now and never again.
    Issue {
        /// For which institution; the acting one where none is named.
        #[arg(long)]
        institution: Option<String>,
        /// What it is good for: read, submit, use, approve, audit, admin; all of them where nothing is said.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// For how many days.
        #[arg(long, default_value_t = 90)]
        days: u32,
        /// What people call it.
        #[arg(long, default_value = "")]
        label: String,
        /// SHA-256 of the client certificate that has to come with it.
        #[arg(long, value_name = "HEX")]
        certificate: Option<String>,
    },
    /// Lists them, without their secrets.
    List,
    /// Revokes one: it opens nothing any more when the command returns.
    Revoke {
        /// Its id.
        id: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a key for signing models, in a new file.
    New {
        /// The file.
        file: PathBuf,
    },
    /// Registers a key.
    Add {
        /// The key's file; only its public half is sent.
        file: PathBuf,
        /// What people call it.
        #[arg(long, default_value = "")]
        label: String,
    },
    /// Lists them.
    List,
    /// Retires one: nothing signed with it is taken any more.
    Retire {
        /// Its id.
        id: String,
    },
}

pub(crate) async fn token(context: &mut Context, command: TokenCommand) -> Outcome {
    let face = context.face().await?;
    match command {
        TokenCommand::Issue { institution, scopes, days, label, certificate } => {
            let actor = context.actor("authority");
            let scopes = if scopes.is_empty() {
                Scopes::all()
            } else {
                Scopes::parse(scopes.iter().map(String::as_str)).map_err(DomainError::from)?
            };
            let issued = match &face {
                Face::Local(domain) => {
                    let institution = institution.unwrap_or_else(|| actor.clone());
                    let request = TokenRequest { institution, label, scopes, days, certificate };
                    let issued = domain.issue_token(&actor, &Scopes::all(), &request).await?;
                    json!({ "id": issued.id, "token": issued.secret, "expires_at": issued.expires_at })
                }
                Face::Remote(remote) => {
                    let body = json!({
                        "institution": institution, "label": label, "scopes": scopes.words(), "days": days,
                        "certificate": certificate,
                    });
                    remote.client.post::<Value>("/v1/tokens", &body).await?
                }
            };
            if context.term.is_json() {
                context.term.json(&issued);
                return Ok(());
            }
            let text = |name: &str| issued[name].as_str().unwrap_or_default().to_owned();
            context.term.item(Mark::Done, &format!("{}  {}", text("id"), text("expires_at")));
            let once = context.term.pick("令牌（只显示这一次）", "The token, shown this once").to_owned();
            context.term.note(&once);
            context.term.text(&text("token"));
        }
        TokenCommand::List => {
            let all = face.tokens(&context.actor("authority")).await?;
            if context.term.is_json() {
                context.term.json(&json!({ "tokens": all }));
                return Ok(());
            }
            let headings = [
                ("令牌", "Token"),
                ("机构", "Institution"),
                ("名称", "Label"),
                ("范围", "Scopes"),
                ("有效期至", "Until"),
                ("吊销", "Revoked"),
            ];
            let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
            for t in all {
                let revoked = t.revoked_at.unwrap_or_else(|| "–".to_owned());
                table.row([t.id, t.institution, t.label, t.scopes.join(" "), t.expires_at, revoked]);
            }
            context.term.table(&table);
        }
        TokenCommand::Revoke { id } => {
            face.revoke_token(&context.actor("authority"), &id).await?;
            done(context, &id, "revoked", "已吊销");
        }
    }
    Ok(())
}

pub(crate) async fn key(context: &mut Context, command: KeyCommand) -> Outcome {
    if let KeyCommand::New { file } = &command {
        let key = AuthorKey::create(file)?;
        if context.term.is_json() {
            context.term.json(&json!({ "file": file, "id": key.id(), "public_key": key.public() }));
        } else {
            context.term.item(Mark::Done, &file.display().to_string());
            context.term.note(&format!("{}  {}", key.id(), key.public()));
        }
        return Ok(());
    }
    let face = context.face().await?;
    match command {
        KeyCommand::New { .. } => return Err(usage("input/usage", "用法不正确", "wrong usage")),
        KeyCommand::Add { file, label } => {
            let key = AuthorKey::read(&file)?;
            let added = face.add_key(&context.actor("operator"), &key.public(), &label).await?;
            if context.term.is_json() {
                context.term.json(&added);
            } else {
                context.term.item(Mark::Done, &added.id);
            }
        }
        KeyCommand::List => {
            let all = face.keys(&context.actor("authority")).await?;
            if context.term.is_json() {
                context.term.json(&json!({ "keys": all }));
                return Ok(());
            }
            let headings = [
                ("密钥", "Key"),
                ("机构", "Institution"),
                ("名称", "Label"),
                ("登记时间", "Added"),
                ("停用", "Retired"),
            ];
            let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
            for k in all {
                let retired = k.retired_at.unwrap_or_else(|| "–".to_owned());
                table.row([k.id, k.institution, k.label, k.added_at, retired]);
            }
            context.term.table(&table);
        }
        KeyCommand::Retire { id } => {
            face.retire_key(&context.actor("authority"), &id).await?;
            done(context, &id, "retired", "已停用");
        }
    }
    Ok(())
}

fn done(context: &mut Context, id: &str, word: &'static str, zh: &'static str) {
    if context.term.is_json() {
        context.term.json(&json!({ "id": id, "state": word }));
    } else {
        let shown = context.term.pick(zh, word).to_owned();
        context.term.item(Mark::Done, &format!("{id}: {shown}"));
    }
}
