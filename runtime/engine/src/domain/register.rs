//! The registers: numbers and terms, the core elements of the directory, agreements, and the export of the catalogue.

use super::{Domain, GrantRequest};
use crate::catalogue::{Access, DatasetSpec};
use crate::dates::format_instant;
use crate::error::DomainError;
use crate::product::{Body, Product};
use crate::registry::{self, Agreement, Digest, Registration, Subject};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use yunei_policy::Refusal;
use yunei_policy::authorise::{Action, Resource};
use yunei_policy::register::{Directory, Elements, Holding, PriceClass, Term};
use yunei_policy::words::State;

/// A registration and its term.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegistrationView {
    /// Its number.
    pub number: String,
    /// From when.
    pub from: String,
    /// Until when.
    pub until: String,
    /// `current`, `missing` or `lapsed`.
    pub holding: Holding,
}

/// An entry of the registers: the thirteen elements, the registration, and the price of a product.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegisterView {
    /// `dataset` or `product`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// The core elements.
    pub elements: Elements,
    /// Its registration; `None` where it has none, so that it can not be used.
    pub registration: Option<RegistrationView>,
    /// How its price is found.
    pub price: PriceClass,
    /// The most that may be charged for one use, yuan.
    pub fee_cap_yuan: Option<u64>,
}

impl Domain {
    /// All entries of the registers, datasets first, by id.
    ///
    /// # Errors
    /// The reasons why the actor may not see them.
    pub async fn registers(&self, actor: &str) -> Result<Vec<RegisterView>, DomainError> {
        self.authorise(actor, Action::ReadRegister, Resource::Domain).await?;
        let mut views = Vec::new();
        for dataset in self.store.datasets().await? {
            views.push(self.dataset_entry(dataset).await?);
        }
        for record in self.store.products().await? {
            let (record, product) = self.product_record(&record.id).await?;
            views.push(self.product_entry(record, &product).await?);
        }
        Ok(views)
    }

