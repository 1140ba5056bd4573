//! The domain behind its interface, until a signal ends it.

use super::{Context, Outcome};
use clap::Args;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use yunei_engine::DomainError;
use yunei_policy::Refusal;
use yunei_server::config::Tls;
use yunei_server::{Config, ServeError, Server, Standby, is_elsewhere};

#[derive(Args)]
pub(crate) struct ServeArgs {
    /// The configuration; the home's server.toml where it is there and nothing is named.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The folder under which datasets registered over the network have their files.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The server's certificate chain, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Who issues the client certificates that are taken, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    client_ca: Option<PathBuf>,
    /// Where another server has the domain open: waits, turning requests away, and takes over when that one is gone.
    #[arg(long)]
    standby: bool,
    /// Turns away clients without a certificate.
    #[arg(long, requires = "client_ca")]
    require_client_certificate: bool,
}

impl ServeArgs {
    fn config(self, context: &Context) -> Result<Config, DomainError> {
        let own = context.home.join("server.toml");
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None if own.exists() => Config::read(&own)?,
            None => Config::default(),
        };
        config.listen = self.listen.unwrap_or(config.listen);
        config.data = self.data.or(config.data);
        if let (Some(certificate), Some(key)) = (self.tls_certificate, self.tls_key) {
            let client_required = self.require_client_certificate;
            config.tls = Some(Tls { certificate, key, client_ca: self.client_ca, client_required });
        }
        Ok(config)
    }
}

/// Tells where it listens, and as what.
fn tell(context: &mut Context, word: &str, (zh, en): (&str, &str), address: SocketAddr, domain: Option<&str>) {
    if context.term.is_json() {
        context.term.json(&json!({ word: address.to_string(), "domain": domain }));
    } else {
        let text = context.term.pick(zh, en).to_owned();
        context.term.note(&format!("{text}: {address}  {}", domain.unwrap_or_default()));
    }
}

pub(crate) async fn serve(context: &mut Context, args: ServeArgs) -> Outcome {
    context.here("服务运行在域所在的机器上", "a server runs on the machine that keeps the domain")?;
    let standby = args.standby;
    let config = args.config(context)?;
    let grace = config.limits.grace;
    // One line of JSON per request: route templates, statuses and institutions, no value of anything.
    tracing_subscriber::fmt().json().flatten_event(true).with_target(false).with_writer(std::io::stderr).init();
    let failed = |_: std::io::Error| {
        DomainError::Unavailable(Refusal::new("server/signal", "无法接收信号", "signals can not be received"))
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let stop = async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    };
    let mut stop = std::pin::pin!(stop);
    let refused = |e: ServeError| DomainError::Unavailable(e.to_refusal());
    let server = match context.domain().await {
        Err(error) if standby && is_elsewhere(&error) => {
            let waiting = Standby::bind(config).await.map_err(refused)?;
            tell(context, "standing_by", ("待命中", "Standing by on"), waiting.address(), None);
            match waiting.wait(|| context.domain(), stop.as_mut()).await? {
                Some(server) => {
                    // With --json the one document was told already.
                    tracing::info!(address = %server.address(), "took over");
                    server
                }
                None => return Ok(()),
            }
        }
        domain => Server::bind(Arc::new(domain?), config).await.map_err(refused)?,
    };
    let domain = Arc::clone(server.domain());
    tell(context, "listening", ("服务已启动", "Listening on"), server.address(), Some(domain.name()));
    let ended = server.run(stop).await;
    if !ended {
        tracing::warn!(seconds = grace.as_secs(), "some uses were broken off; their charges stand");
    }
    // Whatever still holds the domain ends with the process; a domain that is not closed loses nothing.
    if let Ok(domain) = Arc::try_unwrap(domain) {
        domain.close().await;
    }
    Ok(())
}
