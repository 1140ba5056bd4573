//! A verification product with its dataset and models resolved: which columns, of which kinds, with which fixed predicates.

use super::spell::{Field, Value};
use crate::catalogue::DatasetSpec;
use crate::dates::parse_date;
use crate::plan::Sources;
use crate::product::{Claim, VerificationProduct};
use std::collections::BTreeSet;
use yunei_policy::facts::{Interval, Kind};
use yunei_policy::rules::RuleSet;
use yunei_policy::verification::{self, VerificationFacts, clear_verification};
use yunei_policy::words::UnitKind;
use yunei_policy::{Refusal, Refused};
use yunei_sandbox::Model;

/// A product that may be asked, resolved against its dataset's entry.
pub(crate) struct Resolution {
    /// The fields that name the subject, in the product's order.
    pub(crate) identity: Vec<Field>,
    /// Which of them is the unit column.
    pub(crate) unit: usize,
    /// Whom the dataset is about.
    pub(crate) unit_kind: UnitKind,
    /// The fields whose claimed values the caller gives, in the product's order.
    pub(crate) asked: Vec<Field>,
    /// The predicates that the product fixes.
    pub(crate) fixed: Vec<Fixed>,
}

/// A predicate over one row that nothing of a request changes.
pub(crate) enum Fixed {
    /// The column's value is one of these, or none of them; NULL is neither.
    OneOf { field: Field, values: BTreeSet<Vec<u8>>, negated: bool },
    /// The number or date lies in the band; NULL does not.
    Band { field: Field, least: f64, most: f64 },
    /// The model's output for the row lies in the band.
    Model { model: Box<Model>, least: f64, most: f64 },
}

/// Clears a verification product and resolves it.
///
/// # Errors
/// Every reason why it may not be asked.
pub(crate) fn resolve(
    product: &VerificationProduct,
    sources: &Sources,
    rules: &RuleSet,
) -> Result<Resolution, Refused> {
    let Some(source) = sources.datasets.first() else {
        return Err(Refusal::new("product/verification-datasets", "没有数据集", "no dataset").into());
    };
    let spec = &source.spec;
    let mut reasons = Vec::new();
    let facts = facts(product, spec, sources, &mut reasons);
    for column in product.kinds().filter(|column| spec.column(column).is_none_or(|c| c.facts().kind != Kind::Text)) {
        let shown: String = column.chars().take(64).collect();
        reasons.push(
            Refusal::new("product/field-kind", "只有文本列有字段类型", "only a text column has a kind")
                .at(format!("product.verification.kinds: {shown}")),
        );
    }
    let fixed = fixed(product, spec, sources, &mut reasons);
    let Some(facts) = facts.filter(|_| reasons.is_empty()) else {
        return Err(Refused::from_reasons(reasons).unwrap_or_else(|| unresolved().into()));
    };
    clear_verification(&facts, rules)?;
    let field = |name: &str| Field::of(spec, name, product.kind(name)).ok_or_else(unresolved);
    let identity = product.identity().iter().map(|name| field(name)).collect::<Result<Vec<_>, _>>()?;
    let unit = identity.iter().position(|f| Some(f.column) == facts.scan.unit).ok_or_else(unresolved)?;
    let asked = product.asked().map(field).collect::<Result<Vec<_>, _>>()?;
    Ok(Resolution { identity, unit, unit_kind: facts.scan.unit_kind, asked, fixed })
}

fn unresolved() -> Refusal {
    Refusal::new("verification/claim", "核验内容无法解析", "the claim can not be resolved")
}

