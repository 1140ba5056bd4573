//! The table of all routes: path, method, who may call it, how much it takes, who answers. There is no other way in.

use crate::app::App;
use crate::content::language;
use crate::gate::{self, Answer, Call};
use crate::handlers::{admin, catalogue, health, log, office, proof, requests, standing, uses, verification};
use crate::serve;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::routing::{MethodFilter, on};
use futures::future::BoxFuture;
use std::sync::{Arc, LazyLock};
use yunei_policy::authorise::Action;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, at any time: whether the server lives.
    Health,
    /// Anybody: what is the same for everybody and says nothing of any institution.
    Open,
    /// Whoever sits at the machine: a loopback address.
    Machine,
    /// Who shows a valid token whose scopes cover the action, and whom the policies of the home let in. What is done to a
    /// thing is asked of the policies once more, by the domain, with the facts of that thing.
    Needs(Action),
}

type Handler = fn(Arc<App>, Call) -> BoxFuture<'static, Answer>;

/// One route.
pub struct Route {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Its template.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// At most how many bytes its body has.
    pub most: usize,
    pub(crate) handler: Handler,
}

/// Bodies of a few fields.
const SMALL: usize = 64 << 10;
/// Catalogue entries, manifests of products, policies.
const TEXT: usize = 2 << 20;
/// A thousand subjects with their consents.
const BATCH: usize = 8 << 20;
/// A module of at most 8 MiB in base64, its manifest and its envelope.
const MODULE: usize = 12 << 20;

macro_rules! routes {
    ($($method:literal $path:literal $access:expr, $most:expr, $handler:path;)*) => {
        vec![$(Route {
            method: $method,
            path: $path,
            access: $access,
            most: $most,
            handler: |app, call| Box::pin($handler(app, call)),
        }),*]
    };
}

