//! Privacy budgets: which scopes a use is charged in, and what is left of them.

use super::{Domain, Resolved};
use crate::error::DomainError;
use crate::product::{Body, Product};
use crate::registry::Line;
use serde::{Deserialize, Serialize};
use yunei_policy::Refusal;
use yunei_policy::accounting::{BudgetLine, BudgetScope, Charge, Delta, Rho, epsilon_at, runs_left};
use yunei_policy::authorise::{Action, Resource};
use yunei_policy::words::ReleaseClass;

/// What is left in one scope.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BudgetView {
    /// `dataset`, `institution_dataset` or `product`.
    pub kind: String,
    /// What the scope is of, for people.
    pub scope: String,
    /// ε that may be spent in all.
    pub limit_epsilon: f64,
    /// ε of what is spent.
    pub spent_epsilon: f64,
    /// ε that what is left of ρ comes to, as one charge.
    pub left_epsilon: f64,
    /// ρ that may be spent in all.
    pub limit_rho: f64,
    /// ρ that is spent.
    pub spent_rho: f64,
    /// About how many more runs like the last one charged here (of a product: like one of its own) are left.
    pub runs_left: Option<u64>,
}

/// What is left for one product, asked by one institution.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProductBudget {
    /// ε of one run; 0 where runs cost nothing.
    pub epsilon: f64,
    /// About how many more different runs like this all its budgets bear; nothing where runs cost nothing.
    pub runs_left: Option<u64>,
    /// Its budgets.
    pub budgets: Vec<BudgetView>,
}

impl Domain {
    /// The ledger lines of one use.
    pub(crate) fn budget_lines(
        &self,
        institution: &str,
        product: &Product,
        resolved: &Resolved,
        class: ReleaseClass,
        charge: Charge,
    ) -> Result<Vec<Line>, DomainError> {
        if class == ReleaseClass::Open || charge == Charge::ZERO {
            return Ok(Vec::new());
        }
        let mut scopes = Vec::new();
        for ((dataset, _, epoch), source) in resolved.versions.iter().zip(&resolved.sources.datasets) {
            if source.spec.release() == ReleaseClass::Open {
                continue;
            }
            scopes.push(BudgetScope::Dataset { dataset: dataset.clone(), epoch: *epoch });
            scopes.push(BudgetScope::InstitutionDataset {
                institution: institution.to_owned(),
                dataset: dataset.clone(),
                epoch: *epoch,
            });
        }
        scopes.push(BudgetScope::Product { product: product.id().to_owned() });
        scopes.into_iter().map(|scope| self.line(&scope, charge)).collect()
    }

    /// What is left for a product, if this institution runs it. The same question again is free and not counted.
    ///
    /// # Errors
    /// The reasons why the actor may not see it, or the product could not run.
    pub async fn product_budget(&self, actor: &str, id: &str, institution: &str) -> Result<ProductBudget, DomainError> {
        self.authorise(actor, Action::ReadBudget, Resource::Domain).await?;
        if institution != actor {
            // Who uses how much of what is a matter between each institution and the authority.
            self.ask(actor, Action::ReadInstitution).await?;
        }
        self.institution(institution).await?;
        let (_, product) = self.product_record(id).await?;
        let Body::Aggregate(aggregate) = product.body() else {
            return Ok(ProductBudget { epsilon: 0.0, runs_left: None, budgets: Vec::new() });
        };
        let resolved = self.resolve(&product).await?;
        let checked = crate::plan::check(aggregate, &resolved.sources, &self.rules, &self.runtime).await?;
        let (class, charge) = (checked.clearance().class(), checked.clearance().charge());
        let mut budgets = Vec::new();
        for line in self.budget_lines(institution, &product, &resolved, class, charge)? {
            let Some(scope) = scope_of(&line.scope_key) else { continue };
            let (rho, delta) = self.store.spent(&line.scope_key).await?;
            budgets.push(self.view(&scope, charge_of(rho, delta), Some(charge)));
        }
        let runs_left = budgets.iter().filter_map(|b| b.runs_left).min();
        Ok(ProductBudget { epsilon: checked.clearance().epsilon(), runs_left, budgets })
    }

