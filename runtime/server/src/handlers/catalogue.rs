//! Datasets, models, products: read, handed in, moved from state to state.

use super::Page;
use crate::app::App;
use crate::content::{json, json_tagged, page};
use crate::gate::{Answer, Call};
use crate::problem::Problem;
use crate::schema::{ManifestText, ModelCheck, ModelSubmission, NewDataset};
use axum::http::{HeaderValue, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use yunei_engine::Submission;
use yunei_engine::domain::{MAX_SAMPLE_ROWS, ModelUpload};
use yunei_policy::Refusal;
use yunei_policy::authorise::Action;

fn at(mut answer: axum::http::Response<axum::body::Body>, place: &str) -> Answer {
    if let Ok(place) = HeaderValue::from_str(place) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    Ok(answer)
}

fn submitted(kind: &str, submission: &Submission) -> Answer {
    let answer = json(
        StatusCode::CREATED,
        &json!({
            "id": submission.id, "version": submission.version, "rows": submission.rows, "state": submission.state,
        }),
    )?;
    at(answer, &format!("/v1/{kind}/{}", submission.id))
}

/// The datasets of the catalogue.
#[utoipa::path(get, path = "/v1/datasets", tag = "catalogue", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::DatasetPage)))]
pub(crate) async fn datasets(app: Arc<App>, call: Call) -> Answer {
    app.domain.ask(call.actor()?, Action::ReadCatalogue).await?;
    let asked = Page::of(&call)?;
    let all = app.domain.datasets().await?;
    json_tagged(&call.headers, &page(all, |d| d.id.clone(), asked.cursor.as_deref(), asked.limit as usize))
}

/// One dataset.
#[utoipa::path(get, path = "/v1/datasets/{id}", tag = "catalogue", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::Dataset)))]
pub(crate) async fn dataset(app: Arc<App>, call: Call) -> Answer {
    app.domain.ask(call.actor()?, Action::ReadCatalogue).await?;
    json_tagged(&call.headers, &app.domain.dataset(call.path("id")?).await?)
}

/// The versions of a dataset, newest first.
#[utoipa::path(get, path = "/v1/datasets/{id}/versions", tag = "catalogue",
    params(("id" = String, Path), crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::VersionPage)))]
pub(crate) async fn versions(app: Arc<App>, call: Call) -> Answer {
    let asked = Page::of(&call)?;
    let before = match asked.cursor.as_deref().map(str::parse::<u64>) {
        None => None,
        Some(Ok(number)) => Some(number),
        Some(Err(_)) => return Err(Problem::malformed("input/page", "游标不正确", "that is no cursor of this list")),
    };
    let versions = app.domain.versions_for(call.actor()?, call.path("id")?, before, asked.limit).await?;
    let next = versions.last().map(|v| v.number).filter(|n| *n > 1).map(|n| n.to_string());
    json_tagged(&call.headers, &json!({ "items": versions, "next": next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleQuery {
    rows: Option<u32>,
    seed: Option<u64>,
}

/// Synthetic rows, drawn from what the entry declares and never from data.
#[utoipa::path(get, path = "/v1/datasets/{id}/sample", tag = "catalogue", params(("id" = String, Path),
    ("rows" = Option<u32>, Query, description = "How many; 10 where nothing is said.", minimum = 1, maximum = 1000),
    ("seed" = Option<u64>, Query, description = "The same seed gives the same rows.", minimum = 0)), responses(
    (status = 200, body = crate::schema::Sample)))]
pub(crate) async fn sample(app: Arc<App>, call: Call) -> Answer {
    let query: SampleQuery = call.query()?;
    let rows = query.rows.unwrap_or(10);
    if !(1..=MAX_SAMPLE_ROWS).contains(&rows) {
        return Err(Problem::malformed("input/rows", "行数为 1 到 1000", "rows is from 1 to 1000"));
    }
    let rows = app.domain.sample(call.actor()?, call.path("id")?, rows, query.seed.unwrap_or(0)).await?;
    json_tagged(&call.headers, &json!({ "synthetic": true, "rows": rows }))
}

/// Registers a dataset, or a new version of it. The data stays where it is: the entry names files under the data folder
/// that the server was configured with.
#[utoipa::path(post, path = "/v1/datasets", tag = "catalogue", request_body = NewDataset, responses(
    (status = 201, body = crate::schema::Submitted)))]
pub(crate) async fn register_dataset(app: Arc<App>, call: Call) -> Answer {
    let new: NewDataset = call.json()?;
    let Some(root) = app.config.data.clone() else {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            Refusal::new(
                "dataset/no-data-folder",
                "本服务未配置数据文件夹，不能通过网络登记数据集",
                "this server has no data folder: datasets are registered at the domain's machine",
            )
            .hint("请在服务配置中指定 data", "name the folder `data` in the server's configuration"),
        ));
    };
    submitted("datasets", &app.domain.register_dataset_under(call.actor()?, &new.entry, &root).await?)
}

