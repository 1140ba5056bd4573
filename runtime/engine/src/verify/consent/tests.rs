use super::*;
use crate::registry::Issuer;
use proptest::prelude::*;
use yunei_policy::Text;

fn signer(algorithm: ConsentAlgorithm) -> ConsentSigner {
    ConsentSigner::from_pem("bureau", &ConsentSigner::generate(algorithm).unwrap()).unwrap()
}

fn issuers(signer: &ConsentSigner, state: State) -> Issuers {
    let key = signer.public();
    Issuers::new(vec![Issuer {
        kid: "bureau".into(),
        title: Text::new("局", "bureau"),
        algorithm: key.algorithm().as_str().into(),
        public_key: key.bytes().to_vec(),
        state,
    }])
}

fn identity() -> BTreeMap<String, String> {
    [("id_number", "11010519491231002X"), ("name", "张三")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

fn terms() -> ConsentTerms {
    ConsentTerms {
        domain: "d".into(),
        business: "b".into(),
        product: "p".into(),
        purpose: "u".into(),
        uses: 2,
        issued: 1_000,
        expires: 2_000,
    }
}

fn part(value: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn both_algorithms_sign_and_verify() {
    for algorithm in [ConsentAlgorithm::EdDsa, ConsentAlgorithm::Es256] {
        let signer = signer(algorithm);
        let token = signer.sign(&terms(), &identity()).unwrap();
        let genuine = issuers(&signer, State::Approved).read(&token).unwrap();
        assert_eq!(genuine.consent.subject, consent_subject(&genuine.consent.nonce, &identity()));
        assert_eq!((genuine.consent.uses, genuine.consent.expires), (2, 2_000));
        assert!(issuers(&signer, State::Suspended).read(&token).is_err());
        assert!(issuers(&self::signer(algorithm), State::Approved).read(&token).is_err());
        let key = signer.public();
        assert_eq!(ConsentKey::from_pem(&key.to_pem()).unwrap(), key);
    }
}

#[test]
fn the_commitment_sees_through_every_dress_and_hides_the_subject() {
    let of = |id: &str, name: &str| {
        let fields = [("id_number", id), ("name", name)].map(|(k, v)| (k.to_owned(), v.to_owned()));
        consent_subject("n", &fields.into())
    };
    let plain = of("11010519491231002X", "张三");
    for (id, name) in
        [("11010519491231002x", "张 三"), ("１１０１０５１９４９１２３１００２Ｘ", "张三"), ("110105491231002", "张三")]
    {
        assert_eq!(of(id, name), plain, "{id} {name}");
    }
    assert_ne!(of("11010519491231002X", "张四"), plain);
    assert_ne!(consent_subject("m", &identity()), consent_subject("n", &identity()));
}

#[test]
fn the_algorithm_is_the_keys() {
    let ed = signer(ConsentAlgorithm::EdDsa);
    let known = issuers(&ed, State::Approved);
    let token = ed.sign(&terms(), &identity()).unwrap();
    let payload = token.split('.').nth(1).unwrap();
    let header = |alg: &str| part(&serde_json::json!({ "alg": alg, "kid": "bureau", "typ": TOKEN_TYPE }));
    // Without a signature.
    assert!(known.read(&format!("{}.{payload}.", header("none"))).is_err());
    // The public key taken for a secret (RFC 8725, section 2.1).
    let forged = format!("{}.{payload}", header("HS256"));
    for secret in [ed.public().bytes().to_vec(), ed.public().to_pem().into_bytes()] {
        let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret), forged.as_bytes());
        assert!(known.read(&format!("{forged}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))).is_err());
    }
    // Signed anew under another name of the algorithm: the signature is right, the name is not the key's.
    for alg in ["ES256", "RS256", "eddsa", "Ed25519", ""] {
        let signed = format!("{}.{payload}", header(alg));
        let Pair::EdDsa(pair) = &ed.pair else { panic!("Ed25519") };
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()).as_ref());
        assert!(known.read(&format!("{signed}.{signature}")).is_err(), "{alg}");
    }
}

#[test]
fn malformed_tokens_are_one_refusal() {
    let ed = signer(ConsentAlgorithm::EdDsa);
    let known = issuers(&ed, State::Approved);
    let token = ed.sign(&terms(), &identity()).unwrap();
    let resigned = |header: serde_json::Value, payload: String| {
        let signed = format!("{}.{payload}", part(&header));
        let Pair::EdDsa(pair) = &ed.pair else { panic!("Ed25519") };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()).as_ref()))
    };
    let header = || serde_json::json!({ "alg": "EdDSA", "kid": "bureau", "typ": TOKEN_TYPE });
    let payload = token.split('.').nth(1).unwrap().to_owned();
    assert!(known.read(&resigned(header(), payload.clone())).is_ok());
    let mut wrong = vec![
        String::new(),
        ".".into(),
        "..".into(),
        format!("{token}."),
        format!("{token}="),
        format!(" {token}"),
        token.replace('.', ".."),
        token[..token.len() - 1].to_owned(),
        "a".repeat(MAX_TOKEN_BYTES + 1),
    ];
    for (name, value) in [
        ("typ", serde_json::json!("JWT")),
        ("kid", serde_json::json!("other")),
        ("crit", serde_json::json!(["x"])),
        ("jwk", serde_json::json!({})),
        ("alg", serde_json::json!(null)),
    ] {
        let mut changed = header();
        changed[name] = value;
        wrong.push(resigned(changed, payload.clone()));
    }
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(&payload).unwrap()).unwrap();
    for (from, to) in [
        ("\"uses\":2", "\"uses\":-1"),
        ("\"uses\":2", "\"uses\":2,\"uses\":3"),
        ("\"uses\":2", "\"uses\":2.0"),
        ("\"uses\":2,", ""),
        ("\"uses\":2", "\"uses\":2,\"admin\":true"),
        ("\"exp\":2000", "\"exp\":99999999999999999999"),
    ] {
        let changed = claims.replace(from, to);
        assert_ne!(changed, claims);
        wrong.push(resigned(header(), URL_SAFE_NO_PAD.encode(changed)));
    }
    let one = known.read("x").err().unwrap();
    for token in wrong {
        assert_eq!(known.read(&token).err().as_ref(), Some(&one), "{token}");
    }
}

