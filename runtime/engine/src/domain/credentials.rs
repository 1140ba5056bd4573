//! Tokens and keys: how an institution that is not at the domain's machine shows who it is.
//!
//! A token is 256 random bits, told once; the store keeps its SHA-256. It expires, is good for its scopes alone, and is
//! revoked at once: every request looks it up.

use super::{Domain, fresh_id};
use crate::dates::format_instant;
use crate::error::DomainError;
use crate::home::random_seed;
use crate::pipeline::authorise_repeat;
use crate::registry::{Digest, NewToken, SigningKeyRecord, Token};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use yunei_policy::authorise::{Action, Resource, Scopes};
use yunei_policy::words::{Role, State};
use yunei_policy::{Refusal, Refused};

/// What a token begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "yunei_";
/// At most how many days a token is good.
pub const MAX_TOKEN_DAYS: u32 = 400;
/// At most how long a label is, in characters.
const MAX_LABEL: usize = 80;
/// At most how many tokens or keys an institution has that were not revoked.
const MAX_CREDENTIALS: usize = 200;

/// Who sends a request: proof that a valid token came with it. Made by [`Domain::authenticate`] alone.
///
/// ```compile_fail,E0451
/// fn forge() -> yunei_engine::domain::Caller { yunei_engine::domain::Caller { token: String::new(), ..unreachable!() } }
/// ```
pub struct Caller {
    institution: String,
    role: Role,
    token: String,
    scopes: Scopes,
}

impl Caller {
    /// The institution.
    pub fn institution(&self) -> &str {
        &self.institution
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The public id of the token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What the token is good for.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("token", &self.token).finish_non_exhaustive()
    }
}

/// What came with a request to show who sent it: the digests of a token and of a client certificate. It proves nothing
/// before it is looked up.
#[derive(Clone)]
pub struct Credential {
    token: Digest,
    certificate: Option<Digest>,
}

impl Credential {
    /// Of a token's secret and, where the connection came with one, the SHA-256 of a client certificate.
    ///
    /// # Errors
    /// `credential/unknown` where it is no token of ours by its form.
    pub fn read(secret: &str, certificate: Option<[u8; 32]>) -> Result<Self, DomainError> {
        if secret.len() > 128 || !secret.starts_with(PREFIX) {
            return Err(unknown_credential());
        }
        Ok(Self { token: Digest::of(secret.as_bytes()), certificate: certificate.map(Digest::from_bytes) })
    }

    /// The digest of the token.
    pub(crate) fn token(&self) -> &Digest {
        &self.token
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

pub(crate) fn unknown_credential() -> DomainError {
    credential("credential/unknown", "令牌无效", "the token is not known")
}

/// Whether a token that was found is good now, with what came beside it.
fn check_token(token: &Token, shown: &Credential, now: i64) -> Result<(), DomainError> {
    if token.revoked_at.is_some() {
        return Err(credential("credential/revoked", "令牌已被吊销", "the token was revoked"));
    }
    if now >= token.expires_at {
        return Err(credential("credential/expired", "令牌已过期", "the token has expired"));
    }
    if token.certificate.is_some() && token.certificate != shown.certificate {
        return Err(credential(
            "credential/certificate",
            "该令牌须与其绑定的客户端证书一同使用",
            "the token has to come with the client certificate that it is bound to",
        ));
    }
    Ok(())
}

/// A token that was let in to verify, over a picture of the registry: who it is, and what has to be looked at every time.
pub(crate) struct Admitted {
    caller: Arc<Caller>,
    token: Token,
}

impl Admitted {
    /// Who it is, where the token is good now and with this certificate.
    pub(crate) fn check(&self, shown: &Credential, now: i64) -> Result<Arc<Caller>, DomainError> {
        check_token(&self.token, shown, now)?;
        Ok(Arc::clone(&self.caller))
    }
}

/// A token that is asked for.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// Whose it is to be.
    pub institution: String,
    /// What people call it.
    pub label: String,
    /// What it is to be good for.
    pub scopes: Scopes,
    /// For how many days.
    pub days: u32,
    /// SHA-256 of the client certificate that has to come with it, 64 hexadecimal digits (RFC 8705, section 3).
    pub certificate: Option<String>,
}

/// A token that was issued. This is the only time that its secret is told.
pub struct IssuedToken {
    /// Its public id.
    pub id: String,
    /// What is sent as `Authorization: Bearer`.
    pub secret: String,
    /// Until when it is good.
    pub expires_at: String,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A token as it is listed: everything but its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenView {
    /// Its public id.
    pub id: String,
    /// Whose it is.
    pub institution: String,
    /// What people call it.
    pub label: String,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// SHA-256 of the client certificate that has to come with it.
    pub certificate: Option<String>,
    /// Who issued it.
    pub issued_by: String,
    /// When.
    pub issued_at: String,
    /// Until when it is good.
    pub expires_at: String,
    /// Since when it is not good any more.
    pub revoked_at: Option<String>,
}

/// A signing key as it is listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyView {
    /// The SHA-256 of the public key: the `keyid` of a signature.
    pub id: String,
    /// Whose it is.
    pub institution: String,
    /// What people call it.
    pub label: String,
    /// The public key, Ed25519, base64.
    pub public_key: String,
    /// Who added it.
    pub added_by: String,
    /// When.
    pub added_at: String,
    /// Since when nothing signed with it is taken.
    pub retired_at: Option<String>,
}

impl Domain {
    /// Who sends a request with this token, over a connection with this client certificate (its SHA-256).
    ///
    /// # Errors
    /// `credential/unknown`, `credential/revoked`, `credential/expired`, `credential/certificate`.
    pub async fn authenticate(&self, secret: &str, certificate: Option<[u8; 32]>) -> Result<Caller, DomainError> {
        Ok(self.identify(&Credential::read(secret, certificate)?).await?.0)
    }

