//! How things stand: a picture of what the registry says of products, grants and issuers, as of one generation.
//!
//! A verification reads nothing from the store but through here. Every change of the registry makes the generation greater,
//! and the writer compares the picture's with the store's inside the transaction that charges: what was decided over an old
//! picture is decided again.

use super::check::{Resolution, resolve};
use super::consent::Issuers;
use super::index::{Builder, Index, IndexKey, Origin};
use super::source::fill;
use crate::catalogue::verify_unchanged;
use crate::dates::format_instant;
use crate::digest::sha256_parts;
use crate::domain::{Admitted, Caller, Credential, Domain, Resolved};
use crate::error::DomainError;
use crate::pipeline::authorise_use;
use crate::product::{Body, Product};
use crate::registry::{self, Digest, RestsOn};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use yunei_policy::Refusal;
use yunei_policy::authorise::{Action, Policies};

/// A picture of the registry.
pub(super) struct Standing {
    pub(super) generation: i64,
    pub(super) issuers: Issuers,
    products: Mutex<HashMap<String, Arc<Asked>>>,
    verdicts: Mutex<HashMap<(String, String, String), Verdict>>,
    /// Tokens that were let in, by their digests, and the policies that let them in.
    admitted: Mutex<HashMap<Digest, LetIn>>,
}

/// Who was let in, and by which policies.
type LetIn = (Arc<Policies>, Arc<Admitted>);

/// A product that can be asked.
pub(super) struct Asked {
    pub(super) record: registry::Product,
    pub(super) product: Product,
    pub(super) resolution: Arc<Resolution>,
    pub(super) index: Index,
    /// What it rests on.
    pub(super) rests_on: Vec<RestsOn>,
    /// What a receipt says of the data and the models.
    pub(super) datasets: Value,
    pub(super) models: Value,
    /// The digest of the rules under which it was resolved.
    pub(super) rules: String,
    /// As of when the data is.
    pub(super) as_of: String,
}

impl Asked {
    /// What it rests on, as the registry keeps it.
    pub(super) fn sources_json(&self) -> String {
        let all: Vec<[&str; 3]> = self.rests_on.iter().map(|s| [s.kind, &s.id, &s.version]).collect();
        serde_json::to_string(&all).unwrap_or_default()
    }
}