#[test]
fn keys_are_read_strictly() {
    let pem = signer(ConsentAlgorithm::Es256).public().to_pem();
    assert!(ConsentKey::from_pem(&format!("\n{pem}\n")).is_ok());
    for wrong in [
        String::new(),
        pem.replace("PUBLIC", "PRIVATE"),
        pem.replacen('M', "N", 1),
        pem[..60].to_owned(),
        format!("{pem}{}", "x".repeat(5_000)),
        ConsentSigner::generate(ConsentAlgorithm::EdDsa).unwrap(),
    ] {
        assert_eq!(ConsentKey::from_pem(&wrong).unwrap_err().codes(), ["input/public-key"]);
    }
    assert_eq!(ConsentSigner::from_pem("k", &pem).unwrap_err().codes(), ["input/signing-key"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_token_is_genuine(at in 0usize..2_000, byte in 0u8..=127, cut in 0usize..2_000) {
        static KIT: std::sync::OnceLock<(Issuers, String)> = std::sync::OnceLock::new();
        let (known, token) = KIT.get_or_init(|| {
            let signer = signer(ConsentAlgorithm::EdDsa);
            let token = signer.sign(&terms(), &identity()).unwrap();
            (issuers(&signer, State::Approved), token)
        });
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        if bytes[at] != byte {
            bytes[at] = byte;
            prop_assert!(known.read(&String::from_utf8(bytes).unwrap()).is_err());
        }
        prop_assert!(known.read(&token[..cut % token.len()]).is_err());
    }
}
