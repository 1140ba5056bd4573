//! Who can call whom, in what order costs add up, and what a unit can cost at most.

use std::collections::{HashMap, VecDeque};

use wasmparser::{FuncType, Operator};

use super::facts::{FRAME_BASE, Facts};
use super::ops;

/// Functions dearer than this are charged when they are entered, not when their caller is.
const INLINE_COST: u64 = 256;

/// The part of the call graph that can run, with its costs.
#[derive(Debug, Default, Clone)]
pub(crate) struct Graph {
    /// Per function: whether the model's functions can reach it.
    pub(crate) from_model: Vec<bool>,
    /// Per function: one that calls it on a shortest way from the model's functions, directly or through a
    /// table.
    pub(crate) called_by: Vec<Option<u32>>,
    /// Per function: whether the model's functions or the start function can reach it.
    pub(crate) reachable: Vec<bool>,
    /// Per function: whether a call of it can come back to it.
    pub(crate) recursive: Vec<bool>,
    /// Per function: what is charged for entering it, and for each pass through each of its loops in
    /// the order of the code.
    pub(crate) charges: Vec<Charges>,
    /// Per function, the fuel of a whole call when nothing in it loops or recurs; saturating.
    pub(crate) worst: Vec<u64>,
    /// Component number of each node, for telling a recursive call from another.
    component: Vec<u32>,
    /// Node of each type number.
    type_nodes: Vec<usize>,
}

/// What a metered run of one function is charged.
#[derive(Debug, Default, Clone)]
pub(crate) struct Charges {
    /// On entry; `None`: its callers are charged for it.
    pub(crate) entry: Option<u64>,
    /// At the head of each loop, in the order of the code.
    pub(crate) loops: Vec<u64>,
}

/// Edges in the form of an index into one long list.
struct Edges {
    of: Vec<Vec<usize>>,
    type_nodes: Vec<usize>,
}

impl Graph {
    /// Builds the graph of `facts` from the model's functions `roots`.
    ///
    /// A call through a table may reach every function of its type whose reference stands anywhere
    /// in the module: what tables hold can then be left out of account, however they are changed.
    pub(super) fn build(wasm: &[u8], facts: &Facts, roots: &[u32]) -> Self {
        let edges = edges(facts);
        let nodes = edges.of.len();
        let n = facts.functions.len();
        let (from_model, parents) = reach(&edges.of, roots.iter().map(|r| *r as usize));
        let all = roots.iter().chain(facts.start.iter()).map(|r| *r as usize);
        let (reachable, _) = reach(&edges.of, all);
        let (order, component) = components(&edges.of, &reachable);
        let mut size = vec![0_u32; nodes];
        for c in component.iter().filter(|c| **c != u32::MAX) {
            size[*c as usize] += 1;
        }
        let recursive: Vec<bool> = (0..nodes)
            .map(|i| component[i] != u32::MAX && (size[component[i] as usize] > 1 || edges.of[i].contains(&i)))
            .collect();
        let mut graph = Graph {
            from_model: from_model[..n].to_vec(),
            called_by: callers(&parents, n),
            reachable: reachable[..n].to_vec(),
            recursive: recursive[..n].to_vec(),
            charges: vec![Charges::default(); n],
            worst: vec![0; n],
            component,
            type_nodes: edges.type_nodes,
        };
        graph.costs(wasm, facts, roots, &order, &edges.of, &recursive);
        graph
    }

    /// Whether a call out of `caller` can come back to it: by function or by type number.
    pub(crate) fn recurs(&self, caller: usize, callee: Callee) -> bool {
        let node = match callee {
            Callee::Function(f) => f as usize,
            Callee::Type(t) => self.type_nodes[t as usize],
        };
        self.recursive[caller] && self.component[caller] == self.component[node]
    }

