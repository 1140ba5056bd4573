//! Room on the stack for planning.
//!
//! The planner goes down a query by recursion, with frames of its own for every subquery, and what it makes is copied, compared and
//! dropped by recursion too. Texts are bounded, but a thread of the server has two megabytes of stack, and a stack that overflows ends the
//! whole process: planning gets a stack of its own.

use futures::FutureExt;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use yunei_policy::{Refusal, Refused};

/// The stack that planning gets. Of it only what is used takes memory.
const ROOM: usize = 64 << 20;

/// Does `planning` on a stack with room for the deepest text that is let in.
pub(super) async fn with_room<T>(planning: impl Future<Output = T>) -> T {
    let mut planning = Box::pin(planning);
    poll_fn(move |context| stacker::maybe_grow(ROOM / 2, ROOM, || planning.as_mut().poll(context))).await
}

/// The same, where the planner may come upon a text that it was not written for: what would end the task is a refusal. Nothing has
/// been charged or opened, and what was being made is dropped.
///
/// # Errors
/// Those of `planning`, and `plan/not-supported`.
pub(super) async fn planned<T>(planning: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    match with_room(AssertUnwindSafe(planning).catch_unwind()).await {
        Ok(answer) => answer,
        Err(_) => Err(Refusal::new(
            "plan/not-supported",
            "查询引擎无法处理这种写法",
            "the query engine can not take this text",
        )
        .at("product.sql")
        .hint("请换一种写法，或把查询拆成 CTE", "write it another way, or split the query into CTEs")
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_planner_that_panics_refuses() {
        assert_eq!(planned(async { Ok(7) }).await.unwrap(), 7);
        let none: Vec<u8> = Vec::new();
        let refused = planned(async { Ok(none[0]) }).await.unwrap_err();
        assert_eq!(refused.codes(), ["plan/not-supported"]);
    }
}