    async fn identify(&self, shown: &Credential) -> Result<(Caller, Token), DomainError> {
        let token = self.store.token_by_digest(&shown.token).await?.ok_or_else(unknown_credential)?;
        check_token(&token, shown, self.now())?;
        let institution = self.institution(&token.institution).await?;
        let scopes = token.scopes.clone();
        Ok((Caller { institution: institution.id, role: institution.role, token: token.id.clone(), scopes }, token))
    }

    /// Who asks a verification product, let in by its token and the policies.
    ///
    /// Thousands ask in a second: what was found once holds as long as the registry's picture does
    /// (`verify::standing`). A question carries its credential on, and is charged only under the picture that is the
    /// registry's own at that moment: a token that is revoked meanwhile asks nothing any more.
    ///
    /// # Errors
    /// Those of [`Domain::authenticate`] and [`Domain::admit`].
    pub async fn admit_verifier(&self, shown: &Credential) -> Result<Arc<Caller>, DomainError> {
        self.verifying.admit(self, shown).await
    }

    /// Whether an answer that was given to a verification may be told once more, to whoever shows this credential. No
    /// charge stands behind it under which [`Domain::admit_verifier`] would be asked again: so all is asked now, as for
    /// the question itself, but for uses that are left.
    ///
    /// # Errors
    /// Those of [`Domain::admit_verifier`]; every reason why the product may not be asked now.
    pub async fn may_repeat(&self, shown: &Credential, product: &str, purpose: &str) -> Result<(), DomainError> {
        let caller = self.verifying.admit_now(self, shown).await?;
        let (record, product) = self.product_record(product).await?;
        authorise_repeat(self, &record, &product, Action::Verify, &caller.institution, purpose).await
    }

    /// Looks a credential up in the registry and asks the policies.
    pub(crate) async fn admitted(&self, shown: &Credential) -> Result<Admitted, DomainError> {
        let (caller, token) = self.identify(shown).await?;
        self.admit(&caller, Action::Verify).await?;
        Ok(Admitted { caller: Arc::new(caller), token })
    }

    /// Whether a caller may do something, as far as its token's scopes and the policies over the interface go. What is
    /// done to a thing is asked again where it is done.
    ///
    /// # Errors
    /// `authorise/scope`; every reason of the policies.
    pub async fn admit(&self, caller: &Caller, action: Action) -> Result<(), DomainError> {
        let scope = caller.scopes.cover(action).err();
        let asked = self.authorise(&caller.institution, Action::Connect, Resource::Domain).await;
        let mut reasons: Vec<Refusal> = scope.into_iter().collect();
        match asked {
            Ok(_) => {}
            Err(DomainError::Refused(refused)) => reasons.extend_from_slice(refused.reasons()),
            Err(other) => return Err(other),
        }
        Ok(Refused::unless(reasons, ())?)
    }