static TABLE: LazyLock<Vec<Route>> = LazyLock::new(|| {
    use Access::{Health, Machine, Needs, Open};
    use Action::*;
    routes! {
        "GET" "/healthz" Health, 0, health::alive;
        "GET" "/readyz" Health, 0, health::ready;
        "GET" "/metrics" Machine, 0, health::metrics;
        "GET" "/v1/openapi.json" Open, 0, health::openapi;
        "GET" "/v1/docs" Open, 0, health::reader;
        "GET" "/v1/docs/reader.js" Open, 0, health::reader_script;
        "GET" "/v1/docs/reader.css" Open, 0, health::reader_style;
        "GET" "/v1/key" Open, 0, proof::key;
        "GET" "/v1/whoami" Needs(Connect), 0, health::whoami;

        "GET" "/v1/datasets" Needs(ReadCatalogue), 0, catalogue::datasets;
        "POST" "/v1/datasets" Needs(RegisterDataset), TEXT, catalogue::register_dataset;
        "GET" "/v1/datasets/{id}" Needs(ReadCatalogue), 0, catalogue::dataset;
        "GET" "/v1/datasets/{id}/versions" Needs(ReadCatalogue), 0, catalogue::versions;
        "GET" "/v1/datasets/{id}/sample" Needs(ReadCatalogue), 0, catalogue::sample;
        "POST" "/v1/datasets/{id}/state" Needs(Suspend), SMALL, standing::dataset;
        "POST" "/v1/datasets/{id}/withdrawal" Needs(WithdrawDataset), SMALL, standing::withdraw_dataset;
        "POST" "/v1/datasets/{id}/versions/{number}/state" Needs(Suspend), SMALL, standing::version;
        "POST" "/v1/datasets/{id}/versions/{number}/withdrawal" Needs(WithdrawDataset), SMALL, standing::withdraw_version;
        "POST" "/v1/datasets/{id}/epochs" Needs(OpenEpoch), 0, catalogue::open_epoch;
        "POST" "/v1/datasets/{id}/registration" Needs(Renew), 0, office::renew_dataset;

        "GET" "/v1/models" Needs(ReadCatalogue), 0, catalogue::models;
        "POST" "/v1/models" Needs(SubmitModel), MODULE, catalogue::submit_model;
        "POST" "/v1/models/check" Needs(SubmitModel), MODULE, catalogue::check_model;
        "GET" "/v1/models/{id}" Needs(ReadCatalogue), 0, catalogue::model;
        "POST" "/v1/models/{id}/state" Needs(Suspend), SMALL, standing::model;

        "GET" "/v1/products" Needs(ReadCatalogue), 0, catalogue::products;
        "POST" "/v1/products" Needs(SubmitProduct), TEXT, catalogue::submit_product;
        "POST" "/v1/products/check" Needs(ReadCatalogue), TEXT, catalogue::check_product;
        "GET" "/v1/products/{id}" Needs(ReadCatalogue), 0, catalogue::product;
        "POST" "/v1/products/{id}/state" Needs(Suspend), SMALL, standing::product;
        "GET" "/v1/products/{id}/budget" Needs(ReadBudget), 0, uses::product_budget;
        "GET" "/v1/products/{id}/consents" Needs(ReadRegister), 0, office::consents;
        "POST" "/v1/products/{id}/consents" Needs(Consent), SMALL, office::consent;
        "POST" "/v1/products/{id}/registration" Needs(Renew), 0, office::renew_product;
        "POST" "/v1/products/{id}/index" Needs(ReadAudit), 0, verification::index;
        "POST" "/v1/products/{id}/index/audit" Needs(ReadAudit), SMALL, verification::audit_index;

        "GET" "/v1/grants" Needs(ReadGrant), 0, admin::grants;
        "POST" "/v1/grants" Needs(AddGrant), SMALL, admin::add_grant;
        "GET" "/v1/grants/{id}" Needs(ReadGrant), 0, admin::grant;
        "POST" "/v1/grants/{id}/state" Needs(Suspend), SMALL, standing::grant;
        "PUT" "/v1/grants/{id}/agreement" Needs(Renew), SMALL, office::agreement;

        "GET" "/v1/registers" Needs(ReadRegister), 0, office::registers;
        "GET" "/v1/registers/dcat" Needs(ReadRegister), 0, office::dcat;
        "GET" "/v1/registers/lapsing" Needs(ReadRegister), 0, office::lapsing;
        "GET" "/v1/due" Needs(ReadRegister), 0, office::due;
        "GET" "/v1/declines/{kind}/{id}" Needs(ReadRegister), 0, office::decline_reasons;
        "POST" "/v1/declines/{kind}/{id}" Needs(Decline), SMALL, office::decline;

        "GET" "/v1/requests" Needs(ReadRequest), 0, requests::list;
        "POST" "/v1/requests" Needs(FileRequest), SMALL, requests::file;
        "GET" "/v1/requests/{id}" Needs(ReadRequest), 0, requests::one;
        "POST" "/v1/requests/{id}/extension" Needs(AnswerRequest), SMALL, requests::extend;
        "POST" "/v1/requests/{id}/answer" Needs(AnswerRequest), SMALL, requests::answer;

        "GET" "/v1/institutions" Needs(ReadInstitution), 0, admin::institutions;
        "POST" "/v1/institutions" Needs(AddInstitution), SMALL, admin::add_institution;
        "GET" "/v1/institutions/{id}" Needs(ReadInstitution), 0, admin::institution;
        "POST" "/v1/institutions/{id}/state" Needs(Suspend), SMALL, standing::institution;
        "POST" "/v1/institutions/{id}/admission" Needs(AdmitInstitution), 0, office::admit;
        "GET" "/v1/issuers" Needs(ReadCatalogue), 0, verification::issuers;
        "POST" "/v1/issuers" Needs(AddInstitution), SMALL, verification::add_issuer;
        "POST" "/v1/issuers/{id}/state" Needs(Suspend), SMALL, verification::issuer_state;

        "GET" "/v1/tokens" Needs(ManageCredential), 0, admin::tokens;
        "POST" "/v1/tokens" Needs(ManageCredential), SMALL, admin::issue_token;
        "DELETE" "/v1/tokens/{id}" Needs(ManageCredential), 0, admin::revoke_token;
        "GET" "/v1/keys" Needs(ManageCredential), 0, admin::keys;
        "POST" "/v1/keys" Needs(ManageCredential), SMALL, admin::add_key;
        "DELETE" "/v1/keys/{id}" Needs(ManageCredential), 0, admin::retire_key;
        "GET" "/v1/policies" Needs(ReadAudit), 0, admin::policies;
        "PUT" "/v1/policies" Needs(ChangePolicy), TEXT, admin::change_policies;

        "GET" "/v1/runs" Needs(ReadRun), 0, uses::runs;
        "POST" "/v1/runs" Needs(Run), SMALL, uses::run;
        "GET" "/v1/runs/{id}" Needs(ReadRun), 0, uses::run_status;
        "GET" "/v1/runs/{id}/result" Needs(ReadResult), 0, uses::result;
        "GET" "/v1/runs/{id}/receipt" Needs(ReadRun), 0, uses::receipt;
        "POST" "/v1/runs/{id}/replay" Needs(Replay), SMALL, log::replay;
        "POST" "/v1/verifications" Needs(Verify), SMALL, verification::verify;
        "POST" "/v1/verifications/batch" Needs(Verify), BATCH, verification::batch;
        "GET" "/v1/verifications/alarms" Needs(ReadAudit), 0, verification::alarms;
        "POST" "/v1/verifications/resumption" Needs(AddInstitution), SMALL, verification::resume;
        "POST" "/v1/verifications/asked" Needs(ReadRequest), SMALL, verification::asked;
        "GET" "/v1/budgets" Needs(ReadBudget), 0, uses::budgets;

        "GET" "/v1/audit/entries" Needs(ReadAudit), 0, proof::entries;
        "GET" "/v1/audit/entries/{index}" Needs(ReadAudit), 0, proof::entry;
        "GET" "/v1/audit/entries/{index}/proof" Needs(ReadAudit), 0, proof::inclusion;
        "GET" "/v1/audit/consistency" Needs(ReadAudit), 0, proof::consistency;
        "GET" "/v1/audit/search" Needs(ReadAudit), 0, log::search;
        "GET" "/v1/audit/stats" Needs(ReadAudit), 0, log::stats;
        "GET" "/v1/audit/usage" Needs(ReadAudit), 0, log::usage;
        "GET" "/v1/audit/export" Needs(ReadAudit), 0, log::export;
        "GET" "/v1/audit/replayable" Needs(ReadAudit), 0, log::replayable;
        "GET" "/v1/audit/history/{kind}/{id}" Needs(ReadAudit), 0, standing::history;
        "GET" "/v1/audit/releases/{kind}/{id}" Needs(ReadAudit), 0, standing::releases;
        "GET" "/v1/audit/checkpoint" Needs(Connect), 0, proof::checkpoint;
    }
});

