//! Which server a command works on, and with which credentials: from the command line, the environment, or a profile.
//! A token never stands on the command line, where other processes could read it.

use crate::args::EVERYWHERE;
use crate::face::Remote;
use clap::Args;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use yunei_engine::DomainError;
use yunei_policy::{Lang, Refusal};
use yunei_server::client::Client;

/// At most how long a profile is, in bytes.
const MAX_PROFILE: u64 = 64 << 10;

#[derive(Args, Clone, Default)]
pub(crate) struct RemoteArgs {
    /// Works on the domain behind this server instead of a home here. The token comes from YUNEI_TOKEN or the profile.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "YUNEI_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// A profile: TOML with server, token, ca, certificate, key, signing_key.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "YUNEI_PROFILE", value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// The certificates to trust instead of the machine's, PEM.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "YUNEI_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The key with which models are signed.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "YUNEI_SIGNING_KEY", value_name = "FILE")]
    pub(crate) signing_key: Option<PathBuf>,
}

/// What a profile says. Paths are relative to its folder.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Profile {
    server: Option<String>,
    token: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    signing_key: Option<PathBuf>,
}

fn fault(zh: &str, en: &str, path: &Path) -> DomainError {
    Refusal::new("input/profile", zh, en).at(path.display().to_string()).into()
}

impl Profile {
    fn read(path: &Path) -> Result<Self, DomainError> {
        let unreadable = || fault("配置文件无法读取", "the profile can not be read", path);
        let metadata = std::fs::metadata(path).map_err(|_| unreadable())?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            if metadata.permissions().mode() & 0o077 != 0 {
                return Err(Refusal::new(
                    "input/profile",
                    "配置文件含有令牌，只能由本人读取",
                    "the profile holds a token: its owner alone may read it",
                )
                .at(path.display().to_string())
                .hint("请执行 chmod 600", "chmod 600 it")
                .into());
            }
        }
        if metadata.len() > MAX_PROFILE {
            return Err(unreadable());
        }
        let text = std::fs::read_to_string(path).map_err(|_| unreadable())?;
        // The parser's message may quote the line, and with it the token.
        let mut profile: Self =
            toml::from_str(&text).map_err(|_| fault("配置文件格式不正确", "the profile is malformed", path))?;
        let base = path.parent().unwrap_or(Path::new("."));
        let places = [&mut profile.ca, &mut profile.certificate, &mut profile.key, &mut profile.signing_key];
        for named in places.into_iter().flatten() {
            *named = base.join(&*named);
        }
        Ok(profile)
    }

    /// The profile that is used where none is named.
    fn usual() -> Option<PathBuf> {
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))?;
        Some(config.join("yunei/profile.toml")).filter(|path| path.exists())
    }
}

impl RemoteArgs {
    /// Whether a server is named at all.
    pub(crate) fn is_named(&self) -> bool {
        self.server.is_some() || self.profile.is_some()
    }

    /// The server to work on; `None` where the home here is meant.
    pub(crate) fn open(&self, lang: Lang) -> Result<Option<Remote>, DomainError> {
        if !self.is_named() {
            return Ok(None);
        }
        let profile = match self.profile.clone().or_else(Profile::usual) {
            Some(path) => Profile::read(&path)?,
            None => Profile::default(),
        };
        let Some(server) = self.server.clone().or(profile.server) else {
            return Err(Refusal::new("input/server", "配置文件中没有 server", "the profile names no server")
                .hint("用 --server 指定", "name it with --server")
                .into());
        };
        let token = std::env::var("YUNEI_TOKEN").ok().filter(|t| !t.is_empty()).or(profile.token);
        let Some(token) = token else {
            return Err(Refusal::new("input/token", "缺少访问令牌", "a token is needed")
                .hint("请设置 YUNEI_TOKEN，或写入配置文件", "set YUNEI_TOKEN, or put it into the profile")
                .into());
        };
        let ca = self.ca.clone().or(profile.ca);
        let identity = profile.certificate.as_deref().zip(profile.key.as_deref());
        let client = Client::new(&server, token.trim(), lang, ca.as_deref(), identity)?;
        Ok(Some(Remote { client, signing_key: self.signing_key.clone().or(profile.signing_key) }))
    }
}
