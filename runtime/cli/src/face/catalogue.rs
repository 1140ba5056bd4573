//! Institutions, grants, budgets, datasets, models, products.

use super::{DAY, Face, Items, Submitted, read_text, unexpected};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use yunei_engine::domain::{
    BudgetView, Checkup, DatasetView, GrantView, InstitutionView, ModelView, ProductBudget, ProductView,
};
use yunei_engine::product::Product;
use yunei_engine::registry::{Agreement, Digest};
use yunei_engine::{DomainError, GrantRequest, Submission, TimingView};
use yunei_policy::Text;
use yunei_policy::register::Term;
use yunei_policy::words::{Office, Role, State};
use yunei_server::client::{Method, Sending, escaped};
use yunei_server::schema;

/// An agreement that runs from now on: the digest of its document, and for how many days.
#[derive(Clone, Copy)]
pub(crate) struct Agreed {
    pub(crate) digest: Digest,
    pub(crate) days: i64,
}

impl Agreed {
    pub(super) fn from(self, now: i64) -> Agreement {
        let term = Term { from_millis: now, until_millis: now.saturating_add(self.days.saturating_mul(DAY)) };
        Agreement { digest: self.digest, term }
    }
}

impl Face {
    pub(crate) async fn institutions(&self) -> Result<Vec<InstitutionView>, DomainError> {
        match self {
            Face::Local(domain) => domain.institutions().await,
            Face::Remote(remote) => remote.client.list("/v1/institutions").await,
        }
    }

    pub(crate) async fn add_institution(
        &self,
        actor: &str,
        id: &str,
        role: Role,
        title: &Text,
    ) -> Result<(), DomainError> {
        match self {
            Face::Local(domain) => domain.add_institution(actor, id, role, title).await,
            Face::Remote(remote) => {
                let body = json!({ "id": id, "role": role, "title": title });
                remote.client.post::<Value>("/v1/institutions", &body).await.map(drop)
            }
        }
    }

    pub(crate) async fn grants(&self) -> Result<Vec<GrantView>, DomainError> {
        match self {
            Face::Local(domain) => domain.grants().await,
            Face::Remote(remote) => remote.client.list("/v1/grants").await,
        }
    }

    pub(crate) async fn add_grant(
        &self,
        actor: &str,
        request: &GrantRequest,
        agreed: Option<Agreed>,
    ) -> Result<String, DomainError> {
        let remote = match (self, agreed) {
            (Face::Local(domain), None) => return domain.add_grant(actor, request).await,
            (Face::Local(domain), Some(agreed)) => {
                return domain.grant_under(actor, request, agreed.from(domain.now())).await;
            }
            (Face::Remote(remote), _) => remote,
        };
        let days = request.until_millis.saturating_sub(request.from_millis) / DAY;
        let body = json!({
            "institution": request.institution, "product": request.product, "purposes": request.purposes,
            "days": days, "max_runs": request.max_runs,
            "agreement": agreed.map(|a| json!({ "digest": a.digest, "days": a.days })),
        });
        Ok(remote.client.post::<schema::Created>("/v1/grants", &body).await?.id)
    }

    pub(crate) async fn record_agreement(&self, actor: &str, grant: &str, agreed: Agreed) -> Result<(), DomainError> {
        match self {
            Face::Local(domain) => {
                let Agreement { digest, term } = agreed.from(domain.now());
                domain.record_agreement(actor, grant, digest, term).await
            }
            Face::Remote(remote) => {
                let body = json!({ "digest": agreed.digest, "days": agreed.days });
                let sending = Sending { body: Some(&body), ..Sending::default() };
                let path = format!("/v1/grants/{}/agreement", escaped(grant));
                remote.client.call(Method::PUT, &path, sending).await.map(drop)
            }
        }
    }

    /// What is left for one product, if an institution runs it: on a server, whoever asks where none is named.
    pub(crate) async fn product_budget(
        &self,
        actor: &str,
        product: &str,
        institution: Option<&str>,
    ) -> Result<ProductBudget, DomainError> {
        match self {
            Face::Local(domain) => domain.product_budget(actor, product, institution.unwrap_or("operator")).await,
            Face::Remote(remote) => {
                let whose = institution.map(|i| format!("?institution={}", escaped(i))).unwrap_or_default();
                remote.client.get(&format!("/v1/products/{}/budget{whose}", escaped(product))).await
            }
        }
    }

