//! One module per format: bytes in, a [`Model`](crate::ir::Model) or refusals out. Each is total.

mod card;
mod lightgbm;
mod onnx;
mod pmml;
mod rules;
mod sniff;
mod ubjson;
mod xgboost;

pub use sniff::Format;

use crate::ir::Model;
use crate::limits;
use crate::refusal::{Refusal, at_most};

/// Parses a file of a format.
pub(crate) fn parse(format: Format, bytes: &[u8]) -> Result<Model, Vec<Refusal>> {
    at_most(bytes.len(), limits::FILE_BYTES, "bytes of the file", "文件字节数").map_err(|r| vec![r])?;
    match format {
        Format::XgboostJson => xgboost::json(bytes).map_err(|r| vec![r]),
        Format::XgboostUbjson => xgboost::ubjson(bytes).map_err(|r| vec![r]),
        Format::Pmml => pmml::read(bytes).map_err(|r| vec![r]),
        Format::Card => card::read(bytes).map_err(|r| vec![r]),
        Format::Onnx => onnx::read(bytes),
        Format::LightGbm => lightgbm::text(bytes).map_err(|r| vec![r]),
    }
}
