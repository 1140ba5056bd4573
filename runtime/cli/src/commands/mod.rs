//! The commands: arguments in, calls of the domain, answers out. They decide nothing.

pub(crate) mod audit;
pub(crate) mod credentials;
pub(crate) mod home;
pub(crate) mod items;
pub(crate) mod lifecycle;
pub(crate) mod model;
mod model_try;
pub(crate) mod proof;
pub(crate) mod registers;
mod replay;
pub(crate) mod serve;
pub(crate) mod uses;
pub(crate) mod verify;
mod witness;
mod years;

use crate::face::{Face, Remote};
use crate::remote::RemoteArgs;
use crate::term::Term;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use yunei_engine::{Clock, Domain, DomainError};
use yunei_policy::{Refusal, Refused};

/// How a command ends.
pub(crate) type Outcome = Result<(), DomainError>;

/// What every command needs.
pub(crate) struct Context {
    pub(crate) home: PathBuf,
    pub(crate) actor: Option<String>,
    pub(crate) remote: RemoteArgs,
    pub(crate) term: Term,
}

impl Context {
    /// The server that was named, for a command that works on one.
    pub(crate) fn server(&self) -> Result<Option<Remote>, DomainError> {
        match self.remote.open(self.term.lang())? {
            None => Ok(None),
            Some(_) if self.actor.is_some() => Err(usage(
                "input/as",
                "--as 只用于本地的域；连接服务器时由令牌表明机构",
                "--as is for a home here: to a server the token says who acts",
            )),
            Some(remote) => Ok(Some(remote)),
        }
    }

    /// The domain that the command works on: behind the server that was named, else the home's.
    pub(crate) async fn face(&self) -> Result<Face, DomainError> {
        match self.server()? {
            None => Ok(Face::Local(Box::new(self.domain().await?))),
            Some(remote) => Ok(Face::Remote(remote)),
        }
    }

    /// Opens the home's domain.
    async fn domain(&self) -> Result<Domain, DomainError> {
        Domain::open(&self.home, clock()).await
    }

    /// Refuses to work on a server, for a command that is the domain's own machine's: with the reason why.
    pub(crate) fn here(&self, zh: &str, en: &str) -> Outcome {
        if self.remote.is_named() {
            return Err(local_only(zh, en));
        }
        Ok(())
    }

    /// Who acts: the institution that was named, else the one of a new home whose part this is.
    pub(crate) fn actor(&self, part: &str) -> String {
        self.actor.clone().unwrap_or_else(|| part.to_owned())
    }

    /// Tells why something was not done.
    pub(crate) fn refused(&mut self, error: &DomainError) {
        let lang = self.term.lang();
        if self.term.is_json() {
            let reasons: Vec<_> = error.reasons().iter().map(|r| r.to_view(lang)).collect();
            self.term.json(&json!({ "refused": reasons }));
            return;
        }
        let mut out = std::io::stderr().lock();
        for reason in error.reasons() {
            let place = reason.place().map(|p| format!("  [{}]", crate::term::clean(p))).unwrap_or_default();
            let _ = writeln!(out, "✗ {}  {}{place}", reason.code(), crate::term::clean(reason.message().get(lang)));
            if let Some(advice) = reason.advice() {
                let _ = writeln!(out, "  → {}", crate::term::clean(advice.get(lang)));
            }
        }
    }
}

/// The answer of a command that a server does not offer, with the reason.
fn local_only(zh: &str, en: &str) -> DomainError {
    Refusal::new(
        "input/local-only",
        format!("此命令不通过服务器办理：{zh}"),
        format!("this command does not work through a server: {en}"),
    )
    .hint("请去掉 --server、YUNEI_SERVER 与 --profile", "leave out --server, YUNEI_SERVER and --profile")
    .into()
}

/// The machine's clock.
pub(crate) fn clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// Something wrong with what was typed.
pub(crate) fn usage(code: &'static str, zh: &str, en: &str) -> DomainError {
    DomainError::Refused(Refused::from(Refusal::new(code, zh, en)))
}

/// A file that will be written, made before anything is charged for its content; without [`Draft::finish`] nothing stays.
pub(crate) struct Draft {
    path: PathBuf,
    draft: PathBuf,
    file: std::fs::File,
}

impl Draft {
    /// Makes an empty draft beside `path`: a folder that is absent or not writable is told now.
    pub(crate) fn create(path: &Path) -> Result<Self, DomainError> {
        let name = path.file_name().ok_or_else(|| usage("input/output", "输出文件名无效", "that is no file name"))?;
        if path.is_dir() {
            let refusal = Refusal::new("input/output", "输出路径是一个文件夹", "the output is a folder");
            return Err(Refused::from(refusal.at(path.display().to_string())).into());
        }
        let draft = path.with_file_name(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
        let file = std::fs::File::create(&draft).map_err(|_| not_written(path))?;
        Ok(Self { path: path.to_owned(), draft, file })
    }

    /// Writes the file whole and puts it in its place.
    pub(crate) fn finish(mut self, bytes: &[u8]) -> Outcome {
        self.file.write_all(bytes).map_err(|_| not_written(&self.path))?;
        self.place()
    }

    /// Where what is too long to be held is written to, before [`Draft::place`].
    pub(crate) fn writer(&self) -> Result<std::io::BufWriter<std::fs::File>, DomainError> {
        let file = self.file.try_clone().map_err(|_| not_written(&self.path))?;
        Ok(std::io::BufWriter::new(file))
    }

    /// Puts what was written in its place.
    pub(crate) fn place(self) -> Outcome {
        let written = self.file.sync_all();
        written.and_then(|()| std::fs::rename(&self.draft, &self.path)).map_err(|_| not_written(&self.path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing under this name.
        let _ = std::fs::remove_file(&self.draft);
    }
}

fn not_written(path: &Path) -> DomainError {
    DomainError::Unavailable(
        Refusal::new("output/io", "无法写入文件", "the file can not be written").at(path.display().to_string()),
    )
}
