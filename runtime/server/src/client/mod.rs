//! The interface from the other side: one request on one connection, refusals as the domain gave them.

mod signing;

pub use hyper::Method;
pub use signing::AuthorKey;

use crate::schema::Problem;
use crate::tls;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use yunei_engine::DomainError;
use yunei_policy::{Lang, Refusal, Refused};

/// At most how many bytes an answer has.
const MAX_ANSWER: usize = 1 << 30;
/// How long a connection may take to come about, and how long an answer may take beyond what was asked to wait.
const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(300);
/// Where a machine keeps the certificates that it trusts.
const TRUST: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A server and the credentials for it.
#[derive(Clone)]
pub struct Client {
    host: String,
    port: u16,
    prefix: String,
    tls: Option<Arc<ClientConfig>>,
    token: String,
    lang: Lang,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON of a known shape.
    ///
    /// # Errors
    /// `server/answer` where it is another.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, DomainError> {
        serde_json::from_slice(&self.body).map_err(|_| unexpected())
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

/// What goes with a request.
#[derive(Debug, Default)]
pub struct Sending<'a> {
    /// The body, JSON.
    pub body: Option<&'a Value>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for Client {
    // The token is nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

fn usage(code: &'static str, zh: &str, en: &str) -> DomainError {
    Refusal::new(code, zh, en).into()
}

fn unreachable(zh: &str, en: &str) -> DomainError {
    DomainError::Unavailable(
        Refusal::new("server/unreachable", zh, en).hint("请检查地址与网络", "see to the address and the network"),
    )
}

fn unexpected() -> DomainError {
    DomainError::Unavailable(Refusal::new(
        "server/answer",
        "服务器的答复无法识别",
        "the server's answer is not understood",
    ))
}

impl Client {
    /// A client of the server at `url` (`https://host[:port][/prefix]`, or `http://` for one on the same machine).
    /// `ca` names the certificates to trust instead of the machine's, `identity` the client certificate and its key.
    ///
    /// # Errors
    /// `input/server` where the URL is none; `server/tls` where a certificate can not be read.
    pub fn new(
        url: &str,
        token: &str,
        lang: Lang,
        ca: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, DomainError> {
        let wrong =
            || usage("input/server", "服务器地址写作 https://主机[:端口]", "a server is written https://host[:port]");
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |t: &str| t.len() <= 512 && t.bytes().all(|b| b.is_ascii_graphic() && !b"?#@\\\"<>".contains(&b));
        if authority.is_empty() || !fits(rest) {
            return Err(wrong());
        }
        let default = if secure { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !secure && !matches!(host.as_str(), "127.0.0.1" | "localhost" | "::1") {
            return Err(usage(
                "input/server",
                "令牌只能经 https 发往其他机器",
                "a token is sent to another machine by https alone",
            ));
        }
        if token.is_empty() || token.len() > 128 || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(usage("input/token", "访问令牌缺失或格式不正确", "the token is missing or malformed"));
        }
        let tls = if secure {
            let found = ca.or_else(|| TRUST.iter().map(Path::new).find(|p| p.exists()));
            let Some(ca) = found else {
                return Err(usage("input/ca", "请用 --ca 指定信任的证书", "say with --ca which certificates to trust"));
            };
            Some(tls::client(ca, identity)?)
        } else {
            None
        };
        let prefix = path.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        Ok(Self { host, port, prefix, tls, token: token.to_owned(), lang })
    }

    /// Sends a request and gives the answer, whatever its status.
    ///
    /// # Errors
    /// `server/unreachable`, `server/answer`.
    pub async fn send(&self, method: Method, path: &str, sending: Sending<'_>) -> Result<Reply, DomainError> {
        let request = self.request(method, path, sending)?;
        match self.connect().await? {
            Line::Plain(stream) => exchange(stream, request).await,
            Line::Secure(stream) => exchange(*stream, request).await,
        }
    }

    async fn connect(&self) -> Result<Line, DomainError> {
        let gone = |_| unreachable("无法连接服务器", "the server can not be reached");
        let late = |_| unreachable("连接服务器超时", "the server does not answer");
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect((self.host.as_str(), self.port)))
            .await
            .map_err(late)?
            .map_err(gone)?;
        let _ = stream.set_nodelay(true);
        let Some(config) = &self.tls else { return Ok(Line::Plain(stream)) };
        let name = ServerName::try_from(self.host.clone()).map_err(|_| unexpected())?;
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        let stream = tokio::time::timeout(CONNECT, handshake).await.map_err(late)?.map_err(|_| {
            unreachable(
                "TLS 握手失败：证书不受信任或客户端证书缺失",
                "TLS failed: a certificate is not trusted, or one is missing",
            )
        })?;
        Ok(Line::Secure(Box::new(stream)))
    }

