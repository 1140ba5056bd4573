//! Homes, institutions, grants, budgets.

use super::registers::{MAX_AGREEMENT_DAYS, digest_of};
use super::{Context, Outcome, clock, usage};
use crate::args::{BudgetCommand, GrantCommand, InstitutionCommand};
use crate::face::Agreed;
use crate::term::{Column, Mark, Table, decimal};
use serde_json::json;
use std::path::Path;
use yunei_engine::domain::{BudgetView, TokenRequest};
use yunei_engine::registry::StoreUrl;
use yunei_engine::{Domain, DomainError, GrantRequest};
use yunei_policy::authorise::Scopes;
use yunei_policy::words::Role;
use yunei_policy::{Refusal, Text};

/// For how long the first token is good.
const FIRST_TOKEN_DAYS: u32 = 90;

/// Where the store of a new home is to be: what was typed, else what the environment says.
fn store_url(typed: Option<&str>) -> Result<Option<StoreUrl>, DomainError> {
    let Some(text) = typed else {
        let given = std::env::var("YUNEI_STORE").ok().filter(|text| !text.is_empty());
        return Ok(given.map(|text| StoreUrl::parse(&text)).transpose()?);
    };
    let url = StoreUrl::parse(text)?;
    if url.has_password() {
        return Err(DomainError::Refused(
            Refusal::new("input/password", "命令行中不得有密码", "there is a password on the command line")
                .at("--store")
                .hint(
                    "其他用户能看到命令行；请更换密码，改用 PGPASSWORD、~/.pgpass 或 YUNEI_STORE 提供",
                    "others on the machine can read it: change it, and give it by PGPASSWORD, ~/.pgpass or YUNEI_STORE",
                )
                .into(),
        ));
    }
    Ok(Some(url))
}

pub(crate) async fn init(
    context: &mut Context,
    name: &str,
    rules: Option<&Path>,
    store: Option<&str>,
    sm2: bool,
) -> Outcome {
    context.here("域建在保管它的机器上", "a home is made on the machine that keeps it")?;
    if sm2 && !yunei_engine::has_sm2() {
        return Err(super::years::no_sm2());
    }
    let store = store_url(store)?;
    let rules = match rules {
        None => None,
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|_| usage("input/no-file", "无法读取规则文件", "the rules can not be read"))?,
        ),
    };
    let domain = Domain::create_in(&context.home, name, rules.as_deref(), store, clock()).await?;
    let key = domain.verifying_key().to_string();
    // The one credential that there is at first. It is told here, and kept nowhere.
    let first = TokenRequest {
        institution: "authority".to_owned(),
        label: "init".to_owned(),
        scopes: Scopes::all(),
        days: FIRST_TOKEN_DAYS,
        certificate: None,
    };
    let token = domain.issue_token("authority", &Scopes::all(), &first).await?;
    domain.close().await;
    let sm2_key = if sm2 { Some(Domain::add_sm2_key(&context.home, &clock())?) } else { None };
    if context.term.is_json() {
        context.term.json(&json!({
            "home": context.home, "name": name, "key": key, "sm2_key": sm2_key,
            "token": { "id": token.id, "token": token.secret, "expires_at": token.expires_at },
        }));
        return Ok(());
    }
    let done = context.term.pick("已建立域", "The domain is made").to_owned();
    context.term.item(Mark::Done, &format!("{done}: {}", context.home.display()));
    let hand = context
        .term
        .pick("日志公钥（请交给核对凭证的人）", "The log's public key, for those who check receipts")
        .to_owned();
    context.term.note(&format!("{hand}: {key}"));
    if let Some(sm2_key) = sm2_key {
        let label = context.term.pick("日志 SM2 公钥", "The log's SM2 public key").to_owned();
        context.term.note(&format!("{label}: {sm2_key}"));
    }
    let once = context
        .term
        .pick(
            "主管部门的访问令牌（只显示这一次，用于 yunei serve）",
            "The authority's token for yunei serve, shown this once",
        )
        .to_owned();
    context.term.note(&format!("{once}, → {}", token.expires_at));
    context.term.text(&token.secret);
    Ok(())
}

pub(crate) async fn institution(context: &mut Context, command: InstitutionCommand) -> Outcome {
    let domain = context.face().await?;
    if let InstitutionCommand::Add { id, role, zh, en } = &command {
        let role = match role.as_str() {
            "holder" => Role::Holder,
            "operator" => Role::Operator,
            "business" => Role::Business,
            "authority" => Role::Authority,
            _ => {
                return Err(usage(
                    "input/role",
                    "角色为 holder、operator、business 或 authority",
                    "a role is holder, operator, business or authority",
                ));
            }
        };
        domain.add_institution(&context.actor("authority"), id, role, &Text::new(zh, en)).await?;
    }
    let all = domain.institutions().await?;
    if context.term.is_json() {
        context.term.json(&json!({ "institutions": all }));
        return Ok(());
    }
    let lang = context.term.lang();
    let mut table = Table::new([
        Column::left(context.term.pick("机构", "Institution")),
        Column::left(context.term.pick("角色", "Role")),
        Column::left(context.term.pick("名称", "Name")),
        Column::left(context.term.pick("状态", "State")),
    ]);
    for one in &all {
        table.row([one.id.clone(), one.role.to_string(), one.title.get(lang).to_owned(), one.state.to_string()]);
    }
    context.term.table(&table);
    Ok(())
}

