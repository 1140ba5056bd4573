//! Every bound of the sandbox, in one place.
//!
//! A bound is a promise to the machine that runs a model, not a judgement on the model: each is far
//! above what compilers make of scoring code and far below what would hurt the host.

/// Bytes of a manifest.
pub const MANIFEST_BYTES: usize = 64 * 1024;
/// Bytes of a binary module.
pub const MODULE_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a module in text form.
pub const TEXT_BYTES: usize = 2 * 1024 * 1024;
/// Features of a model.
pub const FEATURES: usize = 64;
/// Pages (64 KiB) that a manifest may ask for: 64 MiB.
pub const MEMORY_PAGES: u32 = 1024;
/// Pages when a manifest says nothing: 1 MiB.
pub const MEMORY_PAGES_DEFAULT: u32 = 16;
/// Fuel per unit that a manifest may ask for.
pub const FUEL: u64 = 100_000_000;
/// Fuel per unit when a manifest says nothing.
pub const FUEL_DEFAULT: u64 = 100_000;
/// Function types.
pub const TYPES: u32 = 4096;
/// Functions.
pub const FUNCTIONS: u32 = 20_000;
/// Parameters or results of one function type.
pub const ARITY: usize = 128;
/// Locals of one function, parameters among them.
pub const LOCALS: u32 = 10_000;
/// Bytes of one function body.
pub const FUNCTION_BYTES: usize = 2 * 1024 * 1024;
/// Depth of nested blocks in one function.
pub const NESTING: u32 = 512;
/// Values on the operand stack of one function.
pub const OPERANDS: u32 = 4096;
/// Targets of one `br_table`.
pub const BR_TABLE: u32 = 8192;
/// Targets of all `br_table`s together.
pub const BR_TABLE_ALL: u64 = 1 << 20;
/// Globals.
pub const GLOBALS: u32 = 1024;
/// Tables.
pub const TABLES: u32 = 8;
/// Elements of all tables together.
pub const TABLE_ELEMENTS: u64 = 65_536;
/// Element segments, and elements in all of them.
pub const ELEMENTS: u64 = 65_536;
/// Data segments.
pub const DATA_SEGMENTS: u32 = 4096;
/// Exports.
pub const EXPORTS: u32 = 1024;
/// Bytes of custom sections (names, debug information); they are dropped before compilation.
pub const CUSTOM_BYTES: usize = 4 * 1024 * 1024;
/// Rows that are handed to a module in one call.
pub const CHUNK: usize = 1024;
/// Native stack of the guest, in bytes. Half a MiB fits the two MiB of a worker thread.
pub const STACK_BYTES: usize = 512 * 1024;
/// Frames' worth of stack that a recursive module may use, in the estimated bytes of the verifier.
pub const STACK_BUDGET: i64 = 96 * 1024;
/// Blocks of 64 bytes that one unit may write and have undone one by one; a unit that writes more
/// costs a fresh instance.
pub const UNDO_BLOCKS: u32 = 16_384;
