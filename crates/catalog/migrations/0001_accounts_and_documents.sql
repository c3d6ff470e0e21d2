-- Ids are text, times are ms since the Unix epoch: types that every database has.

CREATE TABLE users (
    id            TEXT   NOT NULL PRIMARY KEY,
    email         TEXT   NOT NULL,
    -- Case-folded: one mailbox, one account.
    email_folded  TEXT   NOT NULL UNIQUE,
    name          TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE refresh_tokens (
    -- SHA-256 of the token, in hexadecimal: who reads the table cannot use what it holds.
    hash          TEXT   NOT NULL PRIMARY KEY,
    -- All tokens that came from one login.
    family        TEXT   NOT NULL,
    user_id       TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at_ms BIGINT NOT NULL,
    -- 0 until it is exchanged; presented once more after that, it ends its family.
    used_at_ms    BIGINT NOT NULL,
    -- What it was exchanged for, or empty.
    next_hash     TEXT   NOT NULL
);

CREATE INDEX refresh_tokens_family ON refresh_tokens (family);

CREATE TABLE documents (
    id            TEXT   NOT NULL PRIMARY KEY,
    title         TEXT   NOT NULL,
    owner_id      TEXT   NOT NULL REFERENCES users (id),
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL
);

CREATE INDEX documents_owner ON documents (owner_id);

CREATE TABLE grants (
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role        TEXT NOT NULL,
    PRIMARY KEY (document_id, user_id)
);

CREATE INDEX grants_user ON grants (user_id);
