//! Privacy budgets: which scopes a use is charged in, and what is left of them.

use super::{Domain, Resolved};
use crate::error::DomainError;
use crate::product::Product;
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
    /// ρ that may be spent in all.
    pub limit_rho: f64,
    /// ρ that is spent.
    pub spent_rho: f64,
    /// About how many more runs like the last one charged here are left.
    pub runs_left: Option<u64>,
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
            let units = |n: i64| u64::try_from(n).unwrap_or(0);
            let spent =
                Charge { rho: Rho::from_units(units(balance.rho)), delta: Delta::from_units(units(balance.delta)) };
            let limit = scope.limit(&self.rules);
            let last = self.store.last_charge(&balance.scope_key).await?.map(|(rho, delta)| Charge {
                rho: Rho::from_units(units(rho)),
                delta: Delta::from_units(units(delta)),
            });
            let line = BudgetLine { scope: scope.clone(), limit, spent };
            views.push(BudgetView {
                kind: kind_of(&scope).to_owned(),
                scope: scope.to_string(),
                limit_epsilon: epsilon_at(&self.rules, limit),
                spent_epsilon: epsilon_at(&self.rules, spent),
                limit_rho: limit.rho.to_f64(),
                spent_rho: spent.rho.to_f64(),
                runs_left: last.map(|charge| runs_left(&line, charge)),
            });
        }
        Ok(views)
    }
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
