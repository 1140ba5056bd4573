//! What somebody might try, what comes of it here, and what a plain engine would have told.
//!
//! The second column says the kind of value only: even an invented one does not leave.

use serde_json::Value;
use yunei_engine::DomainError;

use super::report::{Held, Leak};
use super::stage::{approve_model, approve_product};
use super::{Stage, Stop, show, uses};
use crate::demo::assets::{self, Asset};
use crate::term::Mark;

/// At most how often a product is run to see its budget run out.
const MOST_RUNS: u64 = 60;

/// An attempt, in both languages.
struct Attempt {
    name: &'static str,
    zh: &'static str,
    en: &'static str,
    plain_zh: &'static str,
    plain_en: &'static str,
}

/// What came of it.
struct Ended {
    held: Held,
    error: Option<DomainError>,
    table: Option<Value>,
    runs_before: Option<u64>,
}

impl Ended {
    fn refused(error: DomainError) -> Self {
        let refused = matches!(error, DomainError::Refused(_));
        let held = if refused { Held::Refused } else { Held::Leaked };
        Self { held, error: Some(error), table: None, runs_before: None }
    }

    fn leaked() -> Self {
        Self { held: Held::Leaked, error: None, table: None, runs_before: None }
    }
}

const PRODUCTS: [(Asset, Attempt); 4] = [
    (
        assets::LEAK_RAW_ROWS,
        Attempt {
            name: "raw-rows",
            zh: "直接取原始行",
            en: "Raw rows",
            plain_zh: "每个人的身份号码和收入",
            plain_en: "the identity number and income of everybody",
        },
    ),
    (
        assets::LEAK_ONE_PERSON,
        Attempt {
            name: "one-person",
            zh: "按一个身份号码筛选",
            en: "A filter on one identity number",
            plain_zh: "这个人在不在库中，以及此人的收入",
            plain_en: "whether this person is there, and the person's income",
        },
    ),
    (
        assets::LEAK_LEAST_INCOME,
        Attempt {
            name: "least-income",
            zh: "求最低收入 MIN(income)",
            en: "MIN(income)",
            plain_zh: "每个州市某一个人的收入",
            plain_en: "the income of one person in each prefecture",
        },
    ),
    (
        assets::LEAK_UNBOUNDED_SUM,
        Attempt {
            name: "unbounded-sum",
            zh: "无界求和 SUM(debts)",
            en: "A SUM without bounds",
            plain_zh: "精确总额，与去掉一人后的总额相减即得此人的债务",
            plain_en: "the exact total; less the total without one person, it is that person's debts",
        },
    ),
];

/// The hostile models, in the order of [`assets::HOSTILE_MODELS`], and what honest containment makes of their answers.
const MODELS: [(Attempt, (f64, f64)); 3] = [
    (
        Attempt {
            name: "remembers",
            zh: "模型在内存里记住上一个人",
            en: "A model that remembers the last person, in memory",
            plain_zh: "用别人的收入算出的评分",
            plain_en: "scores made of the income of somebody else",
        },
        (0.0, 0.0),
    ),
    (
        Attempt {
            name: "remembers-global",
            zh: "模型在全局变量里记住上一个人",
            en: "A model that remembers the last person, in a global",
            plain_zh: "用别人的收入算出的评分",
            plain_en: "scores made of the income of somebody else",
        },
        (0.0, 0.0),
    ),
    (
        Attempt {
            name: "traps-on-target",
            zh: "模型遇到目标人物即崩溃",
            en: "A model that traps on a target",
            plain_zh: "运行失败本身即说明目标在库中",
            plain_en: "a run that fails, which tells that the target is there",
        },
        // 0.25 for most, the default 0.5 where it traps.
        (0.25, 0.5),
    ),
];

const PURPOSE: Attempt = Attempt {
    name: "unapproved-purpose",
    zh: "用于未获批准的用途",
    en: "A purpose that was not approved",
    plain_zh: "同样的结果，不问用途",
    plain_en: "the same result, whatever it is for",
};

const BUDGET: Attempt = Attempt {
    name: "exhausted-budget",
    zh: "换着参数反复查询，直到差出个人",
    en: "The same product again and again with other parameters",
    plain_zh: "无限多次精确回答，两两相减即得个人",
    plain_en: "exact answers without end; their differences are single people",
};

