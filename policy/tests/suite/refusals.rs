//! What refused people read, in both languages.

use crate::fixture::*;
use std::fmt::Write;
use yunei_policy::clear::clear;
use yunei_policy::facts::*;
use yunei_policy::rules::RuleSet;
use yunei_policy::{Lang, Refused};

/// Every reason in both languages, one per paragraph.
pub(crate) fn told(refused: &Refused) -> String {
    let mut out = String::new();
    for reason in refused.reasons() {
        writeln!(out, "{} [{}]", reason.code(), reason.place().unwrap_or("-")).unwrap();
        for lang in [Lang::Zh, Lang::En] {
            let hint = reason.advice().map_or("-", |h| h.get(lang));
            writeln!(out, "  {} | {}", reason.message().get(lang), hint).unwrap();
        }
    }
    out
}

#[test]
fn reasons_against_a_bad_plan() {
    let mut people = residents();
    people.columns[INCOME].usages.insert(yunei_policy::words::Usage::Group);
    let input = filter(
        join(Relation::Scan(people), Relation::Scan(power()), vec![(col(AGE), col(1))]),
        equal(col(ID), text("530102")),
    );
    let facts = PlanFacts {
        leaves: vec![Leaf {
            input,
            keys: vec![key("income", col(INCOME)), key("note", col(NOTE))],
            aggregates: vec![
                sum("debt", col(DEBT)),
                sum("income / age", binary(BinaryOperator::Divide, col(INCOME), col(AGE))),
                aggregate("max(income)", AggregateFunction::Max, vec![col(INCOME)]),
                aggregate("count(distinct age)", AggregateFunction::CountDistinct, vec![col(AGE)]),
                avg("credit_risk(id_number)", model(vec![col(ID)])),
            ],
        }],
        demand: None,
    };
    let refused = clear(&facts, &RuleSet::default()).unwrap_err();
    insta::assert_snapshot!("bad_plan", told(&refused));
}
