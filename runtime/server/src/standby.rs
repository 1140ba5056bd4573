//! A server that waits: another one has the domain open, and this one takes over when that is gone.
//!
//! Until then it listens, says that it lives, and turns every request away with a code of its own and a time after which to
//! ask again: what is in front of both sends it to the other.

use crate::config::{Config, Limits};
use crate::content::language;
use crate::gate::finish;
use crate::problem::Problem;
use crate::serve::{HANDSHAKE, MAX_HEAD, MAX_HEADERS, ServeError, Server};
use crate::stream::Stream;
use crate::tls;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use yunei_engine::{Domain, DomainError};
use yunei_policy::Refusal;

/// How often it tries to open the domain.
const EVERY: Duration = Duration::from_secs(1);
/// After how many seconds a client should ask again.
const RETRY_AFTER: u32 = 5;

/// A server that listens and waits.
pub struct Standby {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    address: SocketAddr,
    config: Config,
}

impl Standby {
    /// Binds the address and reads the certificates; nothing is answered yet.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let acceptor = config.tls.as_ref().map(tls::acceptor).transpose().map_err(ServeError::Tls)?;
        let listener = TcpListener::bind(config.listen).await.map_err(ServeError::Listen)?;
        let address = listener.local_addr().map_err(ServeError::Listen)?;
        Ok(Self { listener, acceptor, address, config })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until `open` gives the domain, and gives the server that goes on at the same address; `None` where `stop` was
    /// ready before.
    ///
    /// # Errors
    /// What keeps the domain from being opened, other than that another server has it.
    pub async fn wait<O, F>(self, open: O, stop: impl Future<Output = ()>) -> Result<Option<Server>, DomainError>
    where
        O: Fn() -> F,
        F: Future<Output = Result<Domain, DomainError>>,
    {
        let mut stop = std::pin::pin!(stop);
        let domain = {
            let turned_away = self.turn_away();
            let opened = async {
                loop {
                    match open().await {
                        Err(error) if is_elsewhere(&error) => tokio::time::sleep(EVERY).await,
                        done => return done,
                    }
                }
            };
            tokio::select! {
                () = &mut stop => return Ok(None),
                domain = opened => domain?,
                never = turned_away => match never {},
            }
        };
        Ok(Some(Server::over(Arc::new(domain), self.config, self.listener, self.acceptor, self.address)))
    }

    async fn turn_away(&self) -> Infallible {
        let room = Arc::new(Semaphore::new(self.config.limits.connections));
        loop {
            let Ok(slot) = Arc::clone(&room).acquire_owned().await else { std::future::pending().await };
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors, mostly: wait for some to come back.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (acceptor, limits) = (self.acceptor.clone(), self.config.limits.clone());
            tokio::spawn(async move {
                converse(acceptor, stream, &limits).await;
                drop(slot);
            });
        }
    }
}

/// Whether a domain is open in another process, here or on another machine.
pub fn is_elsewhere(error: &DomainError) -> bool {
    let code = error.reasons().first().map(Refusal::code);
    // The last is between the two: the other process is just ending.
    matches!(code, Some("home/busy" | "store/held" | "audit/busy"))
}

async fn converse(acceptor: Option<TlsAcceptor>, stream: TcpStream, limits: &Limits) {
    let _ = stream.set_nodelay(true);
    let stream = Stream::new(stream, limits.write);
    match acceptor {
        None => speak(stream, limits).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                speak(stream, limits).await;
            }
        }
    }
}

/// One answer for a connection: the next may be for the server that took over.
async fn speak<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: T, limits: &Limits) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let _ = tokio::time::timeout(limits.head + limits.write, conversation).await;
}

fn answer<B>(request: &Request<B>) -> Response<Body> {
    if request.uri().path() == "/healthz" {
        return Response::new(Body::from("ok\n"));
    }
    let reason = Refusal::new(
        "server/standby",
        "本服务器处于待命状态，另一台服务器正在提供服务",
        "this server stands by: another one serves the domain",
    )
    .hint("请稍后重试，或改用另一台服务器", "ask the other server, or try again after the time of Retry-After");
    let lang = language(request.headers());
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).after(RETRY_AFTER);
    let mut response = problem.into_response(lang, "standby");
    finish(&mut response, lang, "standby");
    response
}
