//! Listening, TLS, and a stop that lets what is under way come to its end.

use crate::app::{App, Connection};
use crate::config::Config;
use crate::problem::Problem;
use crate::stream::Stream;
use crate::{route, tls};
use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;
use yunei_engine::Domain;
use yunei_policy::Refusal;

/// At most how many bytes the head of a request has, and how many headers.
pub(crate) const MAX_HEAD: usize = 64 << 10;
pub(crate) const MAX_HEADERS: usize = 64;
/// How long a TLS handshake may take.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a server does not start.
#[derive(Debug)]
pub enum ServeError {
    /// The address can not be listened on.
    Listen(io::Error),
    /// Certificate or key are not fit for use.
    Tls(Refusal),
}

impl ServeError {
    /// The error for people, in both languages.
    pub fn to_refusal(&self) -> Refusal {
        match self {
            ServeError::Listen(error) => Refusal::new(
                "server/listen",
                format!("无法监听该地址：{}", error.kind()),
                format!("the address can not be listened on: {}", error.kind()),
            ),
            ServeError::Tls(refusal) => refusal.clone(),
        }
    }
}

/// A server that listens.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    address: SocketAddr,
}

impl Server {
    /// Binds the address and reads the certificates; nothing is answered yet.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(domain: Arc<Domain>, config: Config) -> Result<Self, ServeError> {
        let acceptor = config.tls.as_ref().map(tls::acceptor).transpose().map_err(ServeError::Tls)?;
        let listener = TcpListener::bind(config.listen).await.map_err(ServeError::Listen)?;
        let address = listener.local_addr().map_err(ServeError::Listen)?;
        Ok(Self { app: App::new(domain, config), listener, acceptor, address })
    }

    /// A server that goes on where one that stood by listened.
    pub(crate) fn over(
        domain: Arc<Domain>,
        config: Config,
        listener: TcpListener,
        acceptor: Option<TlsAcceptor>,
        address: SocketAddr,
    ) -> Self {
        Self { app: App::new(domain, config), listener, acceptor, address }
    }

    /// The domain that it serves.
    pub fn domain(&self) -> &Arc<Domain> {
        &self.app.domain
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` is ready; then takes no more connections, lets requests and runs under way end for
    /// as long as the grace lasts, and returns. Whether all of them did.
    ///
    /// A run that is not over then is broken off with the process: its charge stands, and the domain records the
    /// interruption when it is opened again.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let router = route::router(&self.app);
        let (ending, ended) = watch::channel(false);
        let room = Arc::new(Semaphore::new(self.app.config.limits.connections));
        let mut stop = std::pin::pin!(stop);
        loop {
            let slot = tokio::select! {
                () = &mut stop => break,
                slot = Arc::clone(&room).acquire_owned() => slot,
            };
            let Ok(slot) = slot else { break };
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(_) => {
                    // Out of descriptors, mostly: wait for some to come back.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (app, router, acceptor) = (Arc::clone(&self.app), router.clone(), self.acceptor.clone());
            let ended = ended.clone();
            tokio::spawn(async move {
                app.metrics.connections.fetch_add(1, Ordering::Relaxed);
                converse(&app, router, acceptor, stream, peer, ended).await;
                app.metrics.connections.fetch_sub(1, Ordering::Relaxed);
                drop(slot);
            });
        }
        drop(self.listener);
        self.app.stop();
        let _ = ending.send(true);
        let grace = self.app.config.limits.grace;
        let all = u32::try_from(self.app.config.limits.connections).unwrap_or(u32::MAX);
        let quiet = tokio::time::timeout(grace, room.acquire_many(all));
        let (settled, quiet) = tokio::join!(self.app.jobs.settle(grace), quiet);
        settled && quiet.is_ok()
    }
}

async fn converse(
    app: &Arc<App>,
    router: Router,
    acceptor: Option<TlsAcceptor>,
    stream: TcpStream,
    peer: SocketAddr,
    ended: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let stream = Stream::new(stream, app.config.limits.write);
    let Some(acceptor) = acceptor else {
        return speak(app, router, stream, Connection { peer, certificate: None }, ended).await;
    };
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let certificate = shown
                .and_then(|der| ring::digest::digest(&ring::digest::SHA256, der.as_ref()).as_ref().try_into().ok());
            speak(app, router, stream, Connection { peer, certificate }, ended).await;
        }
        _ => {
            app.metrics.refused_connections.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn speak<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    app: &Arc<App>,
    router: Router,
    stream: T,
    connection: Connection,
    mut ended: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection.clone());
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.config.limits.head)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut conversation = std::pin::pin!(conversation);
    tokio::select! {
        _ = conversation.as_mut() => {}
        // The guard that this gives is dropped at once: it must not be held while the connection ends.
        () = async { drop(ended.wait_for(|ended| *ended).await) } => {
            conversation.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(app.config.limits.grace, conversation).await;
        }
    }
}

/// What is answered where there is no route, or none for the method.
pub(crate) fn nothing(method: bool) -> Problem {
    if !method {
        return Problem::no_route();
    }
    Problem::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        Refusal::new("server/method", "该接口不支持此方法", "this path is not for this method"),
    )
}
