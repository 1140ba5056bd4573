//! Room on the stack for planning.
//!
//! The planner goes down a query by recursion, with frames of its own for every subquery, and what it makes is copied, compared and
//! dropped by recursion too. Texts are bounded, but a thread of the server has two megabytes of stack, and a stack that overflows ends the
//! whole process: planning gets a stack of its own.

use std::future::{Future, poll_fn};

/// The stack that planning gets. Of it only what is used takes memory.
const ROOM: usize = 64 << 20;

/// Does `planning` on a stack with room for the deepest text that is let in.
pub(super) async fn with_room<T>(planning: impl Future<Output = T>) -> T {
    let mut planning = Box::pin(planning);
    poll_fn(move |context| stacker::maybe_grow(ROOM / 2, ROOM, || planning.as_mut().poll(context))).await
}
