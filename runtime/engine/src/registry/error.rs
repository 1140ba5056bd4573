//! What can go wrong with the store.

use std::fmt;
use yunei_policy::Refusal;

/// What something in the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An institution.
    Institution,
    /// A dataset.
    Dataset,
    /// A version of a dataset.
    DatasetVersion,
    /// A model at a version.
    Model,
    /// A product.
    Product,
    /// A grant.
    Grant,
    /// The consent of a dataset's holder to a product; its id is the dataset's.
    Consent,
    /// A data subject's request.
    Request,
    /// A run.
    Run,
    /// A release.
    Release,
    /// An entry for the audit log.
    AuditEntry,
    /// A file of the file store.
    File,
    /// A bearer token.
    Token,
    /// A key that models are signed with.
    SigningKey,
    /// An issuer of consents.
    Issuer,
}

impl Kind {
    /// The word in Chinese.
    pub fn zh(self) -> &'static str {
        match self {
            Self::Institution => "机构",
            Self::Dataset => "数据集",
            Self::DatasetVersion => "数据集版本",
            Self::Model => "模型",
            Self::Product => "数据产品",
            Self::Grant => "授权",
            Self::Consent => "数据提供单位的同意",
            Self::Request => "数据主体请求",
            Self::Run => "使用记录",
            Self::Release => "发布",
            Self::AuditEntry => "审计条目",
            Self::File => "文件",
            Self::Token => "令牌",
            Self::SigningKey => "签名密钥",
            Self::Issuer => "授权签发机构",
        }
    }

    /// The word in English.
    pub fn en(self) -> &'static str {
        match self {
            Self::Institution => "institution",
            Self::Dataset => "dataset",
            Self::DatasetVersion => "dataset version",
            Self::Model => "model",
            Self::Product => "product",
            Self::Grant => "grant",
            Self::Consent => "consent",
            Self::Request => "request",
            Self::Run => "run",
            Self::Release => "release",
            Self::AuditEntry => "audit entry",
            Self::File => "file",
            Self::Token => "token",
            Self::SigningKey => "signing key",
            Self::Issuer => "consent issuer",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.en())
    }
}

/// A sentence for people, in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// In Chinese.
    pub zh: &'static str,
    /// In English.
    pub en: &'static str,
}

