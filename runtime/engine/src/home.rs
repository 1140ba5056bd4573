//! The home folder of a domain: what is where, its lock, its secrets.
//!
//! ```text
//! yunei.toml          name of the domain; witnesses; the address of the store's database
//! LOCK                held by the one process that has the domain open
//! keys/log.key        signs the log          keys/log.vkey   its public half, to be handed out; retired ones below it
//! keys/log.previous.key  signs as well while a key is being replaced (see `logkeys`)
//! keys/domain.key     32 random bytes: commitments
//! policy/             rules.toml, policies.cedar, schema.cedarschema
//! store.sqlite        registry and ledger, unless a database keeps them
//! files/              manifests, modules, releases, by SHA-256
//! artefacts/          compiled models, authenticated with a key derived from keys/domain.key
//! units.idx           numbers of units under disclosure control, by keyed digest
//! log/                the tamper-evident log
//! tmp/                what a query spills; for its owner alone, emptied on open
//! ```

use crate::error::DomainError;
use crate::logkeys::AuditConfig;
use crate::registry::{Hold, Store, StoreUrl};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yunei_audit::SigningKey;
use yunei_policy::authorise::Policies;
use yunei_policy::register::RegisterRules;
use yunei_policy::rules::RuleSet;
use yunei_policy::{Refusal, Refused};

/// At most how long a domain's name may be.
const MAX_NAME: usize = 64;
/// What stands between policies and schema in their common text.
const SCHEMA_LINE: &str = "\n// ---- schema ----\n";

/// A home folder that this process holds.
pub(crate) struct Home {
    root: PathBuf,
    name: String,
    secret: [u8; 32],
    pub(crate) audit: AuditConfig,
    /// The database that keeps the store; the file `store.sqlite` where there is none.
    store: Option<StoreUrl>,
    /// Where a database keeps it: that it is ours. The log agrees with it.
    pub(crate) hold: Option<Arc<Hold>>,
    _lock: File,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    domain: DomainConfig,
    #[serde(default)]
    audit: AuditConfig,
    store: Option<StoreConfig>,
}

/// `[store]` of `yunei.toml`: the address of a database, without a password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreConfig {
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainConfig {
    name: String,
}

