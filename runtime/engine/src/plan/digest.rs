//! The digest of a cleared plan: what is computed and released, in one form whatever the machine, its threads or its
//! batches are.
//!
//! It covers the author's plan with its parameters bound, of each private leaf the plan of its rows and how they are
//! bounded and summed, and what policy has cleared: keys, limits, grids, noise and charge. Files, modules and rules have digests of their
//! own. The texts are those of the query engine's display and of `Debug`, so another release of the runtime may have another
//! digest for the same plan; a receipt says which release made it.

use super::private::{PrivateLeaf, contributions};
use super::statistical::unit_plan;
use crate::digest::sha256_parts;
use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;
use yunei_policy::clear::Clearance;

/// The digest, hex.
///
/// # Errors
/// Where a leaf has no plan to be executed.
pub(super) fn plan_digest(plan: &LogicalPlan, leaves: &[PrivateLeaf], clearance: &Clearance) -> Result<String> {
    let mut texts = vec![plan.display_indent_schema().to_string(), format!("{:?}", clearance.class())];
    let charge = clearance.charge();
    texts.push(format!("rho {} delta {}", charge.rho.units(), charge.delta.units()));
    for (leaf, cleared) in leaves.iter().zip(clearance.leaves()) {
        texts.push(format!("{cleared:?}"));
        // Which groups are kept is the seed's matter, not the plan's; and the key of the units' digests is the home's.
        let executed = match cleared.statistical() {
            Some(_) => unit_plan(leaf, cleared, [0; 32])?.plan,
            None => {
                let (rows, shape) = contributions(leaf, cleared)?;
                texts.push(format!("{shape:?}"));
                rows
            }
        };
        texts.push(executed.display_indent_schema().to_string());
    }
    let parts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    Ok(hex::encode(sha256_parts("yunei/plan/1", &parts)))
}
