//! Tokens and keys: what opens, what does not, and what is written of it.

#![allow(clippy::unwrap_used)]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::World;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use yunei_engine::domain::{ModelUpload, PAYLOAD_TYPE, TokenRequest, pre_authentication, statement};
use yunei_engine::registry::Subject;
use yunei_engine::{Clock, Domain, DomainError};
use yunei_policy::authorise::{Action, Scopes};

const DAY: i64 = 86_400_000;

fn codes<T: std::fmt::Debug>(result: Result<T, DomainError>) -> Vec<&'static str> {
    result.unwrap_err().reasons().iter().map(|r| r.code()).collect()
}

fn wanted(institution: &str, scopes: &[&str], days: u32) -> TokenRequest {
    TokenRequest {
        institution: institution.into(),
        label: "测试 test".into(),
        scopes: Scopes::parse(scopes.iter().copied()).unwrap(),
        days,
        certificate: None,
    }
}

async fn domain(folder: &tempfile::TempDir) -> (Domain, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(1_795_392_000_000));
    let shown = Arc::clone(&now);
    let clock: Clock = Arc::new(move || shown.load(Ordering::SeqCst));
    (Domain::create(&folder.path().join("home"), "test.example/domain", None, clock).await.unwrap(), now)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_until_it_expires_or_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let (domain, now) = domain(&folder).await;
    let all = Scopes::all();
    let token = domain.issue_token("authority", &all, &wanted("operator", &["read", "use"], 1)).await.unwrap();
    let caller = domain.authenticate(&token.secret, None).await.unwrap();
    assert_eq!((caller.institution(), caller.token()), ("operator", token.id.as_str()));
    domain.admit(&caller, Action::Run).await.unwrap();
    assert_eq!(codes(domain.admit(&caller, Action::SubmitModel).await), ["authorise/scope"]);

    // Neither the store nor the log holds the secret.
    let home = folder.path().join("home");
    for file in ["store.sqlite", "store.sqlite-wal"] {
        let bytes = std::fs::read(home.join(file)).unwrap_or_default();
        assert!(!bytes.windows(token.secret.len()).any(|w| w == token.secret.as_bytes()), "{file}");
    }
    assert!(!format!("{token:?} {caller:?}").contains(&token.secret));

    now.fetch_add(DAY - 1, Ordering::SeqCst);
    domain.authenticate(&token.secret, None).await.unwrap();
    now.fetch_add(1, Ordering::SeqCst);
    assert_eq!(codes(domain.authenticate(&token.secret, None).await), ["credential/expired"]);

    let token = domain.issue_token("authority", &all, &wanted("operator", &["read"], 400)).await.unwrap();
    assert_eq!(codes(domain.revoke_token("business", &token.id).await), ["registry/not-found"]);
    domain.revoke_token("operator", &token.id).await.unwrap();
    assert_eq!(codes(domain.authenticate(&token.secret, None).await), ["credential/revoked"]);
    assert_eq!(codes(domain.revoke_token("operator", &token.id).await), ["store/state"]);
    for wrong in ["", "yunei_", "yunei_AAAA", &token.secret[1..], &format!("{}A", token.secret), &"y".repeat(5_000)] {
        assert_eq!(codes(domain.authenticate(wrong, None).await), ["credential/unknown"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hands_out_more_than_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (domain, _) = domain(&folder).await;
    let some = Scopes::parse(["admin", "read"]).unwrap();
    let asked = domain.issue_token("operator", &some, &wanted("operator", &["read", "use"], 1)).await;
    assert_eq!(codes(asked), ["authorise/scope"]);
    domain.issue_token("operator", &some, &wanted("operator", &["read"], 1)).await.unwrap();
    let asked = domain.issue_token("operator", &some, &wanted("business", &["read"], 1)).await;
    assert_eq!(codes(asked), ["authorise/not-yours"]);
    // Who may not ask about others is not told whether they exist.
    let asked = domain.issue_token("operator", &some, &wanted("nobody", &["read"], 1)).await;
    assert_eq!(codes(asked), ["authorise/role"]);
    for days in [0, 401] {
        let asked = domain.issue_token("authority", &some, &wanted("operator", &["read"], days)).await;
        assert_eq!(codes(asked), ["input/days"]);
    }
    let mut odd = wanted("operator", &["read"], 1);
    odd.label = "a\nb".into();
    odd.certificate = Some("xyz".into());
    assert_eq!(codes(domain.issue_token("authority", &some, &odd).await), ["input/label", "input/certificate"]);

    assert_eq!(domain.tokens_for("operator").await.unwrap().len(), 1);
    assert_eq!(domain.tokens_for("business").await.unwrap().len(), 0);
    assert_eq!(domain.tokens_for("authority").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_needs_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (domain, _) = domain(&folder).await;
    let mut bound = wanted("business", &["use"], 1);
    bound.certificate = Some(hex::encode([7; 32]));
    let token = domain.issue_token("authority", &Scopes::all(), &bound).await.unwrap();
    domain.authenticate(&token.secret, Some([7; 32])).await.unwrap();
    for other in [None, Some([8; 32])] {
        assert_eq!(codes(domain.authenticate(&token.secret, other).await), ["credential/certificate"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_institution_is_let_in_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (domain, _) = domain(&folder).await;
    let token = domain.issue_token("authority", &Scopes::all(), &wanted("holder", &["read"], 1)).await.unwrap();
    let holder = Subject::Institution("holder".into());
    domain.suspend("authority", &holder, "测试").await.unwrap();
    let caller = domain.authenticate(&token.secret, None).await.unwrap();
    for action in Action::ALL {
        let refused = codes(domain.admit(&caller, action).await);
        assert!(refused.contains(&"authorise/institution-state"), "{action:?}: {refused:?}");
    }
    assert_eq!(codes(domain.resume("operator", &holder, "测试").await), ["authorise/role"]);
    domain.resume("authority", &holder, "测试").await.unwrap();
    domain.admit(&caller, Action::ReadCatalogue).await.unwrap();
}

struct Author {
    pair: Ed25519KeyPair,
    keyid: String,
}

impl Author {
    fn new() -> Self {
        let bytes = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap();
        let keyid = hex::encode(ring::digest::digest(&ring::digest::SHA256, pair.public_key().as_ref()));
        Self { pair, keyid }
    }

    fn public(&self) -> String {
        STANDARD.encode(self.pair.public_key())
    }

    fn envelope(&self, payload: &serde_json::Value) -> String {
        let payload = payload.to_string();
        let sig = self.pair.sign(&pre_authentication(PAYLOAD_TYPE, payload.as_bytes()));
        serde_json::json!({
            "payloadType": PAYLOAD_TYPE,
            "payload": STANDARD.encode(payload),
            "signatures": [{ "keyid": self.keyid, "sig": STANDARD.encode(sig) }],
        })
        .to_string()
    }
}

const MANIFEST: &str = "[model]\nid = \"half\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"half.wat\"\n\
    [[feature]]\nname = \"age\"\ntype = \"f64\"\n[output]\nmin = 0.0\nmax = 100.0\nstep = 0.5\ndefault = 0.0\n";
const MODULE: &str =
    r#"(module (func (export "score") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5))))"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_model_comes_with_a_signature_that_fits_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (domain, _) = domain(&folder).await;
    let (author, stranger) = (Author::new(), Author::new());
    domain.add_signing_key("operator", "operator", &author.public(), "构建机").await.unwrap();
    domain.add_signing_key("business", "business", &stranger.public(), "").await.unwrap();
    assert_eq!(codes(domain.add_signing_key("business", "business", &author.public(), "").await), ["store/exists"]);
    assert_eq!(codes(domain.add_signing_key("operator", "operator", "AAAA", "").await), ["input/public-key"]);

    let said = |domain: &str, institution: &str, model: &str, manifest: &str, module: &str| {
        statement(domain, institution, model, manifest.as_bytes(), module.as_bytes())
    };
    let right = said("test.example/domain", "operator", "half@1.0.0", MANIFEST, MODULE);
    let upload = |envelope: String| ModelUpload { manifest: MANIFEST.into(), module: MODULE.into(), envelope };
    let tries = [
        (
            author.envelope(&said("other.example/domain", "operator", "half@1.0.0", MANIFEST, MODULE)),
            "signature/statement",
        ),
        (
            author.envelope(&said("test.example/domain", "another", "half@1.0.0", MANIFEST, MODULE)),
            "signature/statement",
        ),
        (
            author.envelope(&said("test.example/domain", "operator", "half@1.0.1", MANIFEST, MODULE)),
            "signature/statement",
        ),
        (
            author.envelope(&said("test.example/domain", "operator", "half@1.0.0", MANIFEST, "(module)")),
            "signature/statement",
        ),
        (stranger.envelope(&right), "signature/unknown-key"),
        (Author::new().envelope(&right), "signature/unknown-key"),
        (author.envelope(&right).replace(&author.keyid, &stranger.keyid), "signature/unknown-key"),
        (Author { keyid: author.keyid.clone(), ..Author::new() }.envelope(&right), "signature/wrong"),
        (author.envelope(&right).replace("in-toto", "other"), "input/envelope"),
        ("{}".into(), "input/envelope"),
        ("[".repeat(60_000), "input/envelope"),
    ];
    for (envelope, code) in tries {
        assert_eq!(codes(domain.upload_model("operator", upload(envelope)).await), [code]);
    }
    assert!(domain.models().await.unwrap().is_empty(), "nothing was written");
    let business = domain.upload_model("business", upload(author.envelope(&right))).await;
    assert_eq!(codes(business), ["authorise/role"]);

    let taken = domain.upload_model("operator", upload(author.envelope(&right))).await.unwrap();
    assert_eq!(taken.id, "half@1.0.0");
    // The same signature once more.
    assert_eq!(codes(domain.upload_model("operator", upload(author.envelope(&right))).await), ["store/exists"]);

    domain.retire_signing_key("operator", &author.keyid).await.unwrap();
    let manifest = MANIFEST.replace("1.0.0", "2.0.0");
    let next = said("test.example/domain", "operator", "half@2.0.0", &manifest, MODULE);
    let next = ModelUpload { manifest, module: MODULE.into(), envelope: author.envelope(&next) };
    assert_eq!(codes(domain.upload_model("operator", next).await), ["signature/retired-key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_changed_by_the_authority_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (domain, _) = domain(&folder).await;
    let file = folder.path().join("home/policy/policies.cedar");
    let shipped = std::fs::read_to_string(&file).unwrap();
    domain.ask("business", Action::ReadCatalogue).await.unwrap();
    let closed = format!(
        "{shipped}\n@code(\"authorise/denied\") @zh(\"目录暂停开放\") @en(\"the catalogue is closed\") @hint_zh(\"请稍后\") \
         @hint_en(\"later\") forbid (principal, action == Action::\"ReadCatalogue\", resource) \
         when {{ principal.role == \"business\" }};"
    );
    assert_eq!(codes(domain.change_policies("operator", &closed).await), ["authorise/role"]);
    assert_eq!(codes(domain.change_policies("authority", "permit (").await), ["policies/malformed"]);
    // A set under which nobody could put another into force would close the domain for good.
    for lockout in ["", "permit (principal, action == Action::\"Connect\", resource);"] {
        assert_eq!(codes(domain.change_policies("authority", lockout).await), ["policies/lockout"]);
    }
    let size = domain.log().size();
    domain.change_policies("authority", &closed).await.unwrap();
    assert_eq!(domain.log().entry(size).unwrap().kind(), "policies.changed");
    assert_eq!(codes(domain.ask("business", Action::ReadCatalogue).await), ["authorise/denied"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), closed);
    let home = folder.path().join("home");
    domain.close().await;
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    assert_eq!(codes(domain.ask("business", Action::ReadCatalogue).await), ["authorise/denied"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_keep_to_the_entry_and_not_to_the_data() {
    let world = World::new(30).await;
    std::fs::remove_file(world.folder.path().join("people.parquet")).unwrap();
    let rows = world.domain.sample("operator", "people", 200, 1).await.unwrap();
    assert_eq!(rows.len(), 200);
    for row in &rows {
        assert!(common::CITIES.contains(&row["city"].as_str().unwrap()));
        assert!((0..=120).contains(&row["age"].as_i64().unwrap()));
        assert!(row["id"].as_str().unwrap().starts_with("id-"));
    }
    assert_eq!(world.domain.sample("operator", "people", 200, 1).await.unwrap(), rows);
    assert_ne!(world.domain.sample("operator", "people", 200, 2).await.unwrap(), rows);
    assert_eq!(codes(world.domain.sample("operator", "nothing", 1, 1).await), ["registry/not-found"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_named_from_afar_stay_in_their_folder() {
    let world = World::new(30).await;
    let root = world.folder.path().join("data");
    std::fs::create_dir(&root).unwrap();
    std::fs::copy(world.folder.path().join("people.parquet"), root.join("inside.parquet")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(world.folder.path().join("people.parquet"), root.join("link.parquet")).unwrap();
    let entry = std::fs::read_to_string(world.folder.path().join("people.toml")).unwrap();
    let outside = world.folder.path().join("people.parquet").display().to_string();
    let register = |file: String| {
        let text = entry.replace("people.parquet", &file).replace("\"people\"", "\"folk\"");
        let domain = &world.domain;
        let root = root.clone();
        async move { domain.register_dataset_under("holder", &text, &root).await }
    };
    for file in [
        "../people.parquet",
        outside.as_str(),
        "./inside.parquet",
        "link.parquet",
        "sub/../inside.parquet",
        "*.parquet",
    ] {
        let refused = codes(register(file.to_owned()).await);
        assert!(refused.iter().all(|c| ["catalogue/path", "catalogue/bad-path"].contains(c)), "{file}: {refused:?}");
    }
    assert!(world.domain.dataset("folk").await.is_err(), "nothing was written");
    assert_eq!(register("inside.parquet".to_owned()).await.unwrap().rows, Some(30));
}