/// That an institution may ask a product for a purpose, under a grant, from and until when.
#[derive(Clone)]
struct Verdict {
    /// The policies that were asked: others are asked anew.
    policies: Arc<Policies>,
    grant: String,
    from: i64,
    until: i64,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Standing {
    /// Takes a new picture. The generation is read first: what changes meanwhile is noticed.
    pub(super) async fn take(domain: &Domain) -> Result<Self, DomainError> {
        let generation = domain.store.generation().await?;
        let issuers = Issuers::new(domain.store.issuers().await?);
        Ok(Self {
            generation,
            issuers,
            products: Mutex::default(),
            verdicts: Mutex::default(),
            admitted: Mutex::default(),
        })
    }

    /// Who shows a credential, let in under this picture. The registry and the policies are asked once per token; that it
    /// has not expired and comes with its certificate is looked at every time.
    pub(super) async fn admit(&self, domain: &Domain, shown: &Credential) -> Result<Arc<Caller>, DomainError> {
        let policies = domain.policies();
        let known = locked(&self.admitted).get(shown.token()).filter(|(p, _)| Arc::ptr_eq(p, &policies)).cloned();
        let admitted = match known {
            Some((_, admitted)) => admitted,
            None => {
                let admitted = Arc::new(domain.admitted(shown).await?);
                // Tokens of the registry alone come here, so that the registry's bound on them is this table's.
                locked(&self.admitted).insert(*shown.token(), (policies, Arc::clone(&admitted)));
                admitted
            }
        };
        admitted.check(shown, domain.now())
    }

    /// The grant under which an institution may ask a product. The policies are asked once per institution, product and
    /// purpose; their answer holds as long as nothing changes and the grant's period lasts.
    pub(super) async fn grant(
        &self,
        domain: &Domain,
        record: &registry::Product,
        product: &Product,
        institution: &str,
        purpose: &str,
    ) -> Result<String, DomainError> {
        let now = domain.now();
        let key = (institution.to_owned(), product.id().to_owned(), purpose.to_owned());
        let policies = domain.policies();
        let holds = |v: &&Verdict| (v.from..v.until).contains(&now) && Arc::ptr_eq(&v.policies, &policies);
        if let Some(verdict) = locked(&self.verdicts).get(&key).filter(holds) {
            return Ok(verdict.grant.clone());
        }
        let (_, grant) = authorise_use(domain, record, product, Action::Verify, institution, purpose).await?;
        let id = grant.ok_or_else(|| {
            Refusal::new(
                "authorise/no-grant",
                "该机构未获得此数据产品的授权",
                "the institution has no grant for this product",
            )
        })?;
        let grant = domain.store.grant(&id).await?;
        let until = grant.until_millis.min(domain.lapse_of(product, &id).await?);
        let verdict = Verdict { policies, grant: id.clone(), from: grant.from_millis, until };
        locked(&self.verdicts).insert(key, verdict);
        Ok(id)
    }

    /// Forgets what was decided for an institution: its grant is used up.
    pub(super) fn forget(&self, institution: &str, product: &str, purpose: &str) {
        locked(&self.verdicts).remove(&(institution.to_owned(), product.to_owned(), purpose.to_owned()));
    }

    /// A product with its index, where it was asked before under this picture.
    pub(super) fn asked(&self, id: &str) -> Option<Arc<Asked>> {
        locked(&self.products).get(id).cloned()
    }

    /// A product with its index, which is made where it is not there.
    pub(super) async fn load(
        &self,
        domain: &Domain,
        record: registry::Product,
        product: Product,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<Arc<Asked>, DomainError> {
        let turn = domain.verifying.turn(product.id());
        let _turn = turn.lock().await;
        if let Some(asked) = self.asked(product.id()) {
            return Ok(asked);
        }
        let Body::Verification(verification) = product.body() else { return Err(not_verification().into()) };
        let resolved = domain.resolve(&product).await?;
        let resolution = Arc::new(resolve(verification, &resolved.sources, &domain.rules)?);
        let version = newest(domain, &resolved).await?;
        let index = open_or_build(domain, &product, &resolved, &resolution, &version, progress).await?;
        let asked = Arc::new(Asked {
            rests_on: resolved.rests_on(),
            datasets: resolved.describe_datasets(),
            models: resolved.describe_models(),
            rules: crate::digest::sha256_hex(domain.rules.text().as_bytes()),
            as_of: format_instant(version.registered_at),
            record,
            product,
            resolution,
            index,
        });
        locked(&self.products).insert(asked.product.id().to_owned(), Arc::clone(&asked));
        Ok(asked)
    }
}

/// The refusal of a product that is no verification.
pub(super) fn not_verification() -> Refusal {
    Refusal::new(
        "verify/not-verification",
        "这是聚合产品，请用 yunei run",
        "this is an aggregate product: use yunei run",
    )
}

async fn newest(domain: &Domain, resolved: &Resolved) -> Result<registry::DatasetVersion, DomainError> {
    let (id, number, _) = resolved.versions.first().ok_or_else(DomainError::run_failed)?;
    Ok(domain.store.dataset_version(id, *number).await?)
}

/// The origin, key and place of a product's index.
pub(super) fn place(
    domain: &Domain,
    product: &Product,
    resolved: &Resolved,
    version: &registry::DatasetVersion,
) -> (Origin, [u8; 32], PathBuf) {
    let source = format!("{}\n{}", resolved.describe_datasets(), resolved.describe_models());
    let origin = Origin {
        product: sha256_parts("yunei/index-product/1", &[product.text().as_bytes()]),
        source: sha256_parts("yunei/index-source/1", &[source.as_bytes()]),
        version: version.number,
        as_of: version.registered_at,
    };
    let salt = domain.home.salt("index");
    let key = sha256_parts("yunei/index-key/1", &[&salt, &origin.product, &origin.source]);
    // The spelling of fields is part of what an index is made of: another release may spell otherwise.
    let name =
        sha256_parts("yunei/index-name/1", &[&origin.product, &origin.source, env!("CARGO_PKG_VERSION").as_bytes()]);
    let path = domain.home.path("index").join(product.id()).join(format!("{}.index", hex::encode(&name[..16])));
    (origin, key, path)
}

async fn open_or_build(
    domain: &Domain,
    product: &Product,
    resolved: &Resolved,
    resolution: &Arc<Resolution>,
    version: &registry::DatasetVersion,
    mut progress: impl FnMut(u64, u64) + Send + 'static,
) -> Result<Index, DomainError> {
    let (origin, key, path) = place(domain, product, resolved, version);
    let open = {
        let path = path.clone();
        move || Index::open(&path, IndexKey::new(&key), &origin)
    };
    if let Some(index) = blocking(open.clone()).await? {
        return Ok(index);
    }
    let folder = path.parent().map(std::path::Path::to_owned).ok_or_else(unavailable)?;
    std::fs::create_dir_all(&folder).map_err(|e| DomainError::io("index", &e))?;
    let files = version.files.clone();
    let unchanged = move || verify_unchanged(&files);
    blocking(unchanged.clone()).await??;
    let rows = version.rows;
    let builder = Builder::new(IndexKey::new(&key), origin, rows, &folder).map_err(|e| DomainError::io("index", &e))?;
    let builder = fill(builder, IndexKey::new(&key), &resolved.sources, resolution, &domain.runtime, move |done| {
        progress(done, rows)
    })
    .await
    .map_err(|_| unavailable())?;
    // A file that was changed while it was read makes no index.
    blocking(unchanged).await??;
    let into = path.clone();
    blocking(move || builder.finish(&into)).await?.map_err(|e| DomainError::io("index", &e))?;
    let index = blocking(open).await?.ok_or_else(unavailable)?;
    // What is answered from now on is of this version: older ones are not kept.
    let older = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for old in older.filter(|p| *p != path) {
        let _ = std::fs::remove_file(old);
    }
    Ok(index)
}

fn unavailable() -> DomainError {
    DomainError::Unavailable(
        Refusal::new(
            "verify/source-unavailable",
            "核验数据源暂不可用",
            "the data of this verification is not available now",
        )
        .hint("请稍后再试，或联系数据主管部门", "try again later, or contact the data authority"),
    )
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, DomainError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| unavailable())
}