    /// Costs of all reachable nodes, callees before callers.
    fn costs(
        &mut self,
        wasm: &[u8],
        facts: &Facts,
        roots: &[u32],
        order: &[usize],
        edges: &[Vec<usize>],
        recursive: &[bool],
    ) {
        let n = facts.functions.len();
        // Per node: what a caller is charged for it, and the whole cost of the call.
        let mut price = vec![Price::default(); edges.len()];
        for &node in order {
            if node >= n {
                for &callee in &edges[node] {
                    let other = price[callee];
                    price[node] = price[node].max(other);
                }
                continue;
            }
            let cost = |callee: Callee| match callee {
                Callee::Function(f) => price[f as usize],
                Callee::Type(t) => price[self.type_nodes[t as usize]],
            };
            let body = &facts.bodies[node];
            let (entry, loops) = walk(&wasm[body.body.clone()], cost, passage(body.frame));
            let index = node as u32;
            // What the driver does for a row is paid for by the function that gets it.
            let row = roots.len() == 3 && roots[1] == index;
            let entry = if row { entry.plus(Price::of(row_cost(facts, index))) } else { entry };
            let is_root = roots.contains(&index) || facts.start == Some(index);
            // What a table may hold is charged on entry too: its callers do not know what they call.
            let own = is_root
                || recursive[node]
                || entry.charged > INLINE_COST
                || facts.referenced.binary_search(&index).is_ok();
            self.worst[node] = entry.whole;
            self.charges[node] =
                Charges { entry: own.then_some(entry.charged), loops: loops.iter().map(|p| p.charged).collect() };
            price[node] = Price { charged: if own { 0 } else { entry.charged }, whole: entry.whole };
        }
    }
}

/// Fuel for entering a function or passing through a loop: a compiler may have to move all locals there.
fn passage(frame: i64) -> u64 {
    u64::try_from((frame - FRAME_BASE) / 64).unwrap_or_default()
}

/// Fuel of the driver for handing over one row of a unit.
fn row_cost(facts: &Facts, step: u32) -> u64 {
    8 + facts.types[facts.functions[step as usize] as usize].params().len() as u64
}

/// The target of a call instruction.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Callee {
    Function(u32),
    Type(u32),
}

/// The callee of a call that is not a tail call.
pub(crate) fn callee_of(op: &Operator<'_>) -> Option<Callee> {
    match op {
        Operator::Call { function_index } => Some(Callee::Function(*function_index)),
        Operator::CallIndirect { type_index, .. } => Some(Callee::Type(*type_index)),
        _ => None,
    }
}

/// Two sums that run side by side: what is charged here, and the worst case of everything below.
#[derive(Debug, Default, Clone, Copy)]
struct Price {
    charged: u64,
    whole: u64,
}

impl Price {
    fn of(cost: u64) -> Price {
        Price { charged: cost, whole: cost }
    }

    fn plus(self, other: Price) -> Price {
        Price { charged: self.charged.saturating_add(other.charged), whole: self.whole.saturating_add(other.whole) }
    }

    fn max(self, other: Price) -> Price {
        Price { charged: self.charged.max(other.charged), whole: self.whole.max(other.whole) }
    }
}

enum Frame {
    Block(Price),
    Loop(Price, usize),
    If { before: Price, then: Option<Price> },
}

/// The dearest way through a body: blocks add, branches of an `if` take the dearer one, each loop is
/// a sum of its own that is charged per pass. A jump forward only leaves instructions out, so the sum
/// bounds every way through. Entry and each pass cost `passage` on top.
fn walk(body: &[u8], price: impl Fn(Callee) -> Price, passage: u64) -> (Price, Vec<Price>) {
    let mut loops = Vec::new();
    let mut frames: Vec<Frame> = Vec::new();
    let mut sum = Price::of(passage);
    let reader = wasmparser::FunctionBody::new(wasmparser::BinaryReader::new(body, 0));
    let Ok(ops) = reader.get_operators_reader() else {
        return (sum, loops);
    };
    for op in ops.into_iter().flatten() {
        sum = sum.plus(Price::of(ops::cost(&op)));
        match op {
            Operator::Block { .. } => frames.push(Frame::Block(std::mem::take(&mut sum))),
            Operator::Loop { .. } => {
                frames.push(Frame::Loop(std::mem::take(&mut sum), loops.len()));
                loops.push(Price::default());
            }
            Operator::If { .. } => frames.push(Frame::If { before: std::mem::take(&mut sum), then: None }),
            Operator::Else => {
                if let Some(Frame::If { then, .. }) = frames.last_mut() {
                    *then = Some(std::mem::take(&mut sum));
                }
            }
            Operator::End => match frames.pop() {
                Some(Frame::Block(before)) => sum = before.plus(sum),
                Some(Frame::Loop(before, i)) => {
                    // One for the head, so that an empty loop costs too.
                    loops[i] = sum.plus(Price::of(1 + passage));
                    sum = before.plus(Price { charged: 0, whole: sum.whole });
                }
                Some(Frame::If { before, then }) => sum = before.plus(sum.max(then.unwrap_or_default())),
                None => {}
            },
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                sum = sum.plus(price(Callee::Function(function_index)));
            }
            Operator::CallIndirect { type_index, .. } | Operator::ReturnCallIndirect { type_index, .. } => {
                sum = sum.plus(price(Callee::Type(type_index)));
            }
            _ => {}
        }
    }
    (sum, loops)
}

