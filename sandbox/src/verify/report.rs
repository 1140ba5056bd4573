//! What the verifier found, for the model's author and for the log.

use std::fmt;

/// Whether a unit's result can depend on another unit's, as proven on the bytecode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Nothing reachable from the model's functions writes memory, globals or tables.
    Stateless,
    /// It writes; everything it wrote is put back before the next unit.
    Contained,
}

/// How the work of one unit is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cost {
    /// No loop and no recursion: never more than this fuel.
    Bounded(u64),
    /// Counted as it runs; a unit that needs more than this gets the default.
    Metered(u64),
}

/// What the verifier found in a module.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// Row independence: proven or enforced.
    pub class: Class,
    /// Worst-case or metered cost of one unit, in fuel.
    pub cost: Cost,
    /// Pages of 64 KiB that the module's memory has at the start.
    pub memory_pages: u32,
    /// Pages that it may come to have.
    pub memory_pages_max: u32,
    /// The first function and instruction that keep the module from being stateless.
    pub why_not_stateless: Option<String>,
    /// The first thing that keeps its cost from having a static bound.
    pub why_not_bounded: Option<String>,
    /// Functions in the module, and how many of them the model can reach.
    pub functions: u32,
    /// Functions that can run when the model is called.
    pub reachable_functions: u32,
    /// Bytes of the data segments: the model's constants.
    pub constant_bytes: u64,
    /// Bytes of the binary module.
    pub module_bytes: u64,
    /// Whether floating-point results are brought to one NaN because the module could tell NaNs apart.
    pub canonical_nan: bool,
    /// Whether the module has a start function, which runs before the first unit.
    pub start: bool,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Stateless => "stateless",
            Class::Contained => "contained",
        })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cost::Bounded(worst) => write!(f, "bounded, at most {worst} fuel"),
            Cost::Metered(fuel) => write!(f, "metered, {fuel} fuel per unit"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "class      {}", self.class)?;
        if let Some(why) = &self.why_not_stateless {
            writeln!(f, "           not stateless: {why}")?;
        }
        writeln!(f, "cost       {}", self.cost)?;
        if let Some(why) = &self.why_not_bounded {
            writeln!(f, "           not bounded: {why}")?;
        }
        writeln!(
            f,
            "memory     {} of at most {} pages; {} bytes of constants",
            self.memory_pages, self.memory_pages_max, self.constant_bytes
        )?;
        writeln!(f, "functions  {}, of which {} can run", self.functions, self.reachable_functions)?;
        write!(
            f,
            "module     {} bytes{}{}",
            self.module_bytes,
            if self.canonical_nan { ", canonical NaN" } else { "" },
            if self.start { ", with a start function" } else { "" }
        )
    }
}