impl Home {
    /// Makes a home in an empty or absent folder and takes its lock.
    pub(crate) fn create(
        root: &Path,
        name: &str,
        rules: Option<&str>,
        store: Option<StoreUrl>,
    ) -> Result<(Self, SigningKey), DomainError> {
        check_name(name)?;
        let rules = match rules {
            None => RuleSet::default(),
            Some(text) => RuleSet::parse(text)?,
        };
        let occupied = fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            return Err(Refusal::new("home/exists", "这个文件夹不是空的", "the folder is not empty")
                .at(shown(root))
                .hint(
                    "请指定一个空文件夹，或用 --home 打开已有的域",
                    "name an empty folder, or open the domain there with --home",
                )
                .into());
        }
        let io = |e: std::io::Error| DomainError::io("home", &e);
        for folder in ["keys", "policy", "files", "tmp"] {
            fs::create_dir_all(root.join(folder)).map_err(io)?;
        }
        private_folder(&root.join("keys")).map_err(io)?;
        private_folder(&root.join("tmp")).map_err(io)?;
        let lock = take_lock(root)?;
        let key = SigningKey::generate(name)?;
        key.save(&root.join("keys/log.key"))?;
        write_new(&root.join("keys/log.vkey"), format!("{}\n", key.verifying_key()).as_bytes()).map_err(io)?;
        let mut secret = [0; 32];
        SystemRandom::new().fill(&mut secret).map_err(|_| no_randomness())?;
        write_private(&root.join("keys/domain.key"), &secret).map_err(io)?;
        write_new(&root.join("policy/rules.toml"), rules.text().as_bytes()).map_err(io)?;
        let policies = Policies::default();
        let (text, schema) = policies.text().split_once(SCHEMA_LINE).unwrap_or((policies.text(), ""));
        write_new(&root.join("policy/policies.cedar"), text.as_bytes()).map_err(io)?;
        write_new(&root.join("policy/schema.cedarschema"), schema.as_bytes()).map_err(io)?;
        write_new(&root.join("policy/register.toml"), RegisterRules::default().text().as_bytes()).map_err(io)?;
        // Last: a home without it was never finished and does not open.
        write_new(&root.join("yunei.toml"), config_text(name, store.as_ref()).as_bytes()).map_err(io)?;
        sync_folder(root).map_err(io)?;
        let audit = AuditConfig::default();
        let (root, name) = (root.to_owned(), name.to_owned());
        Ok((Self { root, name, secret, audit, store, hold: None, _lock: lock }, key))
    }

    /// Opens a home and takes its lock.
    pub(crate) fn open(root: &Path) -> Result<(Self, SigningKey), DomainError> {
        let Ok(text) = fs::read_to_string(root.join("yunei.toml")) else {
            return Err(DomainError::NotFound(
                Refusal::new("home/absent", "这里没有域", "there is no domain here").at(shown(root)).hint(
                    "请先运行 yunei init，或用 --home 指明位置",
                    "make one with yunei init, or say where it is with --home",
                ),
            ));
        };
        let config: Config = toml::from_str(&text)
            .map_err(|e| crate::product::toml_refusal("home/malformed", &text, &e))
            .map_err(|r| unavailable(&r))?;
        check_name(&config.domain.name).map_err(|_| {
            DomainError::Unavailable(Refusal::new("home/malformed", "yunei.toml 损坏", "yunei.toml is damaged"))
        })?;
        let lock = take_lock(root)?;
        let key = SigningKey::load(&root.join("keys/log.key"))?;
        let bytes = fs::read(root.join("keys/domain.key")).map_err(|e| DomainError::io("keys/domain.key", &e))?;
        let secret = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| {
            DomainError::Unavailable(Refusal::new(
                "home/malformed",
                "keys/domain.key 损坏",
                "keys/domain.key is damaged",
            ))
        })?;
        let _ = fs::remove_dir_all(root.join("tmp"));
        fs::create_dir_all(root.join("tmp")).map_err(|e| DomainError::io("tmp", &e))?;
        private_folder(&root.join("tmp")).map_err(|e| DomainError::io("tmp", &e))?;
        let store = config.store.map(|store| store_url(&store.url)).transpose()?;
        let (root, name, audit) = (root.to_owned(), config.domain.name, config.audit);
        Ok((Self { root, name, secret, audit, store, hold: None, _lock: lock }, key))
    }

    /// Makes the store, which must not be there yet.
    pub(crate) async fn create_store(&mut self) -> Result<Store, DomainError> {
        let store = match &self.store {
            None => Store::create(&self.path("store.sqlite")).await?,
            Some(url) => Store::create_at(url).await?,
        };
        self.own(store).await
    }

    /// Opens the store, and takes it over where servers on other machines could have it open.
    pub(crate) async fn open_store(&mut self) -> Result<Store, DomainError> {
        let store = match &self.store {
            None => Store::open(&self.path("store.sqlite")).await?,
            Some(url) => Store::open_at(url).await?,
        };
        self.own(store).await
    }

    async fn own(&mut self, store: Store) -> Result<Store, DomainError> {
        store.belongs_to(&hex::encode(self.salt("store"))).await?;
        self.hold_store()?;
        Ok(match &self.hold {
            Some(hold) => store.in_term(hold.term()),
            None => store,
        })
    }

    /// Takes the store over, where a database keeps it. Blocks for as long as that takes.
    pub(crate) fn hold_store(&mut self) -> Result<(), DomainError> {
        if let (Some(url), None) = (&self.store, &self.hold) {
            self.hold = Some(Arc::new(Hold::take(url)?));
        }
        Ok(())
    }

    /// The rules and policies of the home, validated.
    pub(crate) fn policy(&self) -> Result<(RuleSet, Policies), DomainError> {
        let read = |name: &'static str| {
            fs::read_to_string(self.root.join("policy").join(name)).map_err(|e| DomainError::io(name, &e))
        };
        let rules = RuleSet::parse(&read("rules.toml")?).map_err(|r| unavailable(&r))?;
        let policies =
            Policies::parse(&read("policies.cedar")?, &read("schema.cedarschema")?).map_err(|r| unavailable(&r))?;
        Ok((rules, policies))
    }

    /// The schema that policies have to fit.
    pub(crate) fn schema(&self) -> Result<String, DomainError> {
        fs::read_to_string(self.root.join("policy/schema.cedarschema"))
            .map_err(|e| DomainError::io("schema.cedarschema", &e))
    }

    /// Puts other policies in the place of the present ones, whole or not at all.
    pub(crate) fn replace_policies(&self, text: &str) -> Result<(), DomainError> {
        let folder = self.root.join("policy");
        let draft = folder.join(format!("policies.cedar.{}.new", hex::encode(&random_seed()?[..8])));
        let io = |e: std::io::Error| DomainError::io("policies.cedar", &e);
        write_new(&draft, text.as_bytes()).map_err(io)?;
        fs::rename(&draft, folder.join("policies.cedar")).map_err(io)?;
        sync_folder(&folder).map_err(io)
    }

    /// The settings of registers, terms and deadlines; the shipped ones where the home has none of its own.
    pub(crate) fn register(&self) -> Result<RegisterRules, DomainError> {
        match fs::read_to_string(self.root.join("policy/register.toml")) {
            Ok(text) => RegisterRules::parse(&text).map_err(|r| unavailable(&r)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(RegisterRules::default()),
            Err(e) => Err(DomainError::io("register.toml", &e)),
        }
    }

    /// The domain's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
    /// A file or folder of the home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The salt of commitments for one purpose: nobody without the home can recompute them.
    pub(crate) fn salt(&self, purpose: &str) -> [u8; 32] {
        crate::digest::sha256_parts("yunei/salt/1", &[&self.secret, purpose.as_bytes()])
    }
}