/// All routes.
pub fn table() -> &'static [Route] {
    &TABLE
}

fn filter(method: &str) -> MethodFilter {
    match method {
        "POST" => MethodFilter::POST,
        "PUT" => MethodFilter::PUT,
        "DELETE" => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}

/// The table as a router: every route's only service is the gate.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for route in table() {
        let app = Arc::clone(app);
        let service = move |request: Request| {
            let app = Arc::clone(&app);
            async move { gate::pass(app, route, request).await }
        };
        router = router.route(route.path, on(filter(route.method), service));
    }
    let (absent, mismatched) = (Arc::clone(app), Arc::clone(app));
    router
        .fallback(move |request: Request| nothing(Arc::clone(&absent), request, false))
        .method_not_allowed_fallback(move |request: Request| nothing(Arc::clone(&mismatched), request, true))
}

async fn nothing(app: Arc<App>, request: Request, method: bool) -> Response<Body> {
    let (id, lang) = (gate::request_id(), language(request.headers()));
    let mut response = serve::nothing(method).into_response(lang, &id);
    gate::finish(&mut response, lang, &id);
    app.metrics.answered("-", "-", response.status().as_u16());
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::fmt::Write;

    /// The table that reviewers read: no route without a decision about who may call it.
    #[test]
    fn every_route_says_who_may_call_it() {
        let mut seen = HashSet::new();
        let mut text = String::new();
        for route in table() {
            assert!(seen.insert((route.method, route.path)), "twice: {} {}", route.method, route.path);
            let access = match route.access {
                Access::Needs(action) => {
                    let scope = action.scope().map_or("-", |s| s.as_str());
                    format!("{} ({scope})", action.as_str())
                }
                other => format!("{other:?}").to_lowercase(),
            };
            writeln!(text, "{:<7}{:<52}{access}", route.method, route.path).unwrap();
            // What changes something is open to nobody without a token.
            assert!(route.method == "GET" || matches!(route.access, Access::Needs(_)), "{}", route.path);
        }
        insta::assert_snapshot!("routes", text);
    }
}
