//! The relations between cells and margins, and what follows from published numbers about withheld ones.
//!
//! Cells and totals of a table with margins are a circulation: rows are nodes, columns are nodes, a cell is an edge from its
//! row to its column, a row's total is an edge into the row, a column's total one out of the column, the grand total closes
//! the circle; that totals are sums is the conservation of flow. All numbers are non-negative. The least and the greatest
//! value of a withheld number that the published ones allow — the linear programmes of Fischetti & Salazar-González 2001 —
//! are then found exactly, in whole numbers, as maximum flows (Ford & Fulkerson 1962; the constraint matrix is that of a
//! network, so that the programmes have whole optima): the value can grow by as much as can flow back around it.

use std::collections::{BinaryHeap, VecDeque};

/// More than any flow that is asked for.
const UNBOUNDED: i128 = i128::MAX / 4;

/// The edges of a table's circulation, in the order of its entries.
#[derive(Debug)]
pub(super) struct Shape {
    nodes: usize,
    edges: Vec<(usize, usize)>,
}

/// One step along an edge, with the flow or against it.
#[derive(Debug, Clone, Copy)]
struct Step {
    edge: usize,
    forward: bool,
}

impl Shape {
    /// Cells and their total.
    pub(super) fn one_way(columns: usize) -> Self {
        let mut edges = vec![(0, 1); columns];
        edges.push((1, 0));
        Self { nodes: 2, edges }
    }

    /// Rows of cells, each with its total, and a row of totals.
    pub(super) fn two_way(rows: usize, columns: usize) -> Self {
        let (row_totals, column_totals) = (rows + columns, rows + columns + 1);
        let mut edges = Vec::with_capacity((rows + 1) * (columns + 1));
        for row in 0..=rows {
            for column in 0..=columns {
                edges.push(match (row < rows, column < columns) {
                    (true, true) => (row, rows + column),
                    (true, false) => (row_totals, row),
                    (false, true) => (rows + column, column_totals),
                    (false, false) => (column_totals, row_totals),
                });
            }
        }
        Self { nodes: rows + columns + 2, edges }
    }

    /// Whether all totals are the sums of their cells.
    pub(super) fn is_balanced(&self, values: &[i128]) -> bool {
        let mut net = vec![Some(0i128); self.nodes];
        for ((from, to), value) in self.edges.iter().zip(values) {
            net[*from] = net[*from].and_then(|n| n.checked_sub(*value));
            net[*to] = net[*to].and_then(|n| n.checked_add(*value));
        }
        net.iter().all(|n| *n == Some(0))
    }

    fn ends(&self, step: Step) -> (usize, usize) {
        let (from, to) = self.edges[step.edge];
        if step.forward { (from, to) } else { (to, from) }
    }

    /// By how much the withheld `edge` may be larger (or smaller) than it is, as far as anybody can tell; the search stops
    /// at `enough`.
    pub(super) fn slack(&self, values: &[i128], withheld: &[bool], edge: usize, up: bool, enough: i128) -> i128 {
        let (from, to) = self.edges[edge];
        let (source, sink) = if up { (to, from) } else { (from, to) };
        let enough = if up { enough } else { enough.min(values[edge]) };
        // How far each withheld number has moved from its true value so far.
        let mut moved = vec![0i128; values.len()];
        let mut found = 0;
        while found < enough {
            let room = |step: Step| match step {
                Step { edge: e, .. } if e == edge || !withheld[e] => 0,
                Step { forward: true, .. } => UNBOUNDED,
                Step { edge: e, .. } => values[e].saturating_add(moved[e]),
            };
            let Some(path) = self.path(source, sink, &room) else { break };
            let narrow = path.iter().map(|s| room(*s)).min().unwrap_or(UNBOUNDED).min(enough - found);
            for step in path {
                moved[step.edge] += if step.forward { narrow } else { -narrow };
            }
            found += narrow;
        }
        found
    }

    /// A shortest path with room on every step.
    fn path(&self, source: usize, sink: usize, room: &dyn Fn(Step) -> i128) -> Option<Vec<Step>> {
        let mut came: Vec<Option<Step>> = vec![None; self.nodes];
        let mut seen = vec![false; self.nodes];
        seen[source] = true;
        let mut queue = VecDeque::from([source]);
        let around = self.around();
        while let Some(node) = queue.pop_front() {
            for step in &around[node] {
                let next = self.ends(*step).1;
                if !seen[next] && room(*step) > 0 {
                    seen[next] = true;
                    came[next] = Some(*step);
                    queue.push_back(next);
                }
            }
            if seen[sink] {
                return Some(self.unwind(sink, source, &came));
            }
        }
        None
    }

    /// The cheapest way to let `edge` move up (or down): the entries on it that are not withheld yet. `cost` of an entry is
    /// what withholding it loses.
    pub(super) fn cheapest(
        &self,
        values: &[i128],
        withheld: &[bool],
        edge: usize,
        up: bool,
        cost: &dyn Fn(usize) -> u64,
    ) -> Vec<usize> {
        let (from, to) = self.edges[edge];
        let (source, sink) = if up { (to, from) } else { (from, to) };
        let around = self.around();
        let mut best = vec![u64::MAX; self.nodes];
        let mut came: Vec<Option<Step>> = vec![None; self.nodes];
        best[source] = 0;
        let mut heap = BinaryHeap::from([(std::cmp::Reverse(0), source)]);
        while let Some((std::cmp::Reverse(paid), node)) = heap.pop() {
            if paid > best[node] {
                continue;
            }
            for step in &around[node] {
                if step.edge == edge || (!step.forward && values[step.edge] == 0) {
                    continue;
                }
                let price = if withheld[step.edge] { 0 } else { cost(step.edge) };
                let (next, paid) = (self.ends(*step).1, paid.saturating_add(price));
                if paid < best[next] {
                    best[next] = paid;
                    came[next] = Some(*step);
                    heap.push((std::cmp::Reverse(paid), next));
                }
            }
        }
        if best[sink] == u64::MAX {
            return Vec::new();
        }
        let path = self.unwind(sink, source, &came);
        path.into_iter().map(|s| s.edge).filter(|e| !withheld[*e]).collect()
    }

    fn unwind(&self, sink: usize, source: usize, came: &[Option<Step>]) -> Vec<Step> {
        let mut path = Vec::new();
        let mut node = sink;
        while node != source {
            let Some(step) = came[node] else { break };
            path.push(step);
            node = self.ends(step).0;
        }
        path
    }

    /// The steps out of each node.
    fn around(&self) -> Vec<Vec<Step>> {
        let mut around = vec![Vec::new(); self.nodes];
        for (edge, (from, to)) in self.edges.iter().enumerate() {
            around[*from].push(Step { edge, forward: true });
            around[*to].push(Step { edge, forward: false });
        }
        around
    }
}