    /// Renews the registration of a dataset or a product, or makes the first one: three years from its end while it holds, else
    /// from now.
    ///
    /// # Errors
    /// The reasons why the actor may not; `input/subject` for anything else.
    pub async fn renew_registration(&self, actor: &str, subject: &Subject) -> Result<RegistrationView, DomainError> {
        if !matches!(subject, Subject::Dataset(_) | Subject::Product(_)) {
            return Err(Refusal::new(
                "input/subject",
                "登记的对象是数据集或产品",
                "a dataset or a product is registered",
            )
            .into());
        }
        self.ask_about(actor, Action::Renew, subject).await?;
        let note = self.note(
            "register.renewed",
            [("kind", subject.word().into()), ("subject", subject.id().into()), ("by", actor.into())],
        )?;
        let renewed = self.store.renew(subject, actor, &self.register, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(self.registration_view(&renewed))
    }

    /// Records the agreement that a grant rests on (安全承诺书、开放利用协议), by the digest of its document, or a renewed one.
    ///
    /// # Errors
    /// The reasons why the actor may not; `agreement/…` where the term is empty or longer than five years.
    pub async fn record_agreement(
        &self,
        actor: &str,
        grant: &str,
        digest: Digest,
        term: Term,
    ) -> Result<(), DomainError> {
        let subject = Subject::Grant(grant.to_owned());
        self.ask_about(actor, Action::Renew, &subject).await?;
        self.register.check_agreement(term)?;
        let note = self.note(
            "grant.agreement",
            [
                ("grant", grant.into()),
                ("agreement", digest.to_string().into()),
                ("from", term.from_millis.into()),
                ("until", term.until_millis.into()),
                ("by", actor.into()),
            ],
        )?;
        self.store.agree(grant, Agreement { digest, term }, actor, note.at, note.audit()?).await?;
        self.settle_only(note).await
    }

    /// Grants a product together with the agreement that the grant rests on: neither without the other's being well-formed.
    ///
    /// # Errors
    /// As [`Domain::add_grant`] and [`Domain::record_agreement`].
    pub async fn grant_under(
        &self,
        actor: &str,
        request: &GrantRequest,
        agreement: Agreement,
    ) -> Result<String, DomainError> {
        self.register.check_agreement(agreement.term)?;
        let id = self.add_grant(actor, request).await?;
        // A grant whose agreement could not be recorded is there, and bears no use.
        self.record_agreement(actor, &id, agreement.digest, agreement.term).await?;
        Ok(id)
    }

    /// The term of each grant's agreement.
    pub(crate) async fn agreements_of(&self, grants: &[registry::Grant]) -> Result<Vec<Option<Term>>, DomainError> {
        let mut terms = Vec::with_capacity(grants.len());
        for grant in grants {
            terms.push(self.store.agreement(&grant.id).await?.map(|a| a.term));
        }
        Ok(terms)
    }

    /// Until when the registrations and the agreement hold that bear a use of a product under a grant: what was decided
    /// before has to be decided again then.
    pub(crate) async fn lapse_of(&self, product: &Product, grant: &str) -> Result<i64, DomainError> {
        let mut subjects = vec![Subject::Product(product.id().to_owned())];
        subjects.extend(product.datasets().iter().cloned().map(Subject::Dataset));
        let mut until = i64::MAX;
        for subject in &subjects {
            if let Some(there) = self.store.registration(subject).await? {
                until = until.min(there.term.until_millis);
            }
        }
        let agreement = self.store.agreement(grant).await?;
        Ok(agreement.map_or(until, |a| until.min(a.term.until_millis)))
    }

    /// Whether a grant's agreement bears a use now.
    pub(crate) fn is_agreed(&self, term: Option<Term>) -> bool {
        match Term::holding(term, self.now()) {
            Holding::Current => true,
            Holding::Missing => !self.register.agreement_required(),
            Holding::Lapsed => false,
        }
    }

    async fn dataset_entry(&self, dataset: registry::Dataset) -> Result<RegisterView, DomainError> {
        let subject = Subject::Dataset(dataset.id.clone());
        let spec = DatasetSpec::parse(&dataset.spec_toml)?;
        let directory = Directory::of_document(&dataset.spec_toml)?;
        let version = self.store.dataset_version(&dataset.id, dataset.newest).await?;
        let registration = self.store.registration(&subject).await?;
        let elements = Elements {
            category: yunei_policy::register::Category::default(),
            name: spec.title().clone(),
            code: spec.id().to_owned(),
            provider: spec.provider().name().to_owned(),
            provider_code: spec.provider().code().to_owned(),
            summary: spec.title().clone(),
            format: "parquet".to_owned(),
            items: spec.columns().iter().map(|c| c.name().to_owned()).collect(),
            sharing: attribute(spec.sharing()).to_owned(),
            opening: attribute(spec.opening()).to_owned(),
            update: spec.update().as_str().to_owned(),
            date: self.day(registration.as_ref().map_or(version.registered_at, |r| r.term.from_millis)),
            related: Vec::new(),
        };
        Ok(RegisterView {
            kind: "dataset".to_owned(),
            id: dataset.id,
            state: self.store.shown(&subject, dataset.state).await?,
            elements: elements.with(&directory),
            registration: registration.map(|r| self.registration_view(&r)),
            price: directory.price(),
            fee_cap_yuan: directory.fee_cap_yuan(),
        })
    }

    async fn product_entry(&self, record: registry::Product, product: &Product) -> Result<RegisterView, DomainError> {
        let subject = Subject::Product(record.id.clone());
        let directory = Directory::of_document(product.text())?;
        let registration = self.store.registration(&subject).await?;
        let operator = self.store.institution(&record.submitted_by).await?;
        let mut specs = Vec::new();
        for id in product.datasets() {
            specs.push(DatasetSpec::parse(&self.store.dataset(id).await?.spec_toml)?);
        }
        // A product is as open as the least open of its datasets, and as fresh as the least fresh.
        let least = |of: fn(&DatasetSpec) -> &Access| {
            let rank = |a: &str| ["none", "conditional", "unconditional"].iter().position(|w| *w == a);
            specs.iter().map(|s| attribute(of(s))).min_by_key(|a| rank(a)).unwrap_or("none").to_owned()
        };
        let update = specs
            .iter()
            .map(|s| s.update().as_str())
            .max_by_key(|u| FREQUENCIES.iter().position(|(word, _)| word == u));
        let items = match product.body() {
            Body::Aggregate(a) => a.parameters().iter().map(|p| format!("${}", p.name())).collect(),
            Body::Verification(v) => v.identity().to_vec(),
        };
        let elements = Elements {
            category: yunei_policy::register::Category::default(),
            name: product.title().clone(),
            code: product.id().to_owned(),
            provider: operator.title.zh.clone(),
            provider_code: operator.id,
            summary: product.title().clone(),
            format: match product.body() {
                Body::Aggregate(_) => "json, csv, arrow, parquet".to_owned(),
                Body::Verification(_) => "match, no_match".to_owned(),
            },
            items,
            sharing: least(DatasetSpec::sharing),
            opening: least(DatasetSpec::opening),
            update: update.unwrap_or("irregular").to_owned(),
            date: registration.as_ref().map(|r| self.day(r.term.from_millis)).unwrap_or_default(),
            related: product.datasets().to_vec(),
        };
        Ok(RegisterView {
            kind: "product".to_owned(),
            state: self.store.shown(&subject, record.state).await?,
            id: record.id,
            elements: elements.with(&directory),
            registration: registration.map(|r| self.registration_view(&r)),
            price: directory.price(),
            fee_cap_yuan: directory.fee_cap_yuan(),
        })
    }

    fn registration_view(&self, registration: &Registration) -> RegistrationView {
        RegistrationView {
            number: registration.number.clone(),
            from: format_instant(registration.term.from_millis),
            until: format_instant(registration.term.until_millis),
            holding: Term::holding(Some(registration.term), self.now()),
        }
    }

    pub(super) fn day(&self, millis: i64) -> String {
        yunei_policy::workdays::format_day(self.register.calendar().day_of(millis))
    }

    /// The catalogue as DCAT 3 in JSON-LD (W3C Recommendation of 22 August 2024): every published dataset, and every
    /// registered product as a data service over its datasets. No distribution has a place to download from: the data
    /// does not leave.
    ///
    /// # Errors
    /// The reasons why the actor may not see it.
    pub async fn dcat(&self, actor: &str) -> Result<Value, DomainError> {
        let entries = self.registers(actor).await?;
        let base = format!("urn:yunei:{}", self.name().replace('/', ":"));
        let of = |kind: &'static str| {
            let base = base.clone();
            entries.iter().filter(move |e| e.kind == kind && e.state == State::Approved).map(move |e| dcat(&base, e))
        };
        let (datasets, services): (Vec<Value>, Vec<Value>) = (of("dataset").collect(), of("product").collect());
        Ok(json!({
            "@context": {
                "dcat": "http://www.w3.org/ns/dcat#", "dct": "http://purl.org/dc/terms/",
                "foaf": "http://xmlns.com/foaf/0.1/", "adms": "http://www.w3.org/ns/adms#",
                "skos": "http://www.w3.org/2004/02/skos/core#", "schema": "http://schema.org/",
                "xsd": "http://www.w3.org/2001/XMLSchema#", "yunei": "urn:yunei:terms:",
            },
            "@id": base, "@type": "dcat:Catalog",
            "dct:title": self.name(),
            "dcat:dataset": datasets, "dcat:service": services,
        }))
    }
}

