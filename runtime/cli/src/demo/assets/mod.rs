//! The manifests of the demo, as an institution would write them.
//!
//! Each is a file of its own, to be read beside the story and copied from; [`Asset::file`] is the name under which
//! the demo puts it into its home.

#[cfg(test)]
mod tests;

/// A manifest that the demo submits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asset {
    /// Its file name.
    pub(crate) file: &'static str,
    /// Its text.
    pub(crate) text: &'static str,
}

macro_rules! asset {
    ($file:literal) => {
        Asset { file: $file, text: include_str!($file) }
    };
}

/// The catalogue entry of the residents; its Parquet file lies beside it as `residents.parquet`.
pub(crate) const RESIDENTS: Asset = asset!("residents.toml");
/// The catalogue entry of the meters; its Parquet file lies beside it as `electricity.parquet`.
pub(crate) const ELECTRICITY: Asset = asset!("electricity.toml");
/// The catalogue entry of the enterprises; its Parquet file lies beside it as `enterprises.parquet`.
pub(crate) const ENTERPRISES: Asset = asset!("enterprises.toml");

/// A model of the folder `models/`: its manifest and, beside it under the name that the manifest gives, its module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelAsset {
    /// The model's id.
    pub(crate) id: &'static str,
    /// `model.toml`
    pub(crate) manifest: Asset,
    /// The module, as WebAssembly text.
    pub(crate) module: Asset,
}

macro_rules! model {
    ($id:literal, $folder:literal, $module:literal) => {
        ModelAsset {
            id: $id,
            manifest: Asset {
                file: "model.toml",
                text: include_str!(concat!("../../../../../models/", $folder, "/model.toml")),
            },
            module: Asset {
                file: $module,
                text: include_str!(concat!("../../../../../models/", $folder, "/", $module)),
            },
        }
    };
}

/// The honest model.
pub(crate) const CREDIT_RISK: ModelAsset = model!("credit-risk", "credit-risk", "credit_risk.wat");
/// The models that would carry what they saw of one person to the outside.
pub(crate) const HOSTILE_MODELS: [ModelAsset; 3] = [
    model!("remembers", "hostile/remembers", "remembers.wat"),
    model!("remembers-global", "hostile/remembers-global", "remembers_global.wat"),
    model!("traps-on-target", "hostile/traps-on-target", "traps_on_target.wat"),
];

/// Mean credit risk by prefecture and age band; parameters `min_age`, `max_age`.
pub(crate) const RISK_BY_CITY: Asset = asset!("risk-by-city.toml");
/// Electricity by band of credit risk, joined on the person.
pub(crate) const ELECTRICITY_BY_RISK: Asset = asset!("electricity-by-risk.toml");
/// Verification: a credit risk of at most 0.35.
pub(crate) const LOW_RISK: Asset = asset!("low-risk.toml");
/// Verification: education as stated by the caller.
pub(crate) const EDUCATION_VERIFIED: Asset = asset!("education-verified.toml");

/// Rows as they are.
pub(crate) const LEAK_RAW_ROWS: Asset = asset!("leak-raw-rows.toml");
/// A filter on one person.
pub(crate) const LEAK_ONE_PERSON: Asset = asset!("leak-one-person.toml");
/// A least value.
pub(crate) const LEAK_LEAST_INCOME: Asset = asset!("leak-least-income.toml");
/// A sum over a column without bounds.
pub(crate) const LEAK_UNBOUNDED_SUM: Asset = asset!("leak-unbounded-sum.toml");
/// The products that use [`HOSTILE_MODELS`], in the same order.
pub(crate) const LEAKS_BY_MODEL: [Asset; 3] =
    [asset!("leak-remembers.toml"), asset!("leak-remembers-global.toml"), asset!("leak-traps-on-target.toml")];