fn facts(
    product: &VerificationProduct,
    spec: &DatasetSpec,
    sources: &Sources,
    reasons: &mut Vec<Refusal>,
) -> Option<VerificationFacts> {
    let scan = spec.scan();
    let mut position = |name: &str, place: &str| {
        let found = scan.columns.iter().position(|c| c.name == name);
        if found.is_none() {
            let shown: String = name.chars().take(64).collect();
            reasons.push(
                Refusal::new("verification/column", "数据集没有这一列", "the dataset has no such column")
                    .at(format!("{place}: {shown}")),
            );
        }
        found
    };
    let identity: Vec<Option<usize>> =
        product.identity().iter().map(|name| position(name, "product.verification.identity")).collect();
    let mut claims = Vec::new();
    for claim in product.claims() {
        claims.push(match claim {
            Claim::Equals { column } => {
                position(column, "product.verification.claim").map(|column| verification::Claim::Equals { column })
            }
            Claim::OneOf { column, values, negated } => position(column, "product.verification.claim")
                .map(|column| verification::Claim::OneOf { column, values: values.clone(), negated: *negated }),
            Claim::Band { column, least, most } => position(column, "product.verification.claim").map(|column| {
                let end = |end: &Option<String>, open| end.as_ref().map_or(open, |e| threshold(spec, column, e));
                let (least, most) = (end(least, f64::NEG_INFINITY), end(most, f64::INFINITY));
                verification::Claim::Band { column, least, most }
            }),
            Claim::Model { model, least, most } => model_facts(model, *least, *most, sources, &mut position),
        });
    }
    let identity: Option<Vec<usize>> = identity.into_iter().collect();
    let claims: Option<Vec<verification::Claim>> = claims.into_iter().collect();
    Some(VerificationFacts {
        scan: scan.clone(),
        identity: identity?,
        claims: claims?,
        legal_basis: product.legal_basis().map(str::to_owned),
    })
}

fn model_facts(
    reference: &str,
    least: Option<f64>,
    most: Option<f64>,
    sources: &Sources,
    position: &mut impl FnMut(&str, &str) -> Option<usize>,
) -> Option<verification::Claim> {
    let manifest = model(reference, sources)?.manifest();
    let names: Vec<String> = manifest.features().iter().map(|f| f.name().to_owned()).collect();
    let features: Vec<_> = names.iter().map(|n| position(n, "model feature")).collect();
    Some(verification::Claim::Model {
        model: reference.to_owned(),
        features: features.into_iter().collect::<Option<_>>()?,
        output: Interval::new(manifest.output().min(), manifest.output().max())?,
        least: least.unwrap_or(f64::NEG_INFINITY),
        most: most.unwrap_or(f64::INFINITY),
    })
}

fn model<'a>(reference: &str, sources: &'a Sources) -> Option<&'a Model> {
    sources.models.iter().find(|m| reference == format!("{}@{}", m.manifest().id(), m.manifest().version()))
}

/// An end of a band as a number; NaN, which policy refuses, where it is none of the column's type.
fn threshold(spec: &DatasetSpec, column: usize, text: &str) -> f64 {
    let kind = spec.columns().get(column).map(|c| c.facts().kind);
    match kind {
        Some(Kind::Date) => parse_date(text).map_or(f64::NAN, f64::from),
        _ => text.parse().unwrap_or(f64::NAN),
    }
}

fn fixed(
    product: &VerificationProduct,
    spec: &DatasetSpec,
    sources: &Sources,
    reasons: &mut Vec<Refusal>,
) -> Vec<Fixed> {
    let mut fixed = Vec::new();
    for claim in product.claims() {
        match claim {
            Claim::Equals { .. } => {}
            Claim::OneOf { column, values, negated } => {
                let Some(field) = Field::of(spec, column, product.kind(column)) else { continue };
                let spelled: Option<BTreeSet<Vec<u8>>> =
                    values.iter().map(|v| field.read(v).map(Value::into_bytes)).collect();
                match spelled {
                    Some(values) => fixed.push(Fixed::OneOf { field, values, negated: *negated }),
                    None => reasons.push(
                        Refusal::new("verify/values", "取值不符合该列的类型", "a value is not of the column's type")
                            .at(format!("claim: {}", column.chars().take(64).collect::<String>())),
                    ),
                }
            }
            Claim::Band { column, least, most } => {
                let Some(field) = Field::of(spec, column, product.kind(column)) else { continue };
                let end = |end: &Option<String>, open| end.as_ref().map_or(open, |e| threshold(spec, field.column, e));
                let (least, most) = (end(least, f64::NEG_INFINITY), end(most, f64::INFINITY));
                fixed.push(Fixed::Band { field, least, most });
            }
            Claim::Model { model: reference, least, most } => {
                let Some(model) = model(reference, sources) else { continue };
                let (least, most) = (least.unwrap_or(f64::NEG_INFINITY), most.unwrap_or(f64::INFINITY));
                fixed.push(Fixed::Model { model: Box::new(model.clone()), least, most });
            }
        }
    }
    fixed
}
