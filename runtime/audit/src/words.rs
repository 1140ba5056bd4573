//! What the errors say to people, in Chinese and in English, without their codes.

use crate::{CheckpointError, EntryError, KeyError, LogError, ReceiptError};

/// The English text is the one of `Display`, without the code in front of it.
fn without_code(text: String, code: &str) -> String {
    match text.strip_prefix(code).and_then(|rest| rest.strip_prefix(": ")) {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// What the operating system said; its own words are English everywhere.
fn cause_zh(source: &std::io::Error) -> String {
    match source.kind() {
        std::io::ErrorKind::StorageFull => "磁盘已满".to_owned(),
        std::io::ErrorKind::PermissionDenied => "没有权限".to_owned(),
        std::io::ErrorKind::NotFound => "文件不存在".to_owned(),
        std::io::ErrorKind::ReadOnlyFilesystem => "文件系统只读".to_owned(),
        _ => source.to_string(),
    }
}

impl LogError {
    /// What happened, in English, without the code.
    #[must_use]
    pub fn text_en(&self) -> String {
        match self {
            Self::Entry(error) => error.text_en(),
            other => without_code(other.to_string(), other.code()),
        }
    }

    /// What happened, in Chinese, without the code.
    #[must_use]
    pub fn text_zh(&self) -> String {
        match self {
            Self::Busy => "另一个进程正在使用该日志".into(),
            Self::Exists => "该目录已有内容".into(),
            Self::Absent => "该目录中没有日志".into(),
            Self::Key => "该密钥不是此日志的签名密钥".into(),
            Self::Damaged { what } => format!("日志内容与签名不符，可能已损坏（{what}）"),
            Self::Disagree { what } => format!("日志的几处记录互相矛盾，可能恢复过旧备份（{what}）"),
            Self::Disk { source, .. } => format!("读写磁盘失败：{}", cause_zh(source)),
            Self::Stopped => "日志因先前的故障已停止写入，请重启以恢复".into(),
            Self::NoEntry => "日志中没有该序号的条目".into(),
            Self::ReceiptBody => "凭证正文与条目中登记的摘要不符".into(),
            Self::Unwitnessed => "见证方联署不足".into(),
            Self::Sealed => "该日志已封存，请写入后续日志".into(),
            Self::Retained => "日志须已封存且最后一条满三年，方可移走".into(),
            Self::Entry(error) => error.text_zh().into(),
        }
    }
}

impl EntryError {
    /// What is wrong, in English, without the code.
    #[must_use]
    pub fn text_en(&self) -> String {
        without_code(self.to_string(), self.code())
    }

    /// What is wrong, in Chinese, without the code.
    #[must_use]
    pub fn text_zh(&self) -> &'static str {
        match self {
            Self::Kind => "条目类别须为 1 至 64 个字符，限小写字母、数字及 . / _ -",
            Self::Time => "条目时间须为 1970 年以来的毫秒数，不超过 2^53 - 1",
            Self::Number => "条目中的数须为绝对值不超过 2^53 - 1 的整数，其他数请写成字符串",
            Self::Depth => "条目嵌套不得超过 16 层",
            Self::Size => "条目不得超过 65535 字节",
            Self::Form => "不是规范格式的条目",
        }
    }
}

impl KeyError {
    /// What is wrong, in English, without the code.
    #[must_use]
    pub fn text_en(&self) -> String {
        without_code(self.to_string(), self.code())
    }

    /// What is wrong, in Chinese, without the code.
    #[must_use]
    pub fn text_zh(&self) -> String {
        match self {
            Self::Name => "密钥名须为 1 至 128 字节，不含空白、控制字符和加号".into(),
            Self::Form => "密钥格式不正确".into(),
            Self::Exists => "密钥文件已存在，不予覆盖".into(),
            Self::Disk { source, .. } => format!("读写密钥文件失败：{}", cause_zh(source)),
            Self::Random => "操作系统未能提供随机数".into(),
        }
    }
}

impl ReceiptError {
    /// What is wrong, in English, without the code.
    #[must_use]
    pub fn text_en(&self) -> String {
        without_code(self.to_string(), self.code())
    }

    /// What is wrong, in Chinese, without the code.
    #[must_use]
    pub fn text_zh(&self) -> &'static str {
        match self {
            Self::Size => "凭证不得超过 262144 字节",
            Self::Form => "不是凭证文件",
            Self::Body => "凭证正文不是当时登记的内容",
            Self::Proof => "条目不在该检查点所指的日志中",
            Self::Signature => "检查点不是由该密钥签名的",
            Self::Witness => "检查点的见证方联署不足",
        }
    }
}

impl CheckpointError {
    /// What is wrong, in English, without the code.
    #[must_use]
    pub fn text_en(&self) -> String {
        without_code(self.to_string(), self.code())
    }

    /// What is wrong, in Chinese, without the code.
    #[must_use]
    pub fn text_zh(&self) -> &'static str {
        match self {
            Self::Form => "不是已签名的检查点",
            Self::Signature => "检查点不是由该日志的密钥签名的",
            Self::Witness => "检查点的见证方联署不足",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine(code: &str, en: &str, zh: &str) {
        assert!(!en.is_empty() && !en.contains(code) && !en.ends_with('.'), "{code}: {en}");
        assert!(zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)) && !zh.ends_with('。'), "{code}: {zh}");
    }

    #[test]
    fn every_error_says_it_in_both_languages_without_its_code() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        for error in [
            LogError::Busy,
            LogError::Exists,
            LogError::Absent,
            LogError::Key,
            LogError::damaged("tile/0/000 is missing"),
            LogError::disagree("x"),
            LogError::disk("stage a batch")(full()),
            LogError::Stopped,
            LogError::NoEntry,
            LogError::ReceiptBody,
            LogError::Unwitnessed,
            LogError::Sealed,
            LogError::Retained,
            LogError::Entry(EntryError::Form),
        ] {
            fine(error.code(), &error.text_en(), &error.text_zh());
            let fatal = ["audit/damaged", "audit/disagree", "audit/disk", "audit/stopped"].contains(&error.code());
            assert_eq!(error.is_fatal(), fatal);
        }
        assert_eq!(LogError::disk("stage a batch")(full()).text_zh(), "读写磁盘失败：磁盘已满");
        for error in [
            EntryError::Kind,
            EntryError::Time,
            EntryError::Number,
            EntryError::Depth,
            EntryError::Size,
            EntryError::Form,
        ] {
            fine(error.code(), &error.text_en(), error.text_zh());
        }
        let disk = KeyError::Disk { action: "read the key file", source: full() };
        for error in [KeyError::Name, KeyError::Form, KeyError::Exists, KeyError::Random, disk] {
            fine(error.code(), &error.text_en(), &error.text_zh());
        }
        for error in [
            ReceiptError::Size,
            ReceiptError::Form,
            ReceiptError::Body,
            ReceiptError::Proof,
            ReceiptError::Signature,
            ReceiptError::Witness,
        ] {
            fine(error.code(), &error.text_en(), error.text_zh());
        }
        for error in [CheckpointError::Form, CheckpointError::Signature, CheckpointError::Witness] {
            fine(error.code(), &error.text_en(), error.text_zh());
        }
    }
}