    /// Appoints a part of the authority's staff.
    pub(crate) async fn appoint(
        &self,
        actor: &str,
        id: &str,
        office: Office,
        title: &Text,
    ) -> Result<State, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.appoint(actor, id, office, title).await,
            Face::Remote(remote) => remote,
        };
        let body = json!({ "id": id, "role": Role::Authority, "office": office.as_str(), "title": title });
        remote.client.post::<Value>("/v1/institutions", &body).await?;
        let entered: InstitutionView = remote.client.get(&format!("/v1/institutions/{}", escaped(id))).await?;
        Ok(entered.state)
    }

    pub(crate) async fn budgets(&self, actor: &str) -> Result<Vec<BudgetView>, DomainError> {
        match self {
            Face::Local(domain) => domain.budgets(actor).await,
            Face::Remote(remote) => Ok(remote.client.get::<Items<BudgetView>>("/v1/budgets").await?.items),
        }
    }

    pub(crate) async fn datasets(&self) -> Result<Vec<DatasetView>, DomainError> {
        match self {
            Face::Local(domain) => domain.datasets().await,
            Face::Remote(remote) => remote.client.list("/v1/datasets").await,
        }
    }

    pub(crate) async fn dataset(&self, id: &str) -> Result<DatasetView, DomainError> {
        match self {
            Face::Local(domain) => domain.dataset(id).await,
            Face::Remote(remote) => remote.client.get(&format!("/v1/datasets/{}", escaped(id))).await,
        }
    }

    pub(crate) async fn register_dataset(
        &self,
        actor: &str,
        file: &Path,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<Submission, DomainError> {
        match self {
            Face::Local(domain) => domain.register_dataset(actor, file, progress).await,
            Face::Remote(remote) => {
                let body = json!({ "entry": read_text(file)? });
                Ok(remote.client.post::<Submitted>("/v1/datasets", &body).await?.into())
            }
        }
    }

    pub(crate) async fn set_dataset_state(&self, actor: &str, id: &str, to: State) -> Result<State, DomainError> {
        match self {
            Face::Local(domain) => domain.set_dataset_state(actor, id, to).await,
            Face::Remote(remote) => Ok(remote.approve("dataset", id).await?.0),
        }
    }

    pub(crate) async fn models(&self) -> Result<Vec<ModelView>, DomainError> {
        match self {
            Face::Local(domain) => domain.models().await,
            Face::Remote(remote) => remote.client.list("/v1/models").await,
        }
    }

    pub(crate) async fn model(&self, id: &str) -> Result<ModelView, DomainError> {
        match self {
            Face::Local(domain) => domain.model(id).await,
            Face::Remote(remote) => remote.client.get(&format!("/v1/models/{}", escaped(id))).await,
        }
    }

    pub(crate) async fn submit_model(&self, actor: &str, file: &Path) -> Result<Submission, DomainError> {
        match self {
            Face::Local(domain) => domain.submit_model(actor, file).await,
            Face::Remote(remote) => remote.submit_model(file).await,
        }
    }

    pub(crate) async fn set_model_state(&self, actor: &str, id: &str, to: State) -> Result<State, DomainError> {
        match self {
            Face::Local(domain) => domain.set_model_state(actor, id, to).await,
            Face::Remote(remote) => Ok(remote.approve("model", id).await?.0),
        }
    }

    pub(crate) async fn products(&self) -> Result<Vec<ProductView>, DomainError> {
        match self {
            Face::Local(domain) => domain.products().await,
            Face::Remote(remote) => remote.client.list("/v1/products").await,
        }
    }

    pub(crate) async fn product(&self, id: &str) -> Result<(ProductView, Product), DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.product(id).await,
            Face::Remote(remote) => remote,
        };
        let told: Value = remote.client.get(&format!("/v1/products/{}", escaped(id))).await?;
        let text = told["manifest"].as_str().ok_or_else(unexpected)?;
        let product = Product::parse(text).map_err(|_| unexpected())?;
        Ok((serde_json::from_value(told).map_err(|_| unexpected())?, product))
    }

    pub(crate) async fn check_product(&self, file: &Path) -> Result<Checkup, DomainError> {
        match self {
            Face::Local(domain) => domain.check_product(file).await,
            Face::Remote(remote) => {
                remote.client.post("/v1/products/check", &json!({ "manifest": read_text(file)? })).await
            }
        }
    }

    pub(crate) async fn submit_product(&self, actor: &str, file: &Path) -> Result<Submission, DomainError> {
        match self {
            Face::Local(domain) => domain.submit_product(actor, file).await,
            Face::Remote(remote) => {
                let body = json!({ "manifest": read_text(file)? });
                Ok(remote.client.post::<Submitted>("/v1/products", &body).await?.into())
            }
        }
    }

    /// Approves a product, and gives what the time of its runs can tell.
    pub(crate) async fn approve_product(&self, actor: &str, id: &str) -> Result<Option<TimingView>, DomainError> {
        match self {
            Face::Local(domain) => {
                let timing = domain.product_timing(id).await?;
                domain.set_product_state(actor, id, State::Approved).await?;
                Ok(timing)
            }
            Face::Remote(remote) => Ok(remote.approve("product", id).await?.1),
        }
    }

    /// Opens a new budget epoch.
    pub(crate) async fn open_epoch(&self, actor: &str, id: &str) -> Result<u64, DomainError> {
        #[derive(Deserialize)]
        struct Opened {
            epoch: u64,
        }
        match self {
            Face::Local(domain) => domain.open_epoch(actor, id).await,
            Face::Remote(remote) => {
                let path = format!("/v1/datasets/{}/epochs", escaped(id));
                let sending = Sending::default();
                Ok(remote.client.call(Method::POST, &path, sending).await?.json::<Opened>()?.epoch)
            }
        }
    }
}
