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
        Err(foreign(bytes))
    }
}

/// Files that people have at hand instead of what is taken: how they begin, what they are, and what to do about it.
const FOREIGN: [(&[u8], &str, &str); 14] = [
    (
        b"\x80\x02",
        "this is a Python pickle; it would run code and is never opened: export the model (scikit-learn to ONNX, XGBoost by save_model)",
        "这是 Python pickle 文件，打开它会执行代码，因此不予读取；请导出模型（scikit-learn 导出为 ONNX，XGBoost 用 save_model）",
    ),
    (
        b"PK\x03\x04",
        "this is a ZIP archive, such as PyTorch writes; export the network to ONNX (torch.onnx.export)",
        "这是 ZIP 压缩包（如 PyTorch 保存的文件）；请将网络导出为 ONNX（torch.onnx.export）",
    ),
    (
        b"\x89HDF",
        "this is an HDF5 file, such as Keras writes; export the network to ONNX (tf2onnx)",
        "这是 HDF5 文件（如 Keras 保存的文件）；请将网络导出为 ONNX（tf2onnx）",
    ),
    (b"\x1f\x8b", "this file is compressed by gzip; unpack it first", "该文件经 gzip 压缩；请先解压"),
    (
        b"binf",
        "this is XGBoost's old binary format; load it and save it as JSON or UBJSON (save_model with the ending .json or .ubj)",
        "这是 XGBoost 的旧二进制格式；请加载后另存为 JSON 或 UBJSON（save_model，后缀 .json 或 .ubj）",
    ),
    (
        b"[",
        "this looks like a dump of trees (dump_model, get_dump), which leaves out what the objective does; save the model by save_model",
        "这像是树的转储（dump_model、get_dump），其中缺少目标函数等信息；请用 save_model 保存模型",
    ),
    (
        b"booster[",
        "this is XGBoost's dump for reading, which rounds its numbers; save the model by save_model with the ending .json or .ubj",
        "这是 XGBoost 供人阅读的转储，数值已舍入；请用 save_model 保存为 .json 或 .ubj",
    ),
    (
        b"CBM1",
        "this is a CatBoost model, which is not supported; models without categories can be exported to ONNX (save_model, format=\"onnx\")",
        "这是 CatBoost 模型，暂不支持；不含类别特征的模型可导出为 ONNX（save_model，format=\"onnx\"）",
    ),
    (b"ir_version", "this is ONNX in text form; save the binary form", "这是文本形式的 ONNX；请保存为二进制形式"),
    (
        b"\0asm",
        "this is a WebAssembly module already; submit it with a manifest",
        "这已是 WebAssembly 模块；请直接连同清单提交",
    ),
    (b"PAR1", "this is a Parquet file: data, not a model", "这是 Parquet 数据文件，不是模型"),
    (b"GGUF", "this is a language model (GGUF), which is not supported", "这是语言模型（GGUF），不支持"),
    (b"\xff\xfe", "this file is encoded in UTF-16; save it as UTF-8", "该文件为 UTF-16 编码；请另存为 UTF-8"),
    (b"", "this is no model file that is known", "无法识别的模型文件"),
];

/// The refusal of a file of no format that is taken.
fn foreign(bytes: &[u8]) -> Refusal {
    let start = bytes.trim_ascii_start();
    let refusal = |en: &str, zh: &str| {
        Refusal::new(
            "import/format",
            format!(
                "{en}. Taken are XGBoost (JSON, UBJSON), LightGBM text, ONNX, PMML scorecards and CSV scorecards (feature,bin,points)"
            ),
            format!(
                "{zh}。支持 XGBoost（JSON、UBJSON）、LightGBM 文本、ONNX、PMML 评分卡与 CSV 评分卡（feature,bin,points）"
            ),
        )
    };
    if bytes.is_empty() {
        return refusal("the file is empty", "文件为空");
    }
    // A pickle of any version from 2 on.
    if matches!(bytes, [0x80, 2..=5, ..]) {
        return refusal(FOREIGN[0].1, FOREIGN[0].2);
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return refusal(
            "this is a TensorFlow Lite model; export the network to ONNX (tf2onnx)",
            "这是 TensorFlow Lite 模型；请将网络导出为 ONNX（tf2onnx）",
        );
    }
    // A table in Chinese out of a spreadsheet: two bytes above 0x80 for a character, and a comma in the first line.
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    if line.len() < 4096 && line.contains(&b',') && std::str::from_utf8(line).is_err() && !line.contains(&0) {
        return refusal(
            "this looks like a table that is not encoded in UTF-8 (GBK?); save it as UTF-8",
            "这像是非 UTF-8 编码（如 GBK）的表格；请另存为 UTF-8",
        );
    }
    let known = FOREIGN.iter().find(|(head, ..)| start.starts_with(head));
    known.map_or_else(|| refusal("", ""), |(_, en, zh)| refusal(en, zh))
}