/// Tries all of them.
pub(super) async fn all(stage: &mut Stage<'_>) -> Result<(), Stop> {
    let heading = stage.term.pick("泄露尝试", "Leaks").to_owned();
    stage.term.heading(&heading);
    for (asset, attempt) in PRODUCTS {
        let manifest = stage.ground.write("products", asset)?;
        let checked = stage.domain.check_product(&manifest).await.is_err();
        let ended = match stage.domain.submit_product("operator", &manifest).await {
            Err(error) if checked => Ended::refused(error),
            _ => Ended::leaked(),
        };
        tell(stage, &attempt, ended);
    }
    for ((model, asset), (attempt, range)) in assets::HOSTILE_MODELS.into_iter().zip(assets::LEAKS_BY_MODEL).zip(MODELS)
    {
        // Approved on purpose: the defence must not rest on somebody reading the module.
        approve_model(stage, model).await?;
        let product = approve_product(stage, asset, "operator").await?;
        let ended = hostile(stage, &product, range).await?;
        tell(stage, &attempt, ended);
    }
    let ended = match uses::run(stage, "risk-by-city", &[], "marketing").await {
        Err(error) => Ended::refused(error),
        Ok(_) => Ended::leaked(),
    };
    tell(stage, &PURPOSE, ended);
    let ended = exhaust(stage).await?;
    tell(stage, &BUDGET, ended);
    Ok(())
}

/// Runs a hostile model. It is neutralised where what is told agrees with the contained answers.
async fn hostile(stage: &mut Stage<'_>, product: &str, range: (f64, f64)) -> Result<Ended, Stop> {
    let answer = match uses::run(stage, product, &[], "credit-research").await {
        Ok(answer) => answer,
        // A run that fails is what the model hoped for.
        Err(error) => return Ok(Ended { error: Some(error), ..Ended::leaked() }),
    };
    let rows = uses::keep(stage, &answer)?;
    let held = if agrees(&rows, range) { Held::Neutralised } else { Held::Leaked };
    Ok(Ended { held, error: None, table: Some(rows), runs_before: None })
}

/// Whether at least half of the 95 % intervals of `mean_answer` touch `range`. Of sixteen that are right nineteen times
/// in twenty, fewer do so about once in 10⁸ runs; of answers that carry incomes in a large table, none does.
fn agrees(rows: &Value, range: (f64, f64)) -> bool {
    const ROUNDING: f64 = 1e-9;
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    let known: Vec<(f64, f64)> = rows.iter().filter_map(|row| show::interval(row, "mean_answer")).collect();
    let good = known.iter().filter(|(low, high)| *low <= range.1 + ROUNDING && *high >= range.0 - ROUNDING).count();
    good * 2 >= known.len()
}

/// Asks until the budget is spent.
async fn exhaust(stage: &mut Stage<'_>) -> Result<Ended, Stop> {
    let spinner = stage.term.spinner(stage.term.pick("反复查询", "Asking again and again"));
    let mut ended = Ended::leaked();
    for n in 0..MOST_RUNS {
        match uses::run(stage, "risk-by-city", &[("min_age", (19 + n).to_string())], "credit-research").await {
            Ok(answer) => {
                uses::keep(stage, &answer)?;
            }
            Err(error) => {
                let spent = error.reasons().iter().any(|reason| reason.code().starts_with("budget/"));
                ended = if spent { Ended::refused(error) } else { Ended { error: Some(error), ..Ended::leaked() } };
                ended.runs_before = Some(n);
                break;
            }
        }
    }
    spinner.done();
    Ok(ended)
}

fn tell(stage: &mut Stage<'_>, attempt: &Attempt, ended: Ended) {
    let lang = stage.term.lang();
    let term = &mut *stage.term;
    let title = term.pick(attempt.zh, attempt.en).to_owned();
    term.item(if ended.held == Held::Leaked { Mark::Failed } else { Mark::Refused }, &title);
    let reasons = ended.error.as_ref().map_or(&[][..], DomainError::reasons);
    let mut here: Vec<String> = vec![
        match ended.held {
            Held::Refused => term.pick("拒绝", "refused"),
            Held::Neutralised => {
                term.pick("已失效：答案与他人无关，并加有噪声", "neutralised: no answer depends on others, noise added")
            }
            Held::Leaked => term.pick("未能阻止", "not held"),
        }
        .to_owned(),
    ];
    here.extend(reasons.iter().map(|r| format!("{} ({})", r.message().get(lang), r.code())));
    if let Some(runs) = ended.runs_before {
        here.push(format!("{} {runs}", term.pick("此前成功次数", "runs before that:")));
    }
    let plain = term.pick(attempt.plain_zh, attempt.plain_en).to_owned();
    let (ours, theirs) =
        (term.pick("本域", "this domain").to_owned(), term.pick("普通引擎", "a plain engine").to_owned());
    term.facts(&[(&ours, here.join("; ")), (&theirs, plain.clone())]);
    stage.report.leak(Leak {
        name: attempt.name,
        attempt: title,
        plain_engine: plain,
        outcome: ended.held,
        codes: reasons.iter().map(|r| r.code().to_owned()).collect(),
        runs_before: ended.runs_before,
        table: ended.table,
    });
}