/// Opens a new budget epoch of a dataset.
#[utoipa::path(post, path = "/v1/datasets/{id}/epochs", tag = "catalogue", params(("id" = String, Path)), responses(
    (status = 201, body = crate::schema::Epoch)))]
pub(crate) async fn open_epoch(app: Arc<App>, call: Call) -> Answer {
    let id = call.path("id")?;
    let epoch = app.domain.open_epoch(call.actor()?, id).await?;
    json(StatusCode::CREATED, &json!({ "dataset": id, "epoch": epoch }))
}

/// The models of the registry.
#[utoipa::path(get, path = "/v1/models", tag = "catalogue", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::ModelPage)))]
pub(crate) async fn models(app: Arc<App>, call: Call) -> Answer {
    app.domain.ask(call.actor()?, Action::ReadCatalogue).await?;
    let asked = Page::of(&call)?;
    let all = app.domain.models().await?;
    json_tagged(&call.headers, &page(all, |m| m.id.clone(), asked.cursor.as_deref(), asked.limit as usize))
}

/// One model, as `id@version`, with the verifier's report.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "catalogue", params(("id" = String, Path, description = "`id@version`")),
    responses((status = 200, body = crate::schema::Model)))]
pub(crate) async fn model(app: Arc<App>, call: Call) -> Answer {
    app.domain.ask(call.actor()?, Action::ReadCatalogue).await?;
    json_tagged(&call.headers, &app.domain.model(call.path("id")?).await?)
}

fn module(text: &str) -> Result<Vec<u8>, Problem> {
    STANDARD.decode(text).map_err(|_| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::new("input/base64", "模块须以 Base64 编码", "the module has to be base64").at("module"),
        )
    })
}

/// Puts a model through the verifier; nothing is stored.
#[utoipa::path(post, path = "/v1/models/check", tag = "catalogue", request_body = ModelCheck, responses(
    (status = 200, body = crate::schema::Checkup)))]
pub(crate) async fn check_model(app: Arc<App>, call: Call) -> Answer {
    let check: ModelCheck = call.json()?;
    let module = module(&check.module)?;
    json(StatusCode::OK, &app.domain.check_model_upload(call.actor()?, check.manifest, module).await?)
}

/// Hands in a model with its author's signature: a DSSE envelope around an in-toto statement that names manifest and module
/// by digest, the model, the institution and the domain.
#[utoipa::path(post, path = "/v1/models", tag = "catalogue", request_body = ModelSubmission, responses(
    (status = 201, body = crate::schema::Submitted)))]
pub(crate) async fn submit_model(app: Arc<App>, call: Call) -> Answer {
    let new: ModelSubmission = call.json()?;
    let module = module(&new.module)?;
    let envelope = serde_json::to_string(&new.envelope).map_err(|_| Problem::internal())?;
    let upload = ModelUpload { manifest: new.manifest, module, envelope };
    submitted("models", &app.domain.upload_model(call.actor()?, upload).await?)
}

/// The products of the registry.
#[utoipa::path(get, path = "/v1/products", tag = "catalogue", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::ProductPage)))]
pub(crate) async fn products(app: Arc<App>, call: Call) -> Answer {
    app.domain.ask(call.actor()?, Action::ReadCatalogue).await?;
    let asked = Page::of(&call)?;
    let all = app.domain.products().await?;
    json_tagged(&call.headers, &page(all, |p| p.id.clone(), asked.cursor.as_deref(), asked.limit as usize))
}

/// One product, with its manifest.
#[utoipa::path(get, path = "/v1/products/{id}", tag = "catalogue", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::ProductWithManifest)))]
pub(crate) async fn product(app: Arc<App>, call: Call) -> Answer {
    app.domain.ask(call.actor()?, Action::ReadCatalogue).await?;
    let (view, product) = app.domain.product(call.path("id")?).await?;
    let mut value = serde_json::to_value(&view).map_err(|_| Problem::internal())?;
    if let Value::Object(fields) = &mut value {
        fields.insert("manifest".to_owned(), product.text().into());
    }
    json_tagged(&call.headers, &value)
}

/// Checks a product without data: what would be refused and why, the charge, the error to expect.
#[utoipa::path(post, path = "/v1/products/check", tag = "catalogue", request_body = ManifestText, responses(
    (status = 200, body = crate::schema::Checkup)))]
pub(crate) async fn check_product(app: Arc<App>, call: Call) -> Answer {
    app.domain.ask(call.actor()?, Action::ReadCatalogue).await?;
    let new: ManifestText = call.json()?;
    json(StatusCode::OK, &app.domain.check_product_text(&new.manifest).await?)
}

/// Hands in a product. What could never run is not taken.
#[utoipa::path(post, path = "/v1/products", tag = "catalogue", request_body = ManifestText, responses(
    (status = 201, body = crate::schema::Submitted)))]
pub(crate) async fn submit_product(app: Arc<App>, call: Call) -> Answer {
    let new: ManifestText = call.json()?;
    submitted("products", &app.domain.submit_product_text(call.actor()?, &new.manifest).await?)
}