    fn view(&self, scope: &BudgetScope, spent: Charge, like: Option<Charge>) -> BudgetView {
        let limit = scope.limit(&self.rules);
        let line = BudgetLine { scope: scope.clone(), limit, spent };
        let left = Rho::from_units(limit.rho.units().saturating_sub(spent.rho.units()));
        BudgetView {
            kind: kind_of(scope).to_owned(),
            scope: scope.to_string(),
            limit_epsilon: epsilon_at(&self.rules, limit),
            spent_epsilon: epsilon_at(&self.rules, spent),
            left_epsilon: epsilon_at(&self.rules, Charge { rho: left, delta: Delta::ZERO }),
            limit_rho: limit.rho.to_f64(),
            spent_rho: spent.rho.to_f64(),
            runs_left: like.map(|charge| runs_left(&line, charge)),
        }
    }

    fn line(&self, scope: &BudgetScope, charge: Charge) -> Result<Line, DomainError> {
        let limit = scope.limit(&self.rules);
        let number = |units: u64| {
            i64::try_from(units).map_err(|_| {
                DomainError::from(Refusal::new(
                    "budget/out-of-range",
                    "预算超出可记账范围",
                    "a budget beyond what can be kept",
                ))
            })
        };
        Ok(Line {
            scope_key: scope_key(scope),
            rho: number(charge.rho.units())?,
            delta: number(charge.delta.units())?,
            limit_rho: number(limit.rho.units())?,
            limit_delta: number(limit.delta.units())?,
        })
    }

    /// What is left in every scope that was ever charged; of other institutions' shares only the authority is told.
    ///
    /// # Errors
    /// The reasons why the actor may not see it.
    pub async fn budgets(&self, actor: &str) -> Result<Vec<BudgetView>, DomainError> {
        self.authorise(actor, Action::ReadBudget, Resource::Domain).await?;
        // Who uses how much of what is a matter between each institution and the authority.
        let all = self.ask(actor, Action::ReadInstitution).await.is_ok();
        let mut views = Vec::new();
        for balance in self.store.spent_all().await? {
            let Some(scope) = scope_of(&balance.scope_key) else { continue };
            if matches!(&scope, BudgetScope::InstitutionDataset { institution, .. } if !all && institution != actor) {
                continue;
            }
            let last = self.store.last_charge(&balance.scope_key).await?.map(|(rho, delta)| charge_of(rho, delta));
            views.push(self.view(&scope, charge_of(balance.rho, balance.delta), last));
        }
        Ok(views)
    }
}

fn charge_of(rho: i64, delta: i64) -> Charge {
    let units = |n: i64| u64::try_from(n).unwrap_or(0);
    Charge { rho: Rho::from_units(units(rho)), delta: Delta::from_units(units(delta)) }
}

fn kind_of(scope: &BudgetScope) -> &'static str {
    match scope {
        BudgetScope::Dataset { .. } => "dataset",
        BudgetScope::InstitutionDataset { .. } => "institution_dataset",
        BudgetScope::Product { .. } => "product",
    }
}

/// The key of a scope in the ledger. No part can hold a slash: ids do not.
fn scope_key(scope: &BudgetScope) -> String {
    match scope {
        BudgetScope::Dataset { dataset, epoch } => format!("dataset/{dataset}/{epoch}"),
        BudgetScope::InstitutionDataset { institution, dataset, epoch } => {
            format!("institution/{institution}/{dataset}/{epoch}")
        }
        BudgetScope::Product { product } => format!("product/{product}"),
    }
}

fn scope_of(key: &str) -> Option<BudgetScope> {
    let parts: Vec<&str> = key.split('/').collect();
    Some(match parts.as_slice() {
        ["dataset", dataset, epoch] => {
            BudgetScope::Dataset { dataset: (*dataset).to_owned(), epoch: epoch.parse().ok()? }
        }
        ["institution", institution, dataset, epoch] => BudgetScope::InstitutionDataset {
            institution: (*institution).to_owned(),
            dataset: (*dataset).to_owned(),
            epoch: epoch.parse().ok()?,
        },
        ["product", product] => BudgetScope::Product { product: (*product).to_owned() },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_scopes_are_one_to_one() {
        for scope in [
            BudgetScope::Dataset { dataset: "residents".into(), epoch: 3 },
            BudgetScope::InstitutionDataset { institution: "operator".into(), dataset: "residents".into(), epoch: 1 },
            BudgetScope::Product { product: "risk-by-city".into() },
        ] {
            assert_eq!(scope_of(&scope_key(&scope)), Some(scope));
        }
        assert_eq!(scope_of("dataset/residents"), None);
    }
}
