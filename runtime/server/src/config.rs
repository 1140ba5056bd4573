//! What a server is told before it starts.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use yunei_policy::{Refusal, Refused};

/// At most how long a configuration file is, in bytes.
const MAX_CONFIG: u64 = 64 << 10;

/// How a server listens, and within which bounds it works.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// With which certificate; without one it speaks plain HTTP, for use behind a gateway on the same machine.
    pub tls: Option<Tls>,
    /// The folder under which datasets that are registered over the network have their files; without one none are.
    pub data: Option<PathBuf>,
    /// The bounds.
    pub limits: Limits,
}

/// The server's certificate, and whether clients show one.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities whose client certificates are taken, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is turned away.
    pub client_required: bool,
}

/// Every bound of the server, in one place.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; more wait in the operating system's queue.
    pub connections: usize,
    /// Requests at once; more are answered 503 at once.
    pub requests: usize,
    /// Runs at once.
    pub runs: usize,
    /// Runs that wait for their turn; more are answered 503.
    pub queue: usize,
    /// Runs of one institution that wait or run.
    pub runs_per_institution: usize,
    /// Verifications at once.
    pub verifications: usize,
    /// Bytes of bodies of more than 64 KiB that are held at once; one that would go beyond is answered 503.
    pub bodies: usize,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub head: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How long a client may leave an answer unread.
    pub write: Duration,
    /// At most how long `Prefer: wait` waits.
    pub wait: Duration,
    /// How long a stop waits for what is under way.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            requests: 512,
            runs: 2,
            queue: 256,
            runs_per_institution: 128,
            // An answer waits for a tick and for the group commit of its entry: at 5,000 answers a second, each within
            // 40 ms, 200 of them are under way. Measured with 64 connections: load/verify.sh, BENCH.md.
            verifications: 256,
            bodies: 256 << 20,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            wait: Duration::from_secs(60),
            grace: Duration::from_secs(30),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8_080)), tls: None, data: None, limits: Limits::default() }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    tls: Option<RawTls>,
    limits: RawLimits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    #[serde(default)]
    client_required: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    connections: Option<usize>,
    requests: Option<usize>,
    runs: Option<usize>,
    queue: Option<usize>,
    runs_per_institution: Option<usize>,
    verifications: Option<usize>,
    bodies_mebibytes: Option<usize>,
    head_seconds: Option<u64>,
    body_seconds: Option<u64>,
    write_seconds: Option<u64>,
    wait_seconds: Option<u64>,
    grace_seconds: Option<u64>,
}

impl Config {
    /// Reads a configuration file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// `input/config` with every fault.
    pub fn read(path: &Path) -> Result<Self, Refused> {
        let fault = |zh: &str, en: &str| Refusal::new("input/config", zh, en).at(path.display().to_string());
        let large = std::fs::metadata(path).is_ok_and(|m| m.len() > MAX_CONFIG);
        let text = if large { Err(()) } else { std::fs::read_to_string(path).map_err(drop) };
        let text = text.map_err(|()| fault("服务配置无法读取", "the server's configuration can not be read"))?;
        let base = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, base)
    }

    /// Reads a configuration from its text; `base` is the folder that its paths are relative to.
    ///
    /// # Errors
    /// `input/config` with every fault.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Refused> {
        let raw: Raw = toml::from_str(text).map_err(|e| {
            Refusal::new(
                "input/config",
                format!("服务配置不正确：{}", e.message()),
                format!("the server's configuration is malformed: {}", e.message()),
            )
        })?;
        let mut reasons = Vec::new();
        let mut config = Self::default();
        config.listen = raw.listen.unwrap_or(config.listen);
        config.data = raw.data.map(|p| base.join(p));
        config.tls = raw.tls.map(|tls| Tls {
            certificate: base.join(tls.certificate),
            key: base.join(tls.key),
            client_ca: tls.client_ca.map(|p| base.join(p)),
            client_required: tls.client_required,
        });
        if config.tls.as_ref().is_some_and(|tls| tls.client_required && tls.client_ca.is_none()) {
            reasons.push(Refusal::new(
                "input/config",
                "要求客户端证书时须指定 client_ca",
                "client_required needs client_ca",
            ));
        }
        let limits = &mut config.limits;
        let mut count = |name: &'static str, place: &mut usize, given: Option<usize>, most: usize| match given {
            None => {}
            Some(n) if (1..=most).contains(&n) => *place = n,
            Some(_) => reasons.push(out_of_range(name, most as u64)),
        };
        count("connections", &mut limits.connections, raw.limits.connections, 65_536);
        count("requests", &mut limits.requests, raw.limits.requests, 65_536);
        count("runs", &mut limits.runs, raw.limits.runs, 64);
        count("queue", &mut limits.queue, raw.limits.queue, 65_536);
        count("runs_per_institution", &mut limits.runs_per_institution, raw.limits.runs_per_institution, 65_536);
        count("verifications", &mut limits.verifications, raw.limits.verifications, 4_096);
        let mut bodies = limits.bodies >> 20;
        count("bodies_mebibytes", &mut bodies, raw.limits.bodies_mebibytes, 65_536);
        // One body of the largest kind always finds room.
        limits.bodies = bodies.max(16) << 20;
        let mut seconds = |name: &'static str, place: &mut Duration, given: Option<u64>| match given {
            None => {}
            Some(n) if (1..=3_600).contains(&n) => *place = Duration::from_secs(n),
            Some(_) => reasons.push(out_of_range(name, 3_600)),
        };
        seconds("head_seconds", &mut limits.head, raw.limits.head_seconds);
        seconds("body_seconds", &mut limits.body, raw.limits.body_seconds);
        seconds("write_seconds", &mut limits.write, raw.limits.write_seconds);
        seconds("wait_seconds", &mut limits.wait, raw.limits.wait_seconds);
        seconds("grace_seconds", &mut limits.grace, raw.limits.grace_seconds);
        Refused::unless(reasons, config)
    }
}

fn out_of_range(name: &'static str, most: u64) -> Refusal {
    Refusal::new("input/config", format!("取值为 1 到 {most}"), format!("must be from 1 to {most}")).at(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_and_its_bounds() {
        let base = Path::new("/etc/yunei");
        let text = "listen = \"0.0.0.0:8443\"\ndata = \"/srv/data\"\n[tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n\
            client_ca = \"ca.pem\"\nclient_required = true\n[limits]\nruns = 4\nbody_seconds = 3600\n";
        let config = Config::parse(text, base).unwrap();
        assert_eq!(config.listen.port(), 8443);
        assert_eq!(config.tls.unwrap().certificate, Path::new("/etc/yunei/a.pem"));
        assert_eq!((config.limits.runs, config.limits.body), (4, Duration::from_secs(3600)));
        assert_eq!(Config::parse("", base).unwrap().listen, Config::default().listen);

        let faults = |text: &str| Config::parse(text, base).unwrap_err().reasons().len();
        assert_eq!(faults("[limits]\nruns = 0\nbody_seconds = 3601\n"), 2);
        assert_eq!(faults("[tls]\ncertificate = \"a\"\nkey = \"b\"\nclient_required = true\n"), 1);
        assert_eq!(faults("port = 80"), 1);
        assert_eq!(faults("listen = "), 1);
    }
}