    fn request(&self, method: Method, path: &str, sending: Sending<'_>) -> Result<Request<Full<Bytes>>, DomainError> {
        let language = match self.lang {
            Lang::Zh => "zh",
            Lang::En => "en",
        };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, format!("{host}:{}", self.port))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::ACCEPT_LANGUAGE, language)
            .header(header::USER_AGENT, concat!("yunei/", env!("CARGO_PKG_VERSION")));
        for (name, value) in sending.headers {
            request = request.header(name, value);
        }
        let body = match sending.body {
            None => Bytes::new(),
            Some(value) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(serde_json::to_vec(value).map_err(|_| unexpected())?)
            }
        };
        request
            .body(Full::new(body))
            .map_err(|_| usage("input/name", "名称中含有不可用的字符", "a name has characters that it can not have"))
    }

    /// Sends a request; an answer that is a problem is the domain's refusal.
    ///
    /// # Errors
    /// As [`Self::send`]; what the domain refuses.
    pub async fn call(&self, method: Method, path: &str, sending: Sending<'_>) -> Result<Reply, DomainError> {
        let reply = self.send(method, path, sending).await?;
        if (200..300).contains(&reply.status) { Ok(reply) } else { Err(refused(&reply)) }
    }

    /// `GET`, as JSON of a known shape.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DomainError> {
        self.call(Method::GET, path, Sending::default()).await?.json()
    }

    /// `POST` with a JSON body, as JSON of a known shape.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, DomainError> {
        self.call(Method::POST, path, Sending { body: Some(body), ..Sending::default() }).await?.json()
    }

    /// `GET` of an answer of any length, told piece by piece. What comes after an answer that broke off is an error.
    ///
    /// # Errors
    /// As [`Self::call`]; what `piece` says.
    pub async fn download(
        &self,
        path: &str,
        piece: impl FnMut(&[u8]) -> Result<(), DomainError>,
    ) -> Result<(), DomainError> {
        let request = self.request(Method::GET, path, Sending::default())?;
        match self.connect().await? {
            Line::Plain(stream) => receive(stream, request, piece).await,
            Line::Secure(stream) => receive(*stream, request, piece).await,
        }
    }

    /// All the items of a list, page by page.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, DomainError> {
        #[derive(Deserialize)]
        struct Page<T> {
            items: Vec<T>,
            next: Option<String>,
        }
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let query = cursor.as_ref().map(|c| format!("&cursor={}", escaped(c))).unwrap_or_default();
            let page: Page<T> = self.get(&format!("{path}?limit=500{query}")).await?;
            all.extend(page.items);
            // A server that gives the same cursor for ever is not followed for ever.
            if page.next.is_none() || page.next == cursor {
                return Ok(all);
            }
            cursor = page.next;
        }
    }
}

