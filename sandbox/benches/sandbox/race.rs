//! Measuring several ways side by side: what disturbs the machine disturbs all of them.

use std::time::{Duration, Instant};

/// Runs every way once per round, in turn, and gives the shortest time of each: what else the machine does can only
/// add to it.
pub(crate) fn race<const N: usize>(rounds: usize, mut ways: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut best = [Duration::MAX; N];
    for way in &mut ways {
        way();
    }
    for _ in 0..rounds {
        for (way, best) in ways.iter_mut().zip(&mut best) {
            let start = Instant::now();
            way();
            *best = start.elapsed().min(*best);
        }
    }
    best
}

/// Nanoseconds of one of `n`.
pub(crate) fn each(time: Duration, n: usize) -> f64 {
    time.as_nanos() as f64 / n as f64
}

/// A heading and a table, in Markdown.
pub(crate) fn table(title: &str, head: &[&str], rows: &[Vec<String>]) {
    println!("\n### {title}\n");
    println!("| {} |", head.join(" | "));
    println!("|{}", "---|".repeat(head.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

/// Whether a figure is what was asked for.
pub(crate) fn met(is: bool) -> String {
    if is { "yes".to_owned() } else { "**no**".to_owned() }
}
