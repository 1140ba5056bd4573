//! `verification-peer serve SOCKET-DIR PORT`: a minimal axum handler over PostgreSQL: an indexed look-up and an audit row that is
//! committed before the answer. `verification-peer load URL BODY SECONDS CONNECTIONS [TOKEN [KEY ISSUER PRODUCT]]`: the client for both;
//! with a key it signs a consent for each question, ahead of the measurement.

mod consent;

use axum::{Json, Router, extract::State, routing::post};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls, Statement};

/// How many consents are signed for each second of a measurement.
const MOST_A_SECOND: u64 = 10_000;

/// How many people there are.
const PEOPLE: u64 = 1_000_000;

/// Whether a failure was shown: one is enough.
static TOLD: AtomicBool = AtomicBool::new(false);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", folder, port] => serve(folder, port.parse()?).await,
        ["load", url, body, seconds, connections, rest @ ..] => {
            let seconds = seconds.parse()?;
            // Each measurement begins with other people: the number of questions about one person is bounded.
            let first = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64 % PEOPLE;
            let consents = match rest {
                [_, key, issuer, product] => consent::sign(key, issuer, product, first, seconds * MOST_A_SECOND)?,
                _ => Vec::new(),
            };
            load(url, body, seconds, connections.parse()?, rest.first().copied(), Asked { first, consents }).await
        }
        _ => Err("usage: verification-peer serve DIR PORT | \
            load URL BODY SECONDS CONNECTIONS [TOKEN [KEY ISSUER PRODUCT]]"
            .into()),
    }
}

/// One connection to the database with its prepared statements.
struct Desk {
    client: Client,
    look_up: Statement,
    audit: Statement,
}

struct Pool {
    desks: Vec<Desk>,
    next: AtomicUsize,
}

#[derive(Deserialize)]
struct Ask {
    id: String,
    name: String,
    claim: String,
}

#[derive(Serialize)]
struct Told {
    answer: &'static str,
}

async fn serve(folder: &str, port: u16) -> Result<(), Failure> {
    let mut desks = Vec::new();
    for _ in 0..16 {
        let (client, connection) =
            tokio_postgres::connect(&format!("host={folder} user=postgres dbname=postgres"), NoTls).await?;
        tokio::spawn(connection);
        let look_up = client.prepare("SELECT city = $3 FROM people WHERE id = $1 AND name = $2").await?;
        let audit = client.prepare("INSERT INTO audit (at, id, answer) VALUES (now(), $1, $2)").await?;
        desks.push(Desk { client, look_up, audit });
    }
    let pool = Arc::new(Pool { desks, next: AtomicUsize::new(0) });
    let app = Router::new().route("/verify", post(verify)).with_state(pool);
    axum::serve(tokio::net::TcpListener::bind(("127.0.0.1", port)).await?, app).await?;
    Ok(())
}

async fn verify(State(pool): State<Arc<Pool>>, Json(ask): Json<Ask>) -> Json<Told> {
    // Statements of several requests are pipelined on one connection.
    let at = pool.next.fetch_add(1, Ordering::Relaxed) % pool.desks.len();
    let desk = &pool.desks[at];
    let found = desk.client.query_opt(&desk.look_up, &[&ask.id, &ask.name, &ask.claim]).await;
    let holds = found.ok().flatten().is_some_and(|row| row.get::<_, bool>(0));
    let answer = if holds { "match" } else { "no_match" };
    // Committed, synchronously, before the answer.
    match desk.client.execute(&desk.audit, &[&ask.id, &answer]).await {
        Ok(_) => Json(Told { answer }),
        Err(_) => Json(Told { answer: "unavailable" }),
    }
}

/// Who is asked about: from where on, and with which consents; without them where there are none.
struct Asked {
    first: u64,
    consents: Vec<String>,
}

/// The number of the person that the n-th question is about: from 0 to 999,999, in no order.
fn number_of(count: u64) -> u64 {
    count.wrapping_mul(7_919_777) % PEOPLE
}

/// In the body `{n}` becomes the person's number, nine digits wide, `{m}` and `{c}` what the name and the city are made of, and
/// `{t}` a consent of its own.
async fn load(
    url: &str,
    body: &str,
    seconds: u64,
    connections: usize,
    token: Option<&str>,
    asked: Asked,
) -> Result<(), Failure> {
    let asked = Arc::new(asked);
    let rest = url.strip_prefix("http://").ok_or("an http URL")?;
    let (host, path) = rest.split_once('/').ok_or("a path")?;
    let counter = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (host, path, body) = (host.to_owned(), path.to_owned(), body.to_owned());
        let (token, counter, asked) = (token.map(str::to_owned), counter.clone(), asked.clone());
        tasks.spawn(async move { client(&host, &path, &body, token.as_deref(), &counter, &asked, end).await });
    }
    let (mut took, mut failed) = (Vec::new(), 0);
    let start = Instant::now();
    while let Some(done) = tasks.join_next().await {
        let (times, wrong) = done??;
        took.extend(times);
        failed += wrong;
    }
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    println!(
        "{connections} connections: {:.0} a second, p50 {:.3} ms, p99 {:.3} ms, {failed} failed",
        took.len() as f64 / start.elapsed().as_secs_f64(),
        at(0.5),
        at(0.99)
    );
    Ok(())
}

async fn client(
    host: &str,
    path: &str,
    body: &str,
    token: Option<&str>,
    counter: &AtomicU64,
    asked: &Asked,
    end: Instant,
) -> Result<(Vec<u64>, u64), Failure> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let (mut took, mut failed) = (Vec::new(), 0);
    let token = token.map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
    let mut line = String::new();
    let mut answer = Vec::new();
    while Instant::now() < end {
        let count = counter.fetch_add(1, Ordering::Relaxed);
        let number = number_of(asked.first + count);
        let consent = match asked.consents.get(count as usize) {
            Some(consent) => consent.as_str(),
            None if asked.consents.is_empty() => "",
            None => return Err("the consents are used up: sign more of them".into()),
        };
        let body = body
            .replace("{t}", consent)
            .replace("{n}", &format!("{number:09}"))
            .replace("{m}", &(number % 1_000).to_string())
            .replace("{c}", &(number % 9).to_string());
        let request = format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{token}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let start = Instant::now();
        stream.get_mut().write_all(request.as_bytes()).await?;
        let (mut length, mut status, mut first) = (0usize, String::new(), true);
        loop {
            line.clear();
            stream.read_line(&mut line).await?;
            if line == "\r\n" || line.is_empty() {
                break;
            }
            if first {
                status = line.split(' ').nth(1).unwrap_or_default().to_owned();
                first = false;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        answer.resize(length, 0);
        stream.read_exact(&mut answer).await?;
        took.push(u64::try_from(start.elapsed().as_nanos())?);
        if status != "200" || !answer.windows(7).any(|w| w == b"\"match\"") {
            failed += 1;
            if !TOLD.swap(true, Ordering::Relaxed) {
                eprintln!("{status}: {}", String::from_utf8_lossy(&answer));
            }
        }
    }
    Ok((took, failed))
}