/// One node per function, then one per distinct function type for calls through tables.
fn edges(facts: &Facts) -> Edges {
    let n = facts.functions.len();
    let mut by_type: HashMap<&FuncType, usize> = HashMap::new();
    let mut type_nodes = Vec::with_capacity(facts.types.len());
    for ty in &facts.types {
        let next = n + by_type.len();
        type_nodes.push(*by_type.entry(ty).or_insert(next));
    }
    let mut of = vec![Vec::new(); n + by_type.len()];
    for (i, body) in facts.bodies.iter().enumerate() {
        of[i] = body
            .calls
            .iter()
            .map(|f| *f as usize)
            .chain(body.indirect.iter().map(|t| type_nodes[*t as usize]))
            .collect();
    }
    for &f in &facts.referenced {
        let node = type_nodes[facts.functions[f as usize] as usize];
        of[node].push(f as usize);
    }
    Edges { of, type_nodes }
}

/// Which nodes the roots reach, breadth first, and from which node each was met.
fn reach(edges: &[Vec<usize>], roots: impl Iterator<Item = usize>) -> (Vec<bool>, Vec<Option<usize>>) {
    let (mut seen, mut parents) = (vec![false; edges.len()], vec![None; edges.len()]);
    let mut todo = VecDeque::new();
    for root in roots {
        if !std::mem::replace(&mut seen[root], true) {
            todo.push_back(root);
        }
    }
    while let Some(node) = todo.pop_front() {
        for &next in &edges[node] {
            if !std::mem::replace(&mut seen[next], true) {
                parents[next] = Some(node);
                todo.push_back(next);
            }
        }
    }
    (seen, parents)
}

/// The calling function of each of the first `n` nodes: a node beyond them is a table's type, and then its
/// caller is.
fn callers(parents: &[Option<usize>], n: usize) -> Vec<Option<u32>> {
    let caller = |node: &Option<usize>| match *node {
        Some(table) if table >= n => parents[table],
        other => other,
    };
    parents[..n].iter().map(|p| caller(p).map(|f| f as u32)).collect()
}

/// Strongly connected components (R. Tarjan, "Depth-first search and linear graph algorithms", SIAM
/// J. Comput. 1(2), 1972), with a stack of our own instead of recursion. Returns the nodes with
/// callees before callers and the component of each node (`u32::MAX`: not reachable).
fn components(edges: &[Vec<usize>], reachable: &[bool]) -> (Vec<usize>, Vec<u32>) {
    const NONE: u32 = u32::MAX;
    let n = edges.len();
    let (mut index, mut low) = (vec![NONE; n], vec![0_u32; n]);
    let (mut component, mut on_stack) = (vec![NONE; n], vec![false; n]);
    let (mut order, mut stack) = (Vec::new(), Vec::new());
    let (mut next, mut components) = (0_u32, 0_u32);
    for root in (0..n).filter(|r| reachable[*r]) {
        if index[root] != NONE {
            continue;
        }
        let mut calls: Vec<(usize, usize)> = vec![(root, 0)];
        while let Some(&mut (node, ref mut edge)) = calls.last_mut() {
            if *edge == 0 && index[node] == NONE {
                index[node] = next;
                low[node] = next;
                next += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if let Some(&to) = edges[node].get(*edge) {
                *edge += 1;
                if index[to] == NONE {
                    calls.push((to, 0));
                } else if on_stack[to] {
                    low[node] = low[node].min(index[to]);
                }
                continue;
            }
            calls.pop();
            if let Some(&(parent, _)) = calls.last() {
                low[parent] = low[parent].min(low[node]);
            }
            if low[node] == index[node] {
                while let Some(member) = stack.pop() {
                    on_stack[member] = false;
                    component[member] = components;
                    if member == node {
                        break;
                    }
                }
                components += 1;
            }
            order.push(node);
        }
    }
    (order, component)
}
