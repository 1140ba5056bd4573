//! The inputs of a recorded run, as they are now, compared with the record.

use super::record::{Recorded, RecordedDataset, RecordedModel, RecordedProduct};
use super::report::{ReplayOptions, Step};
use super::{Comparing, Progress};
use crate::catalogue::{DatasetSpec, FileEntry, current_digests};
use crate::domain::{Domain, files_digest};
use crate::error::DomainError;
use crate::plan::{Source, Sources};
use crate::product::{AggregateProduct, Arguments, Body, Product};
use crate::registry::Digest;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use yunei_policy::Text;
use yunei_policy::rules::RuleSet;

/// At most how many changed numbers of the rules are named.
const MAX_NAMED: usize = 16;

/// Everything that a recorded run was made of, found to be as recorded.
pub(super) struct Inputs {
    pub(super) product: Product,
    pub(super) aggregate: AggregateProduct,
    pub(super) arguments: Arguments,
    pub(super) sources: Sources,
    pub(super) rules: RuleSet,
}

impl Inputs {
    /// Compares all inputs; `None` where one differs.
    pub(super) async fn compare(
        domain: &Domain,
        record: &Recorded,
        options: ReplayOptions,
        found: &mut Comparing,
        progress: Progress,
    ) -> Result<Option<Self>, DomainError> {
        let product = product(domain, &record.product, found).and_then(|product| match product.body().clone() {
            Body::Aggregate(aggregate) => Some((product, aggregate)),
            Body::Verification(_) => None,
        });
        if product.is_none() && found.all_same() {
            found.truth(Step::Product, &record.product.id, false);
        }
        let rules = rules(domain, &record.rules, options, found);
        policies(domain, record.policies, options, found);
        let sources = sources(domain, &record.datasets, &record.models, found, progress).await?;
        let arguments = Arguments::recorded(&record.parameters);
        found.truth(Step::Parameters, "", arguments.is_some());
        match (product, rules, arguments) {
            (Some((product, aggregate)), Some(rules), Some(arguments)) if found.all_same() => {
                Ok(Some(Self { product, aggregate, arguments, sources, rules }))
            }
            _ => Ok(None),
        }
    }
}

/// The recorded versions of the data and the models, those that are as recorded.
pub(super) async fn sources(
    domain: &Domain,
    datasets: &[RecordedDataset],
    models: &[RecordedModel],
    found: &mut Comparing,
    mut progress: Progress,
) -> Result<Sources, DomainError> {
    let mut sources = domain.sources();
    for dataset in datasets {
        let (source, back) = compare_dataset(domain, dataset, found, progress).await?;
        progress = back;
        sources.datasets.extend(source);
    }
    for recorded in models {
        sources.models.extend(model(domain, recorded, found).await);
    }
    Ok(sources)
}