pub(crate) async fn grant(context: &mut Context, command: GrantCommand) -> Outcome {
    let agreed = match &command {
        GrantCommand::Add { agreement: Some(file), days, .. } => {
            Some(Agreed { digest: digest_of(file)?, days: (*days).min(MAX_AGREEMENT_DAYS) })
        }
        _ => None,
    };
    let domain = context.face().await?;
    if let GrantCommand::Add { institution, product, purposes, days, max_runs, .. } = command {
        let now = domain.now();
        let request = GrantRequest {
            institution,
            product,
            purposes,
            from_millis: now,
            until_millis: now.saturating_add(days.saturating_mul(86_400_000)),
            max_runs,
        };
        let id = domain.add_grant(&context.actor("authority"), &request, agreed).await?;
        if context.term.is_json() {
            context.term.json(&json!({ "grant": id }));
        } else {
            let done = context.term.pick("已授权", "Granted").to_owned();
            context.term.item(Mark::Done, &format!("{done}: {id}"));
        }
        return Ok(());
    }
    let all = domain.grants().await?;
    if context.term.is_json() {
        context.term.json(&json!({ "grants": all }));
        return Ok(());
    }
    let headings = [
        ("授权", "Grant"),
        ("机构", "Institution"),
        ("产品", "Product"),
        ("用途", "Purposes"),
        ("截止", "Until"),
        ("已用", "Used"),
        ("状态", "State"),
    ];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for g in &all {
        let used = g.max_runs.map_or_else(|| g.used_runs.to_string(), |most| format!("{} / {most}", g.used_runs));
        table.row([
            g.id.clone(),
            g.institution.clone(),
            g.product.clone(),
            g.purposes.join(", "),
            g.until.clone(),
            used,
            g.state.to_string(),
        ]);
    }
    context.term.table(&table);
    Ok(())
}

pub(crate) async fn budget(context: &mut Context, command: BudgetCommand) -> Outcome {
    let BudgetCommand::Show { product, institution } = command;
    let actor = context.actor("authority");
    if let Some(product) = product {
        let budget = context.face().await?.product_budget(&actor, &product, institution.as_deref()).await?;
        if context.term.is_json() {
            context.term.json(&budget);
            return Ok(());
        }
        let text = match (context.term.lang(), budget.runs_left) {
            (yunei_policy::Lang::Zh, Some(n)) => {
                format!("{product}：每次使用 ε = {}，约可再用 {n} 次", decimal(budget.epsilon, 3))
            }
            (yunei_policy::Lang::En, Some(n)) => {
                format!("{product}: ε = {} a run, about {n} more runs like this", decimal(budget.epsilon, 3))
            }
            (yunei_policy::Lang::Zh, None) => format!("{product}：使用不消耗隐私预算"),
            (yunei_policy::Lang::En, None) => format!("{product}: runs cost no privacy budget"),
        };
        context.term.text(&text);
        if !budget.budgets.is_empty() {
            budget_table(context, &budget.budgets);
        }
        return Ok(());
    }
    let all = context.face().await?.budgets(&actor).await?;
    if context.term.is_json() {
        context.term.json(&json!({ "budgets": all }));
        return Ok(());
    }
    if all.is_empty() {
        let text = context.term.pick("尚未使用任何预算。", "Nothing was charged yet.").to_owned();
        context.term.text(&text);
    } else {
        budget_table(context, &all);
    }
    Ok(())
}

fn budget_table(context: &mut Context, all: &[BudgetView]) {
    let mut table = Table::new([
        Column::left(context.term.pick("范围", "Scope")),
        Column::right(context.term.pick("已用 ε", "Spent ε")),
        Column::right(context.term.pick("剩余 ε", "Left ε")),
        Column::right(context.term.pick("上限 ε", "Limit ε")),
        Column::right(context.term.pick("约可再用次数", "About N more runs like this")),
    ]);
    for b in all {
        let runs = b.runs_left.map_or_else(|| "–".to_owned(), |n| n.to_string());
        let [spent, left, limit] = [b.spent_epsilon, b.left_epsilon, b.limit_epsilon].map(|e| decimal(e, 3));
        table.row([b.scope.clone(), spent, left, limit, runs]);
    }
    context.term.table(&table);
}
