//! Which format a file has, by its first bytes: names of files are not to be trusted.

use crate::refusal::Refusal;

/// A format of model files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// XGBoost's JSON.
    XgboostJson,
    /// LightGBM's text.
    LightGbm,
}

impl Format {
    /// Finds the format of a file.
    ///
    /// # Errors
    /// `import/format` where it has none of the formats.
    pub fn of(bytes: &[u8]) -> Result<Self, Refusal> {
        let start = bytes.trim_ascii_start();
        if start.starts_with(b"{") {
            return Ok(Format::XgboostJson);
        }
        if start.starts_with(b"tree\n") || start.starts_with(b"tree\r\n") {
            return Ok(Format::LightGbm);
        }
        Err(Refusal::new(
            "import/format",
            "this is no model file that is known: XGBoost (JSON, UBJSON), LightGBM text, ONNX, PMML scorecard, CSV scorecard",
            "无法识别的模型文件；支持 XGBoost（JSON、UBJSON）、LightGBM 文本、ONNX、PMML 评分卡与 CSV 评分卡",
        ))
    }
}