    /// Issues a token. Nobody hands out a scope that it does not have itself: `holding` are those of whoever asks.
    ///
    /// # Errors
    /// The reasons why the actor may not; `input/…` where the request is malformed.
    pub async fn issue_token(
        &self,
        actor: &str,
        holding: &Scopes,
        request: &TokenRequest,
    ) -> Result<IssuedToken, DomainError> {
        let mut reasons = Vec::new();
        check_label(&request.label, &mut reasons);
        if !(1..=MAX_TOKEN_DAYS).contains(&request.days) {
            reasons.push(
                Refusal::new(
                    "input/days",
                    format!("令牌的有效期为 1 到 {MAX_TOKEN_DAYS} 天"),
                    format!("a token is good for 1 to {MAX_TOKEN_DAYS} days"),
                )
                .at("days"),
            );
        }
        let certificate = match request.certificate.as_deref().map(str::parse::<Digest>) {
            None => None,
            Some(Ok(digest)) => Some(digest),
            Some(Err(_)) => {
                reasons.push(
                    Refusal::new(
                        "input/certificate",
                        "证书指纹为 64 位小写十六进制的 SHA-256",
                        "a certificate is named by its SHA-256: 64 lower-case hexadecimal digits",
                    )
                    .at("certificate"),
                );
                None
            }
        };
        Refused::unless(reasons, ())?;
        self.ask_for(actor, Action::ManageCredential, &request.institution).await?;
        if !holding.contain(&request.scopes) {
            return Err(Refusal::new(
                "authorise/scope",
                "不能签发超出自身凭据范围的令牌",
                "a token can not be given a scope that its issuer does not hold",
            )
            .into());
        }
        let live = self.store.tokens(Some(&request.institution)).await?;
        let now = self.now();
        check_number(live.iter().filter(|t| t.revoked_at.is_none() && t.expires_at > now).count())?;
        let id = fresh_id("token", now)?;
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random_seed()?));
        let expires_at = now.saturating_add(i64::from(request.days) * 86_400_000);
        let note = self.note(
            "token.issued",
            [
                ("token", id.clone().into()),
                ("institution", request.institution.clone().into()),
                ("scopes", request.scopes.words().into()),
                ("until", expires_at.into()),
                ("by", actor.into()),
            ],
        )?;
        let new = NewToken {
            id: &id,
            digest: Digest::of(secret.as_bytes()),
            institution: &request.institution,
            label: &request.label,
            scopes: &request.scopes,
            certificate,
            issued_by: actor,
            expires_at,
        };
        self.store.add_token(new, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(IssuedToken { id, secret, expires_at: format_instant(expires_at) })
    }

    /// The tokens that an institution may see: its own, and for the authority everybody's.
    ///
    /// # Errors
    /// The reasons why the actor may not.
    pub async fn tokens_for(&self, actor: &str) -> Result<Vec<TokenView>, DomainError> {
        let of = self.credentials_of(actor).await?;
        Ok(self.store.tokens(of.as_deref()).await?.into_iter().map(token_view).collect())
    }

    /// Revokes a token: it opens nothing any more when this returns.
    ///
    /// # Errors
    /// `registry/not-found`, also where it is another institution's; `store/state` where it is revoked already.
    pub async fn revoke_token(&self, actor: &str, id: &str) -> Result<(), DomainError> {
        let absent = || DomainError::not_found("令牌", "token", id);
        let token = self.store.token(id).await.map_err(|_| absent())?;
        if self.ask_for(actor, Action::ManageCredential, &token.institution).await.is_err() {
            self.ask_for(actor, Action::ManageCredential, actor).await?;
            return Err(absent());
        }
        let note = self.note(
            "token.revoked",
            [("token", id.into()), ("institution", token.institution.into()), ("by", actor.into())],
        )?;
        self.store.revoke_token(id, note.at, note.audit()?).await?;
        self.settle_only(note).await
    }

