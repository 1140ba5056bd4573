//! The OpenAPI 3.1 description, from the handlers themselves, with what the gate may answer on every route.

use crate::route::{Access, table};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::handlers::{admin, catalogue, health, log, office, proof, requests, standing, uses, verification};

/// The description as it is built from the annotations; [`text`] completes it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Yunei",
        description = "域内：原始数据不出域、数据可用不可见。The interface of a domain for holders, operators, businesses and the authority."
    ),
    paths(
        health::alive, health::ready, health::whoami, proof::key,
        catalogue::datasets, catalogue::register_dataset, catalogue::dataset, catalogue::versions, catalogue::sample,
        catalogue::open_epoch,
        catalogue::models, catalogue::submit_model, catalogue::check_model, catalogue::model,
        catalogue::products, catalogue::submit_product, catalogue::check_product, catalogue::product,
        admin::grants, admin::add_grant, admin::grant,
        admin::institutions, admin::add_institution, admin::institution,
        standing::dataset, standing::withdraw_dataset, standing::version, standing::withdraw_version, standing::model,
        standing::product, standing::grant, standing::institution, standing::history, standing::releases,
        admin::tokens, admin::issue_token, admin::revoke_token, admin::keys, admin::add_key, admin::retire_key,
        admin::policies, admin::change_policies,
        uses::runs, uses::run, uses::run_status, uses::result, uses::receipt, uses::budgets, uses::product_budget,
        verification::verify, verification::batch, verification::alarms, verification::resume, verification::asked,
        verification::index, verification::audit_index, verification::issuers, verification::add_issuer,
        verification::issuer_state,
        office::registers, office::dcat, office::lapsing, office::due, office::renew_dataset, office::renew_product,
        office::agreement, office::consents, office::consent, office::decline_reasons, office::decline, office::admit,
        requests::list, requests::one, requests::file, requests::extend, requests::answer,
        log::search, log::stats, log::usage, log::export, log::replayable, log::replay,
        proof::entries, proof::entry, proof::inclusion, proof::consistency, proof::checkpoint,
    ),
    components(schemas(crate::schema::Problem, crate::schema::Refusal)),
    tags(
        (name = "service", description = "服务 · The service itself"),
        (name = "catalogue", description = "目录、模型、产品 · Datasets, models, products"),
        (name = "grants", description = "授权 · Grants"),
        (name = "registers", description = "登记、时限、退回 · Registers, deadlines, declines"),
        (name = "requests", description = "数据主体的请求 · Requests of data subjects"),
        (name = "uses", description = "使用与核验 · Runs, verifications, budgets"),
        (name = "institutions", description = "机构与策略 · Institutions and policies"),
        (name = "credentials", description = "凭据 · Tokens and keys"),
        (name = "audit", description = "审计 · The log"),
    ),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Description;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("令牌 · A token")).build();
        openapi.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Routes that the description leaves out: the description itself, its reader, and what only the machine sees.
pub const UNDESCRIBED: [&str; 5] =
    ["/metrics", "/v1/openapi.json", "/v1/docs", "/v1/docs/reader.js", "/v1/docs/reader.css"];

static TEXT: LazyLock<String> = LazyLock::new(|| build().to_string());

/// The description, as JSON.
pub fn text() -> &'static str {
    &TEXT
}

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    })
}

/// Adds the answers that every route may give by way of the gate and of the domain's refusals.
fn build() -> Value {
    let mut value = serde_json::to_value(Description::openapi()).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    value["info"]["version"] = version.into();
    for route in table() {
        let method = route.method.to_lowercase();
        let Some(operation) = value["paths"].get_mut(route.path).and_then(|p| p.get_mut(&method)) else { continue };
        let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { continue };
        let mut add = |status: &str, description: &str| {
            responses.entry(status).or_insert_with(|| problem(description));
        };
        if route.access == Access::Health {
            continue;
        }
        add("400", "The request is malformed.");
        add("503", "No room, or the domain can not answer now; see Retry-After.");
        add("500", "Something failed; nothing was released.");
        if route.path.contains('{') {
            add("404", "There is no such thing, or it is not the caller's.");
        }
        if let Access::Needs(action) = route.access {
            add("401", "No token, or one that is not good any more.");
            add("403", "The token's scopes or the policies do not allow it.");
            add("404", "Something that the request names is not there, or is not the caller's.");
            add("422", "Understood, and refused: every reason with its code.");
            operation["x-action"] = action.as_str().into();
            operation["x-scope"] = action.scope().map_or(Value::Null, |s| s.as_str().into());
        }
        let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { continue };
        complete(route.method, route.path, responses);
    }
    value
}

fn complete(method: &str, path: &str, responses: &mut Map<String, Value>) {
    if method == "GET" {
        responses.entry("304").or_insert_with(|| json!({ "description": "The client's copy is current." }));
    }
    let mut add = |status: &str, description: &str| {
        responses.entry(status).or_insert_with(|| problem(description));
    };
    if method != "GET" {
        add("409", "It is there already, or its state does not follow.");
    }
    if matches!(method, "POST" | "PUT") {
        add("408", "The body took too long to come.");
        add("413", "The body is too large.");
        add("415", "The body is not application/json.");
    }
    if path.ends_with("/result") || path.ends_with("/usage") || path == "/v1/runs" {
        add("406", "The result can not be given in the form asked for.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What is routed is described, and what is described is routed.
    #[test]
    fn the_description_and_the_table_agree() {
        let described: BTreeSet<String> = build()["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object()
                    .unwrap()
                    .keys()
                    .map(move |m| format!("{} {path}", m.to_uppercase()))
                    .collect::<Vec<_>>()
            })
            .collect();
        let routed: BTreeSet<String> = table()
            .iter()
            .filter(|r| !UNDESCRIBED.contains(&r.path))
            .map(|r| format!("{} {}", r.method, r.path))
            .collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn it_is_openapi_3_1_with_a_scheme_and_problems() {
        let value = build();
        assert!(value["openapi"].as_str().unwrap().starts_with("3.1"));
        assert_eq!(value["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
        assert_eq!(
            value["paths"]["/v1/runs"]["post"]["responses"]["401"]["content"]["application/problem+json"]["schema"]["$ref"],
            "#/components/schemas/Problem"
        );
        assert_eq!(value["paths"]["/v1/runs"]["post"]["x-scope"], "use");
    }
}