/// The manifest of that day, kept under its digest.
pub(super) fn product(domain: &Domain, recorded: &RecordedProduct, found: &mut Comparing) -> Option<Product> {
    let text = domain.files.get(&recorded.digest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let product = text.and_then(|text| Product::parse(&text).ok()).filter(|product| product.id() == recorded.id);
    match &product {
        Some(product) => {
            found.same(Step::Product, &recorded.id, Some(&recorded.digest.to_string()), product.digest());
        }
        None => damaged(domain, Step::Product, &recorded.id, &recorded.digest, found),
    }
    product
}

/// What is kept under a digest is not what it was: names the digest that it has.
fn damaged(domain: &Domain, step: Step, what: &str, digest: &Digest, found: &mut Comparing) {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(domain.files.path(digest))
        .and_then(|file| file.take(crate::registry::MAX_FILE_BYTES).read_to_end(&mut bytes));
    let now = read.map(|_| Digest::of(&bytes).to_string()).unwrap_or_default();
    if now == digest.to_string() {
        found.truth(step, what, false);
    } else {
        found.same(step, what, Some(&digest.to_string()), &now);
    }
    found.note(Text::new("域内留存的文件缺失或已被改动", "the file that the domain keeps is missing or was changed"));
}

pub(super) fn rules(
    domain: &Domain,
    recorded: &Digest,
    options: ReplayOptions,
    found: &mut Comparing,
) -> Option<RuleSet> {
    let now = crate::digest::sha256_hex(domain.rules.text().as_bytes());
    if now == recorded.to_string() {
        found.same(Step::Rules, "", Some(&now), &now);
        return Some(domain.rules.clone());
    }
    let kept = domain.files.get(recorded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let kept = kept.and_then(|text| RuleSet::parse(&text).ok());
    match (kept, options.recorded_policy) {
        (Some(kept), true) => {
            let recorded = recorded.to_string();
            found.same(Step::Rules, "", Some(&recorded), &recorded);
            found.note(Text::new(
                "按当时的规则复核；现行规则已不同",
                "replayed under the rules of that day; others are in force",
            ));
            Some(kept)
        }
        (kept, _) => {
            found.same(Step::Rules, "", Some(&recorded.to_string()), &now);
            if let Some(kept) = kept {
                found.note(changed_numbers(kept.text(), domain.rules.text()));
            }
            None
        }
    }
}

fn policies(domain: &Domain, recorded: Option<Digest>, options: ReplayOptions, found: &mut Comparing) {
    let Some(recorded) = recorded.map(|digest| digest.to_string()) else { return };
    let now = crate::digest::sha256_hex(domain.policies().text().as_bytes());
    if now != recorded && options.recorded_policy {
        found.same(Step::Policies, "", Some(&recorded), &recorded);
        found.note(Text::new("现行授权策略已不同", "other policies are in force now"));
    } else {
        found.same(Step::Policies, "", Some(&recorded), &now);
    }
}

/// Which numbers differ between two rule sets.
fn changed_numbers(recorded: &str, now: &str) -> Text {
    let (recorded, now) = (numbers(recorded), numbers(now));
    let names: std::collections::BTreeSet<&String> = recorded.keys().chain(now.keys()).collect();
    let dash = "–".to_owned();
    let changed: Vec<String> = names
        .into_iter()
        .filter(|name| recorded.get(*name) != now.get(*name))
        .map(|name| format!("{name}: {} → {}", recorded.get(name).unwrap_or(&dash), now.get(name).unwrap_or(&dash)))
        .take(MAX_NAMED)
        .collect();
    if changed.is_empty() {
        return Text::new("只有注释或排版不同", "only comments or layout differ");
    }
    Text::new(changed.join("；"), changed.join("; "))
}

/// The numbers of a rule set by their dotted names.
fn numbers(text: &str) -> BTreeMap<String, String> {
    fn walk(prefix: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
        match value {
            toml::Value::Table(table) => {
                for (name, value) in table {
                    let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    walk(&name, value, into);
                }
            }
            other => {
                into.insert(prefix.to_owned(), other.to_string());
            }
        }
    }
    let mut into = BTreeMap::new();
    if let Ok(table) = toml::from_str::<toml::Table>(text) {
        walk("", &toml::Value::Table(table), &mut into);
    }
    into
}

/// A dataset version: its entry, and every file digested again.
async fn compare_dataset(
    domain: &Domain,
    recorded: &RecordedDataset,
    found: &mut Comparing,
    progress: Progress,
) -> Result<(Option<Source>, Progress), DomainError> {
    let what = format!("{}@{}", recorded.id, recorded.version);
    let version = domain.store.dataset_version(&recorded.id, recorded.version).await.ok();
    let Some((version, spec)) = version.and_then(|v| DatasetSpec::parse(&v.spec_toml).ok().map(|spec| (v, spec)))
    else {
        found.same(Step::Entry, &what, Some(&recorded.entry), "");
        found.note(Text::new("登记库中没有这个版本", "the registry does not have this version"));
        return Ok((None, progress));
    };
    found.same(Step::Entry, &what, Some(&recorded.entry), &spec.digest().to_string());
    let files = version.files.clone();
    let work = tokio::task::spawn_blocking(move || {
        let mut progress = progress;
        (current_digests(&files, &mut *progress), progress)
    });
    let (now, progress) = work.await.map_err(|_| DomainError::run_failed())?;
    let same = compare_files(recorded, &what, &version.files, &now, found);
    let source = Source { spec: Arc::new(spec), files: version.files, epoch: recorded.epoch };
    Ok((same.then_some(source), progress))
}

/// Compares the files on disk with the record; names each that differs by its number.
fn compare_files(
    recorded: &RecordedDataset,
    what: &str,
    registered: &[FileEntry],
    now: &[Option<Digest>],
    found: &mut Comparing,
) -> bool {
    let registered_same = files_digest(registered) == recorded.files;
    // One by one as recorded; of many files the record has only the digest of all, and the registry has the single ones.
    let expected: Option<Vec<String>> = match &recorded.file_digests {
        Some(all) => Some(all.clone()),
        None => registered_same.then(|| registered.iter().map(|file| file.sha256().to_string()).collect()),
    };
    let Some(expected) = expected else {
        found.same(Step::Files, what, Some(&recorded.files), &files_digest(registered));
        return false;
    };
    let shown: Vec<String> = now.iter().map(|digest| digest.map(|d| d.to_string()).unwrap_or_default()).collect();
    if registered_same && shown == expected {
        found.same(Step::Files, what, Some(&recorded.files), &recorded.files);
        return true;
    }
    let nothing = String::new();
    let mut named = false;
    for number in 0..expected.len().max(shown.len()) {
        let (before, after) = (expected.get(number).unwrap_or(&nothing), shown.get(number).unwrap_or(&nothing));
        if before != after {
            let place = format!("{what} file {} of {}", number + 1, expected.len());
            found.same(Step::Files, &place, Some(before), after);
            named = true;
        }
    }
    if !named {
        found.same(Step::Files, what, Some(&recorded.files), &files_digest(registered));
        found.note(Text::new("登记库中的文件清单已被改动", "the registry's list of files was changed"));
    }
    false
}

/// A model: the manifest and module that the registry has for this version now.
async fn model(domain: &Domain, recorded: &RecordedModel, found: &mut Comparing) -> Option<yunei_sandbox::Model> {
    let record = domain.model_record(&recorded.id).await.ok();
    let Some(record) = record else {
        found.same(Step::Module, &recorded.id, Some(&recorded.module), "");
        found.note(Text::new("登记库中没有这个模型", "the registry does not have this model"));
        return None;
    };
    let registered = (record.manifest_digest.to_string(), record.wasm_digest.to_string());
    found.same(Step::Manifest, &recorded.id, recorded.manifest.as_deref(), &registered.0);
    if registered.1 != recorded.module {
        found.same(Step::Module, &recorded.id, Some(&recorded.module), &registered.1);
        return None;
    }
    if domain.files.get(&record.wasm_digest).is_err() {
        damaged(domain, Step::Module, &recorded.id, &record.wasm_digest, found);
        return None;
    }
    match domain.load_model(&record).await {
        Ok(model) => {
            found.same(Step::Module, &recorded.id, Some(&recorded.module), model.digest());
            Some(model)
        }
        Err(_) => {
            damaged(domain, Step::Manifest, &recorded.id, &record.manifest_digest, found);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changed_numbers_are_named() {
        let text = changed_numbers("a = 1\n[b]\nc = 2.0 # x\nd = 3\n", "a = 1\n[b]\nc = 2.5\ne = 4\n");
        assert_eq!(text.en, "b.c: 2.0 → 2.5; b.d: 3 → –; b.e: – → 4");
        assert_eq!(changed_numbers("a = 1", "# y\na = 1").en, "only comments or layout differ");
    }
}