/// A connection, made.
enum Line {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

async fn receive<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
    mut piece: impl FnMut(&[u8]) -> Result<(), DomainError>,
) -> Result<(), DomainError> {
    let gone = |_| unreachable("与服务器的连接中断", "the connection to the server broke off");
    let late = |_| unreachable("服务器没有及时答复", "the server did not answer in time");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(gone)?;
    tokio::spawn(connection);
    let answer = tokio::time::timeout(ANSWER, sender.send_request(request)).await.map_err(late)?.map_err(gone)?;
    let (parts, mut body) = answer.into_parts();
    if !parts.status.is_success() {
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|_| unexpected())?.to_bytes();
        return Err(refused(&Reply { status: parts.status.as_u16(), headers: parts.headers, body }));
    }
    // However long the answer is, the next piece of it is not waited for without end.
    while let Some(frame) = tokio::time::timeout(ANSWER, body.frame()).await.map_err(late)? {
        if let Ok(bytes) = frame.map_err(gone)?.into_data() {
            piece(&bytes)?;
        }
    }
    Ok(())
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Reply, DomainError> {
    let gone = |_| unreachable("与服务器的连接中断", "the connection to the server broke off");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(gone)?;
    tokio::spawn(connection);
    let whole = async {
        let (parts, body) = sender.send_request(request).await.map_err(gone)?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|_| unexpected())?.to_bytes();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
    };
    tokio::time::timeout(ANSWER, whole)
        .await
        .map_err(|_| unreachable("服务器没有及时答复", "the server did not answer in time"))?
}

/// A problem document as the refusal that it tells of.
pub fn refused(reply: &Reply) -> DomainError {
    let Ok(problem) = reply.json::<Problem>() else { return unexpected() };
    let reasons: Vec<Refusal> = problem.refused.into_iter().filter_map(reason).collect();
    let Some(refused) = Refused::from_reasons(reasons) else { return unexpected() };
    let first = refused.reasons().first().cloned();
    match (reply.status, first) {
        (404, Some(one)) => DomainError::NotFound(one),
        (503, Some(one)) => DomainError::Unavailable(one),
        (500, Some(one)) => DomainError::Failed(one),
        _ => DomainError::Refused(refused),
    }
}

/// A reason that came over the network. Its texts are in the language that was asked for.
pub fn reason(told: crate::schema::Refusal) -> Option<Refusal> {
    let fits = told.code.len() <= 64 && told.code.contains('/');
    let plain = told.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/-".contains(&b));
    if !fits || !plain {
        return None;
    }
    // Codes are few and short; a command that was refused is about to end.
    let code: &'static str = told.code.leak();
    let mut refusal = Refusal::new(code, told.message.clone(), told.message);
    if let Some(place) = told.place {
        refusal = refusal.at(place);
    }
    if let Some(hint) = told.hint {
        refusal = refusal.hint(hint.clone(), hint);
    }
    Some(refusal)
}

/// A part of a path or query with everything escaped that is not plain (RFC 3986, 2.3).
pub fn escaped(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(url: &str) -> Result<Client, DomainError> {
        Client::new(url, "yunei_x", Lang::En, None, None)
    }

    #[test]
    fn addresses() {
        let client = made("http://127.0.0.1:8080/domain/").unwrap();
        assert_eq!((client.host.as_str(), client.port, client.prefix.as_str()), ("127.0.0.1", 8080, "/domain"));
        assert_eq!(made("http://[::1]:81").unwrap().host, "::1");
        assert_eq!(made("http://localhost").unwrap().port, 80);
        for wrong in
            ["", "127.0.0.1", "ftp://x", "http://", "http://127.0.0.1:port", "http://a@127.0.0.1", "http://a b"]
        {
            assert_eq!(made(wrong).unwrap_err().reasons()[0].code(), "input/server", "{wrong}");
        }
        // A token never crosses the network in the clear.
        assert_eq!(made("http://example.com").unwrap_err().reasons()[0].code(), "input/server");
        assert!(!format!("{:?}", made("http://localhost").unwrap()).contains("yunei_x"));
    }

    #[test]
    fn escapes() {
        assert_eq!(escaped("a@1.0+x/../昆"), "a%401.0%2Bx%2F..%2F%E6%98%86");
    }
}