/// What went wrong with the store. Ids are public; no variant carries anything else that was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such thing.
    #[error("there is no {kind} `{id}`")]
    NotFound {
        /// What it would be.
        kind: Kind,
        /// Its id.
        id: String,
    },
    /// It is there already, and is not replaced.
    #[error("the {kind} `{id}` exists already")]
    Exists {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: String,
    },
    /// It cannot go from where it stands to where it is wanted.
    #[error("the {kind} `{id}` is {from} and cannot become {to}")]
    State {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: String,
        /// Where it stands.
        from: String,
        /// Where it was to go.
        to: String,
    },
    /// What a run rests on was suspended, ended or withdrawn: all of it. Nothing was written.
    #[error("what the run rests on was stopped")]
    Halted(Vec<super::Fallen>),
    /// It belongs to another institution.
    #[error("the {kind} `{id}` was submitted by another institution")]
    Owner {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: String,
    },
    /// A value handed in is out of its limits: a fault of the caller.
    #[error("`{0}` is out of its limits")]
    Limit(&'static str),
    /// There is no store at the path or in the database.
    #[error("there is no store here")]
    Absent,
    /// A file is at the path already, or the database is not empty.
    #[error("there is something at the store's place already")]
    Occupied,
    /// The file or the database is not a store of ours.
    #[error("this is not a Yunei store")]
    Foreign,
    /// The store was written by a newer release.
    #[error("this store was written by a newer release")]
    Newer,
    /// The address of a store cannot be used. Says why, without repeating it.
    #[error("the store's address cannot be used: {}", .0.en)]
    Url(Words),
    /// The database server cannot be reached, or went away. Nothing is known of a change that was under way: a charge may
    /// stand.
    #[error("the store's server cannot be reached")]
    Unreachable,
    /// The database server does not let us in, or not do what has to be done.
    #[error("the store's server refuses: {}", .0.en)]
    Denied(Words),
    /// The database server is set so that a store cannot be kept on it.
    #[error("the store's server cannot keep a store: {}", .0.en)]
    Unfit(Words),
    /// Another server has the store open, or took it over from us.
    #[error("another server has this store open")]
    Held,
    /// The store belongs to another home.
    #[error("this store belongs to another home")]
    OtherHome,
    /// Another process held the store for too long.
    #[error("the store is busy")]
    Busy,
    /// What is stored is not what was written. Fatal.
    #[error("the store is damaged: {0}")]
    Damaged(&'static str),
    /// The file system refused. Fatal: after a failed write or fsync nothing is known of what is on the disk.
    #[error("the file system refused: {0}")]
    Io(#[source] std::io::Error),
    /// The database refused. Fatal.
    #[error("the database refused")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    pub(super) fn absent(kind: Kind, id: impl Into<String>) -> Self {
        Self::NotFound { kind, id: id.into() }
    }

    pub(super) fn exists(kind: Kind, id: impl Into<String>) -> Self {
        Self::Exists { kind, id: id.into() }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "store/not-found",
            Self::Exists { .. } => "store/exists",
            Self::State { .. } => "store/state",
            Self::Owner { .. } => "store/owner",
            Self::Halted(_) => "run/stopped",
            Self::Limit(_) => "store/limit",
            Self::Absent => "store/absent",
            Self::Occupied => "store/occupied",
            Self::Foreign => "store/foreign",
            Self::Newer => "store/newer",
            Self::Url(_) => "store/url",
            Self::Unreachable => "store/unreachable",
            Self::Denied(_) => "store/denied",
            Self::Unfit(_) => "store/unfit",
            Self::Held => "store/held",
            Self::OtherHome => "store/other-home",
            Self::Busy => "store/busy",
            Self::Damaged(_) => "store/damaged",
            Self::Io(_) => "store/io",
            Self::Database(_) => "store/database",
        }
    }

    /// Whether to stop: the store can no longer be relied on, and trying again could make it worse.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Io(_) | Self::Database(_))
    }

    /// The error for people, in both languages.
    pub fn to_refusal(&self) -> Refusal {
        let code = self.code();
        let new = |zh: String, en: String| Refusal::new(code, zh, en);
        match self {
            Self::NotFound { kind, id } => {
                new(format!("没有{} `{id}`", kind.zh()), format!("there is no {kind} `{id}`"))
            }
            Self::Exists { kind, id } => {
                new(format!("{} `{id}` 已存在", kind.zh()), format!("the {kind} `{id}` exists already"))
            }
            Self::State { kind, id, from, to } => new(
                format!("{} `{id}` 当前为 {from}，不能改为 {to}", kind.zh()),
                format!("the {kind} `{id}` is {from} and cannot become {to}"),
            ),
            Self::Owner { kind, id } => new(
                format!("{} `{id}` 由其他机构提交", kind.zh()),
                format!("the {kind} `{id}` was submitted by another institution"),
            ),
            Self::Halted(fallen) => {
                let zh: Vec<String> =
                    fallen.iter().map(|f| format!("{} `{}`（{}）", f.kind.zh(), f.id, f.state)).collect();
                let en: Vec<String> = fallen.iter().map(|f| format!("{} `{}` ({})", f.kind, f.id, f.state)).collect();
                new(
                    format!("本次使用已被停止，所依据的内容不再有效：{}", zh.join("、")),
                    format!("the use was stopped: it rests on what does not stand any more: {}", en.join(", ")),
                )
                .hint(
                    "请联系数据主管部门；已扣除的预算不退还",
                    "ask the data authority; what was charged stays charged",
                )
            }
            Self::Limit(what) => new(format!("`{what}` 超出限制"), format!("`{what}` is out of its limits")),
            Self::Absent => new("此处没有域的存储".into(), "there is no store here".into())
                .hint("先运行 `yunei init`", "run `yunei init` first"),
            Self::Occupied => new("该处已有其他内容".into(), "there is something at the store's place already".into())
                .hint("请另选位置；数据库须为空库", "name another place; a database has to be empty"),
            Self::Foreign => new("这不是域的存储".into(), "this is not a Yunei store".into())
                .hint("请指向该域自己的存储", "name the store of this domain"),
            Self::Url(words) => new(
                format!("存储地址不可用：{}", words.zh),
                format!("the store's address cannot be used: {}", words.en),
            ),
            Self::Unreachable => {
                new("无法连接存储所在的数据库服务器".into(), "the store's database server cannot be reached".into())
                    .hint(
                        "请检查服务器是否在运行、主机与端口是否正确、防火墙和 TLS 证书",
                        "see that it runs, and to host and port, the firewall and the TLS certificate",
                    )
            }
            Self::Denied(words) => {
                new(format!("数据库服务器拒绝访问：{}", words.zh), format!("the database server refuses: {}", words.en))
            }
            Self::Unfit(words) => new(
                format!("该数据库服务器不能用作存储：{}", words.zh),
                format!("the database server cannot keep a store: {}", words.en),
            ),
            Self::Newer => new("该存储由更新的版本写入".into(), "this store was written by a newer release".into())
                .hint("请升级后再打开", "open it with that release or a later one"),
            Self::Held => new("另一台服务器正在使用这个域".into(), "another server has this domain open".into()).hint(
                "待命请用 yunei serve --standby；原服务器停止后即可接管",
                "to stand by, use yunei serve --standby: it takes over when that server is gone",
            ),
            Self::OtherHome => new("该存储属于另一个域".into(), "this store belongs to another home".into()).hint(
                "请在 yunei.toml 或 YUNEI_STORE 中填写本域自己的数据库",
                "name this home's own database in yunei.toml or YUNEI_STORE",
            ),
            Self::Busy => new("存储正忙，请稍后再试".into(), "the store is busy; try again later".into()),
            Self::Damaged(_) => new("存储已损坏".into(), "the store is damaged".into())
                .hint("停止使用，从备份恢复", "stop using it and restore a backup"),
            Self::Io(_) => new("文件系统出错".into(), "the file system refused".into())
                .hint("检查磁盘空间和权限", "see to the disk's space and the permissions"),
            Self::Database(_) => new("数据库出错".into(), "the database refused".into()),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(inner) = &error else {
            return match error {
                sqlx::Error::PoolTimedOut => Self::Busy,
                // SQLite's driver gives none of these.
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) => Self::Unreachable,
                other => Self::Database(other),
            };
        };
        if inner.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_none() {
            let meaning = inner.code().and_then(|code| super::postgres::meaning(&code));
            return meaning.unwrap_or(Self::Database(error));
        }
        // Primary result codes of SQLite (sqlite.org/rescode.html): the low byte of the extended code.
        match inner.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
            Some(5 | 6) => Self::Busy,
            Some(11) => Self::Damaged("SQLite finds the file malformed"),
            Some(26) => Self::Foreign,
            _ => Self::Database(error),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
