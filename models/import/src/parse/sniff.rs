//! Which format a file has, by its first bytes: names of files are not to be trusted.

use crate::refusal::Refusal;

/// A format of model files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// XGBoost's JSON.
    XgboostJson,
    /// XGBoost's UBJSON.
    XgboostUbjson,
    /// LightGBM's text.
    LightGbm,
    /// ONNX.
    Onnx,
    /// A scorecard in PMML.
    Pmml,
    /// A scorecard as a table.
    Card,
}

impl Format {
    /// Finds the format of a file.
    ///
    /// # Errors
    /// `import/format` where it has none of the formats.
    pub fn of(bytes: &[u8]) -> Result<Self, Refusal> {
        // In UBJSON the length of a key, or a type or count, follows the brace; in JSON never a letter.
        if matches!(bytes, [b'{', b'i' | b'U' | b'I' | b'l' | b'L' | b'$' | b'#', ..]) {
            return Ok(Format::XgboostUbjson);
        }
        let start = bytes.trim_ascii_start();
        if start.starts_with(b"{") {
            return Ok(Format::XgboostJson);
        }
        if start.starts_with(b"tree\n") || start.starts_with(b"tree\r\n") {
            return Ok(Format::LightGbm);
        }
        // The first field of an ONNX model is its version: number 1, a small integer.
        if matches!(bytes, [0x08, 1..=0x7f, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..]) {
            return Ok(Format::Onnx);
        }
        if start.starts_with(b"<") || start.starts_with(b"\xef\xbb\xbf<") {
            return Ok(Format::Pmml);
        }
        let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        if line.len() < 4096 && std::str::from_utf8(line).is_ok_and(super::card::is_card) {
            return Ok(Format::Card);
        }
        Err(Refusal::new(
            "import/format",
            "this is no model file that is known: XGBoost (JSON, UBJSON), LightGBM text, ONNX, PMML scorecard, CSV scorecard",
            "无法识别的模型文件；支持 XGBoost（JSON、UBJSON）、LightGBM 文本、ONNX、PMML 评分卡与 CSV 评分卡",
        ))
    }
}
