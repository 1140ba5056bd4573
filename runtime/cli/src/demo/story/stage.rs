//! What has to be there before anything can be asked: data, a domain, models, products, grants.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use yunei_engine::registry::{Agreement, Digest};
use yunei_engine::{Clock, Domain, GrantRequest};
use yunei_policy::rules::RuleSet;
use yunei_policy::words::State;

use super::{Ground, SEED, Stage, Stop};
use crate::demo::assets::{self, Asset, ModelAsset};
use crate::demo::data::{self, METER_MONTHS, Sizes};
use crate::term::{Mark, Term, count};

/// The name under which the log is signed.
const DOMAIN: &str = "yunnan.example/demo";

/// How long the grants of the demo last, milliseconds.
const GRANTED_FOR: i64 = 365 * 24 * 3_600 * 1_000;
/// What stands for the document of the agreement that a grant rests on.
const AGREEMENT: &str = "安全承诺书、开放利用协议（示例）";

/// Writes the three tables and their entries.
pub(super) fn write_files(term: &mut Term, ground: &Ground, sizes: Sizes) -> Result<(), Stop> {
    let folder = ground.data();
    let people = sizes.residents();
    let bar = term.bar(term.pick("生成居民", "Making residents"), people);
    data::residents(&folder.join("residents.parquet"), people, SEED, &mut |done, _| bar.set(done))?;
    bar.done();
    let bar = term.bar(term.pick("生成用电记录", "Making meter readings"), sizes.metered() * METER_MONTHS);
    let path = folder.join("electricity.parquet");
    data::electricity(&path, people, sizes.metered(), SEED, &mut |done, _| bar.set(done))?;
    bar.done();
    let bar = term.bar(term.pick("生成企业", "Making enterprises"), sizes.enterprises());
    let path = folder.join("enterprises.parquet");
    data::enterprises(&path, sizes.enterprises(), SEED, &mut |done, _| bar.set(done))?;
    bar.done();
    for asset in [assets::RESIDENTS, assets::ELECTRICITY, assets::ENTERPRISES] {
        ground.write(".", asset)?;
    }
    Ok(())
}

/// A new domain, with the shipped rules but for a small budget per product, so that it can be seen to run out.
pub(super) async fn create(ground: &Ground) -> Result<Domain, Stop> {
    let clock: Clock = Arc::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
    });
    let rules = RuleSet::default().text().replace("\nproduct = 10.0", "\nproduct = 1.5");
    Ok(Domain::create(&ground.home(), DOMAIN, Some(&rules), clock).await?)
}

/// The holder registers the datasets, the authority publishes them.
pub(super) async fn register(stage: &mut Stage<'_>) -> Result<(), Stop> {
    let heading = stage.term.pick("登记数据", "Datasets").to_owned();
    stage.term.heading(&heading);
    let sizes = stage.sizes;
    for (file, rows) in [
        (assets::RESIDENTS.file, sizes.residents()),
        (assets::ELECTRICITY.file, sizes.metered() * METER_MONTHS),
        (assets::ENTERPRISES.file, sizes.enterprises()),
    ] {
        let bar = stage.term.bar(stage.term.pick("核对数据与目录", "Checking data against the entry"), rows);
        let path = stage.ground.data().join(file);
        let submitted = stage.domain.register_dataset("holder", &path, move |done, _| bar.set(done)).await?;
        if submitted.state == State::Submitted {
            stage.domain.set_dataset_state("authority", &submitted.id, State::Approved).await?;
        }
        let line = format!("{}  {}", submitted.id, count(submitted.rows.unwrap_or(rows)));
        stage.term.item(Mark::Done, &line);
        stage.report.done(&format!("register {}", submitted.id), "published");
    }
    Ok(())
}

/// The operator hands in the model and the products; the authority approves and grants them.
pub(super) async fn approve(stage: &mut Stage<'_>) -> Result<(), Stop> {
    let heading = stage.term.pick("模型与产品", "Model and products").to_owned();
    stage.term.heading(&heading);
    let reference = approve_model(stage, assets::CREDIT_RISK).await?;
    let line = stage.term.pick("模型已提交、检查、批准：", "Model submitted, checked, approved: ").to_owned();
    stage.term.item(Mark::Done, &format!("{line}{reference}"));
    stage.report.done(&format!("approve {reference}"), "approved");
    for (asset, institution) in [
        (assets::RISK_BY_CITY, "operator"),
        (assets::ELECTRICITY_BY_RISK, "operator"),
        (assets::LOW_RISK, "business"),
        (assets::EDUCATION_VERIFIED, "business"),
    ] {
        let id = approve_product(stage, asset, institution).await?;
        let line = stage.term.pick("产品已批准并授权：", "Product approved and granted: ").to_owned();
        stage.term.item(Mark::Done, &format!("{line}{id} → {institution}"));
        stage.report.done(&format!("approve {id}"), "granted");
    }
    Ok(())
}

/// Submits and approves a model; its `id@version`.
pub(super) async fn approve_model(stage: &Stage<'_>, model: ModelAsset) -> Result<String, Stop> {
    let folder = Path::new("models").join(model.id);
    let folder = folder.to_string_lossy();
    stage.ground.write(&folder, model.module)?;
    let manifest = stage.ground.write(&folder, model.manifest)?;
    let submitted = stage.domain.submit_model("operator", &manifest).await?;
    stage.domain.set_model_state("authority", &submitted.id, State::Approved).await?;
    Ok(submitted.id)
}

/// Submits a product, has the holder consent and the authority register and grant it; its id.
pub(super) async fn approve_product(stage: &Stage<'_>, asset: Asset, institution: &str) -> Result<String, Stop> {
    let manifest = stage.ground.write("products", asset)?;
    let submitted = stage.domain.submit_product("operator", &manifest).await?;
    stage.domain.consent("holder", &submitted.id, true, "").await?;
    stage.domain.set_product_state("authority", &submitted.id, State::Approved).await?;
    let now = stage.domain.now();
    let grant = GrantRequest {
        institution: institution.to_owned(),
        product: submitted.id.clone(),
        purposes: Vec::new(),
        from_millis: now - 1_000,
        until_millis: now + GRANTED_FOR,
        max_runs: None,
    };
    let term = yunei_policy::register::Term { from_millis: grant.from_millis, until_millis: grant.until_millis };
    let agreement = Agreement { digest: Digest::of(AGREEMENT.as_bytes()), term };
    stage.domain.grant_under("authority", &grant, agreement).await?;
    Ok(submitted.id)
}
