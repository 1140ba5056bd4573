//! The ordinary way: two aggregate products, three verifications.

use std::collections::BTreeMap;

use serde_json::Value;
use yunei_engine::{Answer, DomainError, Format, RunAnswer, RunRequest, VerifyRequest};
use yunei_policy::Lang;

use super::report::Step;
use super::{SEED, Stage, Stop, show};
use crate::demo::data::{EDUCATIONS, Resident, resident};
use crate::term::{Mark, decimal};

/// Runs both aggregate products and shows what they give.
pub(super) async fn products(stage: &mut Stage<'_>) -> Result<(), Stop> {
    for (product, zh, en) in [
        ("risk-by-city", "各州市、各年龄段的信用风险", "Credit risk by prefecture and age band"),
        ("electricity-by-risk", "各信用风险等级的用电量（两个数据集）", "Electricity by risk band (two datasets)"),
    ] {
        let heading = stage.term.pick(zh, en).to_owned();
        stage.term.heading(&heading);
        let answer = run(stage, product, &[], "credit-research").await?;
        let rows = keep(stage, &answer)?;
        show_answer(stage, &answer, &rows);
        stage.report.step(Step {
            name: format!("run {product}"),
            outcome: "released".to_owned(),
            as_expected: rows.as_array().is_some_and(|r| !r.is_empty()),
            run: Some(answer.run),
            epsilon: Some(answer.epsilon),
            table: Some(rows),
            ..Step::default()
        });
    }
    Ok(())
}

/// Runs a product for the operator.
pub(super) async fn run(
    stage: &Stage<'_>,
    product: &str,
    arguments: &[(&str, String)],
    purpose: &str,
) -> Result<RunAnswer, DomainError> {
    let arguments: BTreeMap<String, String> =
        arguments.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let request = RunRequest {
        institution: "operator".to_owned(),
        product: product.to_owned(),
        arguments,
        purpose: purpose.to_owned(),
    };
    stage.domain.run(&request).await
}

/// Keeps the result and its receipt; the rows.
pub(super) fn keep(stage: &Stage<'_>, answer: &RunAnswer) -> Result<Value, Stop> {
    let csv = answer.released.write(Format::Csv).map_err(|_| Stop::Io(std::io::Error::other("csv")))?;
    stage.ground.result(&format!("{}.csv", answer.run), &csv)?;
    stage.ground.receipt(&answer.run, &answer.receipt)?;
    show::rows(&answer.released)
}

/// The table and what it cost.
pub(super) fn show_answer(stage: &mut Stage<'_>, answer: &RunAnswer, rows: &Value) {
    let (table, more) = show::table(&answer.released, rows);
    stage.term.table(&table);
    let epsilon = decimal(answer.epsilon, 3);
    let note = match (stage.term.lang(), more) {
        (Lang::Zh, 0) => format!("± 为 95% 区间；本次消耗预算 ε = {epsilon}"),
        (Lang::Zh, more) => format!("另有 {more} 行；± 为 95% 区间；本次消耗预算 ε = {epsilon}"),
        (Lang::En, 0) => format!("± is the 95 % interval; charged ε = {epsilon}"),
        (Lang::En, more) => format!("{more} more rows; ± is the 95 % interval; charged ε = {epsilon}"),
    };
    stage.term.note(&note);
}

/// What a business asks about one person; who that is, is not shown.
struct Ask<'a> {
    product: &'a str,
    claim: Option<&'a str>,
    expected: Option<Answer>,
    zh: &'a str,
    en: &'a str,
}

/// A true claim, a false one, and a fixed one.
pub(super) async fn verifications(stage: &mut Stage<'_>) -> Result<(), Stop> {
    let heading = stage.term.pick("核验", "Verification").to_owned();
    stage.term.heading(&heading);
    let who = resident(SEED, 0);
    let other = EDUCATIONS.iter().find(|e| **e != who.education).copied().unwrap_or(EDUCATIONS[0]);
    let equals = "education-verified";
    for ask in [
        Ask {
            product: equals,
            claim: Some(who.education),
            expected: Some(Answer::Match),
            zh: "甲的学历，如实申报",
            en: "Education of person A, stated truly",
        },
        Ask {
            product: equals,
            claim: Some(other),
            expected: Some(Answer::NoMatch),
            zh: "甲的学历，虚假申报",
            en: "Education of person A, stated falsely",
        },
        Ask {
            product: "low-risk",
            claim: None,
            expected: None,
            zh: "甲的信用风险是否不高于 0.35",
            en: "Is the credit risk of person A at most 0.35",
        },
    ] {
        verify(stage, &who, &ask).await?;
    }
    Ok(())
}

async fn verify(stage: &mut Stage<'_>, who: &Resident, ask: &Ask<'_>) -> Result<(), Stop> {
    let identity =
        [("id_number", who.id_number.as_str()), ("name", who.name.as_str())].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let request = VerifyRequest {
        institution: "business".to_owned(),
        product: ask.product.to_owned(),
        identity: identity.into_iter().collect(),
        claim: ask.claim.map(str::to_owned),
        purpose: "loan-application".to_owned(),
        ..VerifyRequest::default()
    };
    let answer = stage.domain.verify(&request).await?;
    stage.ground.receipt(&answer.run, &answer.receipt)?;
    let as_expected = ask.expected.is_none_or(|expected| expected == answer.answer);
    let question = stage.term.pick(ask.zh, ask.en);
    let line = format!("{question}: {}", answer.answer.as_str());
    stage.term.item(if as_expected { Mark::Done } else { Mark::Failed }, &line);
    stage.report.step(Step {
        name: ask.en.to_owned(),
        outcome: answer.answer.as_str().to_owned(),
        as_expected,
        run: Some(answer.run),
        ..Step::default()
    });
    Ok(())
}
