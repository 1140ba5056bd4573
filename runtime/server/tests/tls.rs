//! TLS, client certificates, and tokens that are bound to one.

#![allow(clippy::unwrap_used)]

mod common;

use common::{House, codes};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use yunei_policy::Lang;
use yunei_server::client::Client;
use yunei_server::config::Tls;

struct Papers {
    folder: tempfile::TempDir,
}

impl Papers {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        for name in ["server", "bank", "other"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &ca).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
            std::fs::write(
                folder.path().join(format!("{name}.sha256")),
                hex::encode(ring::digest::digest(&ring::digest::SHA256, certificate.der())),
            )
            .unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tls(&self, required: bool) -> Tls {
        Tls {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: Some(self.path("ca.pem")),
            client_required: required,
        }
    }

    fn client(&self, house: &House, token: &str, identity: Option<&str>) -> Client {
        let pair = identity.map(|n| (self.path(&format!("{n}.pem")), self.path(&format!("{n}.key"))));
        let pair: Option<(&Path, &Path)> = pair.as_ref().map(|(c, k)| (c.as_path(), k.as_path()));
        let url = format!("https://localhost:{}", house.address.port());
        Client::new(&url, token, Lang::En, Some(&self.path("ca.pem")), pair).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_bound_to_a_certificate() {
    let papers = Papers::new();
    let tls = papers.tls(false);
    let house = House::new(30, |config| config.tls = Some(tls)).await;
    let authority = papers.client(&house, &house.root, None);
    let print = std::fs::read_to_string(papers.path("bank.sha256")).unwrap();
    let new = json!({ "institution": "business", "scopes": ["read"], "days": 1, "certificate": print });
    let issued: Value = authority.post("/v1/tokens", &new).await.unwrap();
    let token = issued["token"].as_str().unwrap();
    let who: Value = papers.client(&house, token, Some("bank")).get("/v1/whoami").await.unwrap();
    assert_eq!(who["institution"], "business");
    for identity in [None, Some("other")] {
        let refused = papers.client(&house, token, identity).get::<Value>("/v1/whoami").await;
        assert_eq!(codes(refused), ["credential/certificate"]);
    }
    // Plain HTTP on a TLS port gets nothing.
    assert_eq!(common::raw(house.address, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.find("HTTP/1.1"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_required_there_is_no_way_in_without() {
    let papers = Papers::new();
    let tls = papers.tls(true);
    let house = House::new(30, |config| config.tls = Some(tls)).await;
    let refused = papers.client(&house, &house.root, None).get::<Value>("/v1/whoami").await;
    assert_eq!(codes(refused), ["server/unreachable"]);
    let _: Value = papers.client(&house, &house.root, Some("other")).get("/v1/whoami").await.unwrap();
    // One that another authority signed.
    let strange = Papers::new();
    let pair = (strange.path("bank.pem"), strange.path("bank.key"));
    let url = format!("https://localhost:{}", house.address.port());
    let client =
        Client::new(&url, &house.root, Lang::En, Some(&papers.path("ca.pem")), Some((&pair.0, &pair.1))).unwrap();
    assert_eq!(codes(client.get::<Value>("/v1/whoami").await), ["server/unreachable"]);
}
