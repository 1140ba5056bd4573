//! What a model's author says of the model: `model.toml`, parsed into values that cannot be wrong.

mod parse;

use crate::limits;
use crate::rejection::Rejection;

/// How the module is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One function, once per row: `score`, or the manifest's `export`.
    Row,
    /// `begin`, then `step` per row, then `finish`: one number per unit.
    Unit,
}

impl Kind {
    /// The word that the manifest uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Row => "row",
            Kind::Unit => "unit",
        }
    }
}

/// The type of a parameter of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureType {
    /// 64-bit float.
    F64,
    /// 32-bit float; the column's value is rounded to nearest.
    F32,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer; a column's value beyond its range becomes the nearest end of it.
    I32,
}

impl FeatureType {
    /// The word that the manifest and WebAssembly use.
    pub fn as_str(self) -> &'static str {
        match self {
            FeatureType::F64 => "f64",
            FeatureType::F32 => "f32",
            FeatureType::I64 => "i64",
            FeatureType::I32 => "i32",
        }
    }
}

/// One declared input of a model.
#[derive(Debug, Clone)]
pub struct Feature {
    name: String,
    feature_type: FeatureType,
    missing: Option<f64>,
}

/// Two features that say the same are equal, also where both stand for NULL with a NaN.
impl PartialEq for Feature {
    fn eq(&self, other: &Self) -> bool {
        let bits = |f: &Self| f.missing.map(f64::to_bits);
        self.name == other.name && self.feature_type == other.feature_type && bits(self) == bits(other)
    }
}

impl Feature {
    /// The feature's name: `[a-z0-9_]{1,64}`, as a column or an SQL argument would be called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of the module's parameter.
    pub fn feature_type(&self) -> FeatureType {
        self.feature_type
    }

    /// What the model is given where the column is NULL: a finite number or, for floats, NaN, which
    /// trees read as a value that is missing. `None`: the row is not given to the model.
    pub fn missing(&self) -> Option<f64> {
        self.missing
    }
}

/// The range and grid of a model's results.
///
/// Invariant: all finite, `min <= max`, `step >= 0`, `min <= default <= max`, and at most 2^50 steps
/// between `min` and `max`, so that every multiple is exact enough to be told from its neighbour.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Output {
    min: f64,
    max: f64,
    step: f64,
    default: f64,
}

impl Output {
    /// The least result.
    pub fn min(&self) -> f64 {
        self.min
    }

    /// The greatest result.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// The grid that results are rounded to, counted from `min`; zero leaves them as they are.
    pub fn step(&self) -> f64 {
        self.step
    }

    /// The result of a unit for which the model gives none.
    pub fn default(&self) -> f64 {
        self.default
    }
}

/// What one unit may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    memory_pages: u32,
    fuel: u64,
}

impl Limits {
    /// The most pages of 64 KiB that the module's memory may have.
    pub fn memory_pages(&self) -> u32 {
        self.memory_pages
    }

    /// The fuel of one unit; one simple instruction costs one.
    pub fn fuel(&self) -> u64 {
        self.fuel
    }
}

/// A model's manifest, complete and consistent. There is no way to one but [`Manifest::parse`].
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    id: String,
    version: String,
    kind: Kind,
    file: String,
    export: String,
    features: Vec<Feature>,
    output: Output,
    limits: Limits,
}

impl Manifest {
    /// Parses the text of a `model.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with key and line: unknown or missing keys, wrong
    /// types, names outside their alphabet, bounds that are not finite or out of order, limits
    /// beyond what the sandbox gives.
    pub fn parse(toml: &str) -> Result<Self, Vec<Rejection>> {
        if toml.len() > limits::MANIFEST_BYTES {
            return Err(vec![Rejection::new(
                "manifest/too-large",
                format!("a manifest has at most {} bytes", limits::MANIFEST_BYTES),
                format!("模型清单不得超过 {} 字节", limits::MANIFEST_BYTES),
            )]);
        }
        parse::manifest(toml)
    }

    /// The model's name: `[a-z0-9-]{1,64}`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The version: three numbers, `1.2.0`, with an optional pre-release part.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How the module is called.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The module's file beside the manifest: a plain file name, no folder.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The function that a row model is called by: `score` unless the manifest says otherwise, so that
    /// one module can hold several, such as one per class. A unit model has the names of its ABI.
    pub fn export(&self) -> &str {
        &self.export
    }

    /// The features, in the order of the module's parameters: 1 to 64.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The range and grid of the results.
    pub fn output(&self) -> Output {
        self.output
    }

    /// What one unit may use.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// All that it says, as bytes: two manifests have the same where they are equal, and only there. Every text
    /// has its length before it.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let mut put = |bytes: &[u8]| {
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        for text in [&self.id, &self.version, self.kind.as_str(), &self.file, &self.export] {
            put(text.as_bytes());
        }
        for x in [self.output.min, self.output.max, self.output.step, self.output.default] {
            // -0 and 0 are equal and say the same.
            put(&(x + 0.0).to_bits().to_le_bytes());
        }
        put(&self.limits.memory_pages.to_le_bytes());
        put(&self.limits.fuel.to_le_bytes());
        for feature in &self.features {
            put(feature.name.as_bytes());
            put(feature.feature_type.as_str().as_bytes());
            match feature.missing {
                Some(x) => put(&x.to_bits().to_le_bytes()),
                None => put(&[]),
            }
        }
        out
    }
}