/// 32 random bytes from the operating system.
pub(crate) fn random_seed() -> Result<[u8; 32], DomainError> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| no_randomness())?;
    Ok(seed)
}

fn no_randomness() -> DomainError {
    DomainError::Unavailable(Refusal::new("home/randomness", "系统随机数不可用", "the system gives no randomness"))
}

fn unavailable(refused: &Refused) -> DomainError {
    match refused.reasons().first() {
        Some(reason) => DomainError::Unavailable(reason.clone()),
        None => DomainError::run_failed(),
    }
}

/// `yunei.toml` of a new home. An address tells no password.
fn config_text(name: &str, store: Option<&StoreUrl>) -> String {
    let domain = format!("[domain]\nname = \"{name}\"\n");
    match store {
        None => domain,
        Some(url) => format!("{domain}[store]\nurl = {}\n", toml::Value::String(url.public())),
    }
}

/// The address of the store: of the environment's `YUNEI_STORE`, which may have a password, else of `yunei.toml`.
fn store_url(written: &str) -> Result<StoreUrl, DomainError> {
    if let Some(given) = std::env::var("YUNEI_STORE").ok().filter(|text| !text.is_empty()) {
        return Ok(StoreUrl::parse(&given)?);
    }
    let url = StoreUrl::parse(written)?;
    if url.has_password() {
        return Err(DomainError::Unavailable(
            Refusal::new("store/password", "yunei.toml 中不得有密码", "there is a password in yunei.toml")
                .at("store.url")
                .hint(
                    "请删去密码并更换它；改用 PGPASSWORD、~/.pgpass 或 YUNEI_STORE 提供",
                    "take it out and change it; give it by PGPASSWORD, ~/.pgpass or YUNEI_STORE",
                ),
        ));
    }
    Ok(url)
}

fn check_name(name: &str) -> Result<(), DomainError> {
    let fits =
        (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-./_".contains(&b));
    if fits {
        return Ok(());
    }
    Err(Refusal::new(
        "input/domain-name",
        "域名称为 1 到 64 个字母、数字或 - . / _",
        "a domain's name is 1 to 64 letters, digits or - . / _",
    )
    .into())
}

fn take_lock(root: &Path) -> Result<File, DomainError> {
    let path = root.join("LOCK");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|e| DomainError::io("LOCK", &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DomainError::Unavailable(
            Refusal::new("home/busy", "另一个进程正在使用这个域", "another process has this domain open")
                .at(shown(root))
                .hint("请等它结束后再试", "wait until it ends, then try again"),
        )),
        Err(TryLockError::Error(e)) => Err(DomainError::io("LOCK", &e)),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string().chars().take(200).collect()
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn private_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}
