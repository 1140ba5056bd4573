//! The registry: what was submitted, approved, granted, run, spent and released; in SQLite under the home,
//! or in PostgreSQL.
//!
//! Whatever changes state writes its audit entry into an outbox in the same transaction, so that neither can be there
//! without the other. All times are milliseconds since 1970 and are passed in.

mod cells;
mod datasets;
mod ddl;
mod digest;
mod error;
mod files;
mod grants;
mod hold;
mod issuers;
mod keys;
mod ledger;
mod lifecycle;
mod models;
mod outbox;
mod postgres;
mod records;
mod requests;
mod runs;
mod schema;
mod shelf;
mod sqlite;
mod standing;
mod states;
mod store;
mod subject;
mod tokens;
mod verifications;
mod watch;

pub use cells::ReleasedCell;
pub use digest::{Digest, NotADigest};
pub use error::{Kind, StoreError, Words};
pub use files::{FileStore, MAX_FILE_BYTES};
pub(crate) use hold::Hold;
pub use issuers::Issuer;
pub use keys::{Claim, ModelSignature, SigningKeyRecord};
pub use ledger::{Balance, Charge, ChargeError, Charged, GrantFault, LedgerRefusal, Line, MAX_LINES};
pub use lifecycle::{Agreement, Consent, NewConsent, Registration, Waiting};
pub use outbox::{AuditEntry, MAX_ENTRY_BYTES, Pending};
pub use postgres::StoreUrl;
pub use records::{
    Dataset, DatasetVersion, Grant, Institution, Model, NewDataset, NewGrant, NewInstitution, NewModel, NewProduct,
    Product,
};
pub use requests::{Answered, NewRequest, Outcome, RequestKind, SubjectRequest};
pub use runs::{NewRelease, NewRun, Release, Run};
pub use standing::{Fallen, NewState, Rested, RestsOn, StateChange};
pub use states::{RunState, next_state};
pub use store::Store;
pub use subject::Subject;
pub use tokens::{NewToken, Token};
pub use verifications::{AlarmRecord, VerificationRecord};
pub(crate) use verifications::{AlarmRow, ChargeRow, CountRow, Earlier, FinishRow, VerificationTx, Writes};
