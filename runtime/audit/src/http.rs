//! As much HTTP as `tlog-witness` needs: one small request, one small answer, a deadline.
//!
//! Plain HTTP is enough: a checkpoint and a cosignature are signed themselves, and neither is a
//! secret. Where the network between the two machines is not trusted to deliver, a tunnel is.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The most bytes of a head.
const MAX_HEAD: usize = 8 * 1024;

/// The most bytes of a body, either way.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// Where a witness listens: `http://host:port/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    authority: String,
    prefix: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let fine = rest.len() <= 256 && rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#@\\\"".contains(&b));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !fine || authority.is_empty() {
            return None;
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let path = path.trim_end_matches('/');
        Some(Self { authority, prefix: if path.is_empty() { String::new() } else { format!("/{path}") } })
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Sets both timeouts of the stream to what is left.
fn set_deadline(stream: &TcpStream, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))
}

/// Reads until `done` says how long the message is and that much has come, or the stream ends.
fn read_message(
    stream: &mut TcpStream,
    deadline: Instant,
    length: impl Fn(&[u8]) -> io::Result<Option<usize>>,
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(length) = length(&bytes)?
            && bytes.len() >= length
        {
            bytes.truncate(length);
            return Ok(bytes);
        }
        if bytes.len() > MAX_HEAD + MAX_BODY {
            return Err(bad("too long"));
        }
        set_deadline(stream, deadline)?;
        match stream.read(&mut chunk)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Where the body begins, and the lines of the head, once the head is whole.
fn head(bytes: &[u8]) -> io::Result<Option<(usize, Vec<&str>)>> {
    match bytes.windows(4).take(MAX_HEAD).position(|window| window == b"\r\n\r\n") {
        Some(end) => {
            let text = std::str::from_utf8(&bytes[..end]).map_err(|_| bad("the head is not text"))?;
            Ok(Some((end + 4, text.split("\r\n").collect())))
        }
        None if bytes.len() > MAX_HEAD => Err(bad("the head is too long")),
        None => Ok(None),
    }
}

fn content_length(lines: &[&str]) -> io::Result<Option<usize>> {
    for line in lines.iter().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(bad("transfer encodings are not taken"));
        }
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.trim().parse().map_err(|_| bad("the length is no number"))?;
            return if length <= MAX_BODY { Ok(Some(length)) } else { Err(bad("the body is too long")) };
        }
    }
    Ok(None)
}

/// Posts `body` and gives status and body of the answer.
pub(crate) fn post(url: &Url, path: &str, body: &[u8], timeout: Duration) -> io::Result<(u16, Vec<u8>)> {
    let deadline = Instant::now() + timeout;
    let mut last = bad("the name has no address");
    for address in url.authority.to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return exchange(stream, url, path, body, deadline),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(
    mut stream: TcpStream,
    url: &Url,
    path: &str,
    body: &[u8],
    deadline: Instant,
) -> io::Result<(u16, Vec<u8>)> {
    stream.set_nodelay(true)?;
    set_deadline(&stream, deadline)?;
    // HTTP/1.0: one exchange, and no chunked answer.
    let mut request = format!(
        "POST {}{path} HTTP/1.0\r\nHost: {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        url.prefix,
        url.authority,
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    stream.write_all(&request)?;
    let bytes = read_message(&mut stream, deadline, |bytes| {
        let Some((start, lines)) = head(bytes)? else { return Ok(None) };
        Ok(content_length(&lines)?.map(|length| start + length))
    })?;
    let Some((start, lines)) = head(&bytes)? else { return Err(bad("no whole answer")) };
    if let Some(length) = content_length(&lines)?
        && bytes.len() < start + length
    {
        return Err(bad("the answer is cut short"));
    }
    let status = lines.first().and_then(|line| line.strip_prefix("HTTP/1.")).and_then(|line| line.get(2..5));
    let status = status.and_then(|code| code.parse().ok()).ok_or_else(|| bad("no status"))?;
    if bytes.len() - start > MAX_BODY {
        return Err(bad("the body is too long"));
    }
    Ok((status, bytes[start..].to_vec()))
}

/// Reads one request, lets `handle` answer method, path and body, and writes the answer.
pub(crate) fn serve(
    mut stream: TcpStream,
    timeout: Duration,
    handle: impl FnOnce(&str, &str, &[u8]) -> Answer,
) -> io::Result<()> {
    let deadline = Instant::now() + timeout;
    stream.set_nodelay(true)?;
    let bytes = read_message(&mut stream, deadline, |bytes| {
        let Some((start, lines)) = head(bytes)? else { return Ok(None) };
        Ok(Some(start + content_length(&lines)?.unwrap_or(0)))
    })?;
    let Some((start, lines)) = head(&bytes)? else { return Err(bad("no whole request")) };
    if bytes.len() < start + content_length(&lines)?.unwrap_or(0) {
        return Err(bad("the request is cut short"));
    }
    let mut words = lines.first().copied().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let answer = handle(method, path, &bytes[start..]);
    let mut out = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        reason(answer.status),
        answer.content_type,
        answer.body.len()
    )
    .into_bytes();
    out.extend_from_slice(&answer.body);
    set_deadline(&stream, deadline)?;
    stream.write_all(&out)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        422 => "Unprocessable Entity",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_plain_http_with_host_port_and_prefix() {
        let url = |text: &str| Url::parse(text).map(|url| (url.authority, url.prefix));
        assert_eq!(url("http://w.example:8080/a/b/"), Some(("w.example:8080".into(), "/a/b".into())));
        assert_eq!(url("http://127.0.0.1:1"), Some(("127.0.0.1:1".into(), String::new())));
        assert_eq!(url("http://w.example"), Some(("w.example:80".into(), String::new())));
        for bad in ["", "https://w", "http://", "http:///x", "http://a b", "http://u@h/", "http://h/?q"] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }

    #[test]
    fn lengths_at_the_limit_and_one_past_it() {
        let lines = |n: usize| format!("POST / HTTP/1.1\r\ncontent-length: {n}");
        let length = |n| content_length(&lines(n).split("\r\n").collect::<Vec<_>>()).ok().flatten();
        assert_eq!(length(MAX_BODY), Some(MAX_BODY));
        assert_eq!(length(MAX_BODY + 1), None);
        assert!(head(&[b'a'; MAX_HEAD]).unwrap().is_none());
        assert!(head(&[b'a'; MAX_HEAD + 1]).is_err());
    }
}
