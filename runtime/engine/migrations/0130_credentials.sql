-- What institutions show to be let in. Of a token only the digest is kept; what it was is told once.

CREATE TABLE tokens (
    id          TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 128),
    digest      TEXT NOT NULL UNIQUE CHECK (length(digest) = 64),
    institution TEXT NOT NULL REFERENCES institutions (id),
    label       TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    -- SHA-256 of the client certificate that has to come with it (RFC 8705, section 3).
    certificate TEXT CHECK (length(certificate) = 64),
    issued_by   TEXT NOT NULL REFERENCES institutions (id),
    issued_at   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL CHECK (expires_at > issued_at),
    revoked_at  INTEGER
) STRICT;

CREATE INDEX tokens_of ON tokens (institution);

-- Ed25519 keys with which institutions sign the models that they hand in; the id is the SHA-256 of the key.
CREATE TABLE signing_keys (
    id          TEXT PRIMARY KEY CHECK (length(id) = 64),
    public_key  TEXT NOT NULL CHECK (length(public_key) = 64),
    institution TEXT NOT NULL REFERENCES institutions (id),
    label       TEXT NOT NULL,
    added_by    TEXT NOT NULL REFERENCES institutions (id),
    added_at    INTEGER NOT NULL,
    retired_at  INTEGER
) STRICT;

CREATE INDEX signing_keys_of ON signing_keys (institution);

-- The signed statement with which a model was handed in.
CREATE TABLE model_signatures (
    model     TEXT NOT NULL,
    version   TEXT NOT NULL,
    key_id    TEXT NOT NULL REFERENCES signing_keys (id),
    statement TEXT NOT NULL CHECK (length(statement) = 64),
    PRIMARY KEY (model, version),
    FOREIGN KEY (model, version) REFERENCES models (id, version)
) STRICT;

-- Which use a request with an idempotency key began, and the digest of what it asked.
CREATE TABLE idempotency_keys (
    institution TEXT NOT NULL REFERENCES institutions (id),
    name        TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    request     TEXT NOT NULL CHECK (length(request) = 64),
    run_id      TEXT NOT NULL CHECK (length(run_id) BETWEEN 1 AND 128),
    at          INTEGER NOT NULL,
    PRIMARY KEY (institution, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_at ON idempotency_keys (at);
CREATE INDEX runs_of ON runs (institution, seq);

CREATE TRIGGER tokens_do_not_change BEFORE UPDATE ON tokens
WHEN new.id <> old.id OR new.digest <> old.digest OR new.institution <> old.institution OR new.scopes <> old.scopes
    OR new.expires_at <> old.expires_at OR new.certificate IS NOT old.certificate
    OR (old.revoked_at IS NOT NULL AND new.revoked_at IS NOT old.revoked_at)
BEGIN SELECT RAISE(ABORT, 'a token can only be revoked'); END;