    /// Registers a key with which an institution signs its models: 32 bytes of Ed25519 (RFC 8032), base64.
    ///
    /// # Errors
    /// The reasons why the actor may not; `input/public-key`; `store/exists`, whosever it is.
    pub async fn add_signing_key(
        &self,
        actor: &str,
        institution: &str,
        public_key: &str,
        label: &str,
    ) -> Result<KeyView, DomainError> {
        let mut reasons = Vec::new();
        check_label(label, &mut reasons);
        let bytes = STANDARD.decode(public_key).ok().and_then(|b| <[u8; 32]>::try_from(b).ok());
        if bytes.is_none() {
            reasons.push(
                Refusal::new(
                    "input/public-key",
                    "公钥为 32 字节 Ed25519 公钥的 Base64",
                    "a public key is the base64 of the 32 bytes of an Ed25519 key",
                )
                .at("public_key"),
            );
        }
        let bytes = Refused::unless(reasons, bytes)?.ok_or_else(DomainError::run_failed)?;
        self.ask_for(actor, Action::ManageCredential, institution).await?;
        let live = self.store.signing_keys(Some(institution)).await?;
        check_number(live.iter().filter(|k| k.retired_at.is_none()).count())?;
        let note = self.note(
            "key.added",
            [("key", Digest::of(&bytes).to_string().into()), ("institution", institution.into()), ("by", actor.into())],
        )?;
        let id = self.store.add_signing_key(&bytes, institution, label, actor, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(key_view(self.store.signing_key(&id).await?))
    }

    /// The signing keys that an institution may see.
    ///
    /// # Errors
    /// The reasons why the actor may not.
    pub async fn signing_keys_for(&self, actor: &str) -> Result<Vec<KeyView>, DomainError> {
        let of = self.credentials_of(actor).await?;
        Ok(self.store.signing_keys(of.as_deref()).await?.into_iter().map(key_view).collect())
    }

    /// Retires a signing key.
    ///
    /// # Errors
    /// `registry/not-found`, also where it is another institution's; `store/state` where it is retired already.
    pub async fn retire_signing_key(&self, actor: &str, id: &str) -> Result<(), DomainError> {
        let absent = || DomainError::not_found("签名密钥", "signing key", id);
        let digest: Digest = id.parse().map_err(|_| absent())?;
        let key = self.store.signing_key(&digest).await.map_err(|_| absent())?;
        if self.ask_for(actor, Action::ManageCredential, &key.institution).await.is_err() {
            self.ask_for(actor, Action::ManageCredential, actor).await?;
            return Err(absent());
        }
        let note = self
            .note("key.retired", [("key", id.into()), ("institution", key.institution.into()), ("by", actor.into())])?;
        self.store.retire_signing_key(&digest, note.at, note.audit()?).await?;
        self.settle_only(note).await
    }

    /// Whose credentials an institution may see: `None` for everybody's, else its own.
    async fn credentials_of(&self, actor: &str) -> Result<Option<String>, DomainError> {
        self.ask_for(actor, Action::ManageCredential, actor).await?;
        Ok(if self.ask(actor, Action::ReadInstitution).await.is_ok() { None } else { Some(actor.to_owned()) })
    }

    /// Ties an idempotency key to a run; see [`crate::registry::Claim`].
    ///
    /// # Errors
    /// `store/limit` where the key is malformed.
    pub async fn claim(
        &self,
        caller: &Caller,
        name: &str,
        request: &[u8],
        run: &str,
    ) -> Result<crate::registry::Claim, DomainError> {
        Ok(self.store.claim(&caller.institution, name, &Digest::of(request), run, self.now()).await?)
    }

    /// Whether the domain can be used: its store answers and its log takes entries.
    pub async fn is_ready(&self) -> bool {
        !self.log.is_stopped() && self.store.institution("").await.is_err_and(|e| !e.is_fatal())
    }

    /// Where an institution stands, for its own information.
    ///
    /// # Errors
    /// `registry/not-found`.
    pub async fn standing(&self, caller: &Caller) -> Result<State, DomainError> {
        Ok(self.institution(&caller.institution).await?.state)
    }
}

fn credential(code: &'static str, zh: &str, en: &str) -> DomainError {
    Refusal::new(code, zh, en).hint("请向本机构管理员或数据主管部门申请令牌", "ask for a token").into()
}

fn check_label(label: &str, reasons: &mut Vec<Refusal>) {
    if label.chars().count() > MAX_LABEL || label.chars().any(char::is_control) {
        reasons.push(
            Refusal::new(
                "input/label",
                format!("名称最多 {MAX_LABEL} 个字符，不含控制字符"),
                format!("a label is at most {MAX_LABEL} characters, none of them a control character"),
            )
            .at("label"),
        );
    }
}

fn check_number(live: usize) -> Result<(), DomainError> {
    if live < MAX_CREDENTIALS {
        return Ok(());
    }
    Err(Refusal::new(
        "credential/too-many",
        format!("一个机构最多 {MAX_CREDENTIALS} 个有效凭据"),
        format!("an institution has at most {MAX_CREDENTIALS} credentials in force"),
    )
    .hint("请先吊销不用的凭据", "revoke those that are not used")
    .into())
}

fn token_view(token: Token) -> TokenView {
    TokenView {
        id: token.id,
        institution: token.institution,
        label: token.label,
        scopes: token.scopes.words().into_iter().map(str::to_owned).collect(),
        certificate: token.certificate.map(|d| d.to_string()),
        issued_by: token.issued_by,
        issued_at: format_instant(token.issued_at),
        expires_at: format_instant(token.expires_at),
        revoked_at: token.revoked_at.map(format_instant),
    }
}

fn key_view(key: SigningKeyRecord) -> KeyView {
    KeyView {
        id: key.id.to_string(),
        institution: key.institution,
        label: key.label,
        public_key: STANDARD.encode(key.public_key),
        added_by: key.added_by,
        added_at: format_instant(key.added_at),
        retired_at: key.retired_at.map(format_instant),
    }
}