fn attribute(access: &Access) -> &'static str {
    access.attribute().as_str()
}

fn dcat(base: &str, entry: &RegisterView) -> Value {
    let e = &entry.elements;
    let text =
        |t: &yunei_policy::Text| json!([{ "@language": "zh", "@value": t.zh }, { "@language": "en", "@value": t.en }]);
    let mut value = json!({
        "@id": format!("{base}:{}:{}", entry.kind, entry.id),
        "@type": if entry.kind == "dataset" { "dcat:Dataset" } else { "dcat:DataService" },
        "dct:title": text(&e.name),
        "dct:description": text(&e.summary),
        "dct:identifier": e.code,
        "dct:publisher": { "@type": "foaf:Agent", "foaf:name": e.provider, "dct:identifier": e.provider_code },
        "dcat:theme": { "@type": "skos:Concept", "skos:notation": e.category },
        "dct:issued": { "@type": "xsd:date", "@value": e.date },
        "dct:accessRights": { "@type": "dct:RightsStatement", "yunei:sharing": e.sharing, "yunei:opening": e.opening },
        "dct:accrualPeriodicity": frequency(&e.update),
        "schema:variableMeasured": e.items,
        "dct:relation": e.related,
        "yunei:price": { "yunei:class": entry.price, "yunei:feeCapYuan": entry.fee_cap_yuan },
    });
    let Some(object) = value.as_object_mut() else { return value };
    if let Some(r) = &entry.registration {
        let identifier = json!({
            "@type": "adms:Identifier", "skos:notation": r.number,
            "dct:valid": format!("start={}; end={}", r.from, r.until),
        });
        object.insert("adms:identifier".to_owned(), identifier);
    }
    if entry.kind == "dataset" {
        let distribution = json!({ "@type": "dcat:Distribution", "dcat:mediaType": "application/vnd.apache.parquet" });
        object.insert("dcat:distribution".to_owned(), distribution);
    } else {
        let served: Vec<Value> = e.related.iter().map(|d| json!({ "@id": format!("{base}:dataset:{d}") })).collect();
        object.insert("dcat:servesDataset".to_owned(), served.into());
    }
    value
}

/// Update cycles, the freshest first, and their names in the vocabulary below.
const FREQUENCIES: [(&str, &str); 9] = [
    ("realtime", "CONT"),
    ("daily", "DAILY"),
    ("weekly", "WEEKLY"),
    ("monthly", "MONTHLY"),
    ("quarterly", "QUARTERLY"),
    ("half-yearly", "ANNUAL_2"),
    ("yearly", "ANNUAL"),
    ("irregular", "IRREG"),
    ("never", "NEVER"),
];

/// The frequency as the vocabulary that DCAT profiles use names it (EU Publications Office, authority table `frequency`).
fn frequency(update: &str) -> Value {
    let name = FREQUENCIES.iter().find(|(word, _)| *word == update).map_or("IRREG", |(_, name)| name);
    json!({ "@id": format!("http://publications.europa.eu/resource/authority/frequency/{name}") })
}
