//! Every bound of the importer, in one place. Files come from strangers: each count that one declares is
//! compared with its bound before anything is allocated for it.

/// Bytes of a model file. A thousand trees of depth eight are about 40 MiB of JSON.
pub const FILE_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of a file of names.
pub const NAMES_BYTES: usize = 1024 * 1024;
/// Features of a model, as many as the sandbox takes.
pub const FEATURES: usize = 64;
/// Columns of the model file. More than [`FEATURES`] are taken where the model uses no more than that.
pub const COLUMNS: usize = 65_536;
/// Trees of a model.
pub const TREES: usize = 20_000;
/// Nodes of one tree, leaves among them.
pub const TREE_NODES: usize = 65_536;
/// Nodes of all trees together, leaves among them.
pub const NODES: usize = 1_000_000;
/// Splits from the root of a tree to a leaf.
pub const DEPTH: usize = 200;
/// Outputs of a model: targets or classes.
pub const OUTPUTS: usize = 64;
/// Categories of one split.
pub const CATEGORIES: usize = 65_536;
/// Nesting of a document: JSON, UBJSON, XML.
pub const NESTING: usize = 64;
/// Nodes of an ONNX graph.
pub const GRAPH_NODES: usize = 1024;
/// Elements of one vector of a graph: a layer's width, the columns after one-hot encoding.
pub const WIDTH: usize = 1024;
/// Multiplications of one row in matrix products; the code is unrolled.
pub const PRODUCTS: usize = 131_072;
/// Bins of one characteristic of a scorecard.
pub const BINS: usize = 4096;
/// Bytes of the module that comes out, as many as the sandbox takes.
pub const MODULE_BYTES: usize = 8 * 1024 * 1024;
