-- Organizations, groups, share links, API keys, sign-ins by others, and the audit trail.
-- 0 and '' stand for "never" and "none".

CREATE TABLE organizations (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    created_at_ms BIGINT NOT NULL
);

INSERT INTO organizations (id, name, created_at_ms)
VALUES ('00000000-0000-7000-8000-000000000000', 'Main', 0);

-- An account without an address has the empty one, and its id as `email_folded`, which has no @.
ALTER TABLE users ADD COLUMN organization_id TEXT NOT NULL
    DEFAULT '00000000-0000-7000-8000-000000000000';
ALTER TABLE users ADD COLUMN kind TEXT NOT NULL DEFAULT 'member';
ALTER TABLE users ADD COLUMN administrator BIGINT NOT NULL DEFAULT 0;
-- 0 to 15, or -1.
ALTER TABLE users ADD COLUMN color BIGINT NOT NULL DEFAULT -1;
ALTER TABLE users ADD COLUMN avatar_id TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN disabled_at_ms BIGINT NOT NULL DEFAULT 0;
-- Access tokens that were issued before are void.
ALTER TABLE users ADD COLUMN valid_from_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN last_seen_at_ms BIGINT NOT NULL DEFAULT 0;

CREATE INDEX users_organization ON users (organization_id, email_folded);

CREATE TABLE avatars (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    media_type TEXT NOT NULL,
    -- In base 64: databases differ in their types for bytes.
    image      TEXT NOT NULL
);

CREATE INDEX avatars_user ON avatars (user_id);

-- Accounts of those whom others vouch for: OpenID Connect providers, and issuers of tokens.
CREATE TABLE identities (
    issuer  TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (issuer, subject)
);

CREATE INDEX identities_user ON identities (user_id);

-- What issuers call organizations. A name that an issuer claims is its own affair, and never that of an
-- organization which was there before.
CREATE TABLE organization_identities (
    issuer          TEXT NOT NULL,
    name            TEXT NOT NULL,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    PRIMARY KEY (issuer, name)
);

-- Sign-ins that are under way at a provider.
CREATE TABLE provider_attempts (
    -- SHA-256 of the state, in hexadecimal.
    state_hash    TEXT   NOT NULL PRIMARY KEY,
    provider      TEXT   NOT NULL,
    nonce         TEXT   NOT NULL,
    pkce_verifier TEXT   NOT NULL,
    redirect_uri  TEXT   NOT NULL,
    expires_at_ms BIGINT NOT NULL
);

-- How often in a row a sign-in failed, by what tells attempts apart: hashes of address, account, both.
CREATE TABLE login_failures (
    key        TEXT   NOT NULL PRIMARY KEY,
    failures   BIGINT NOT NULL,
    last_at_ms BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id              TEXT   NOT NULL PRIMARY KEY,
    user_id         TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name            TEXT   NOT NULL,
    -- SHA-256 of the secret, in hexadecimal.
    hash            TEXT   NOT NULL,
    -- Words with a space between them.
    scopes          TEXT   NOT NULL,
    created_at_ms   BIGINT NOT NULL,
    expires_at_ms   BIGINT NOT NULL,
    last_used_at_ms BIGINT NOT NULL
);

CREATE INDEX api_keys_user ON api_keys (user_id);

CREATE TABLE user_groups (
    id              TEXT   NOT NULL PRIMARY KEY,
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    name            TEXT   NOT NULL,
    created_at_ms   BIGINT NOT NULL
);

CREATE INDEX user_groups_organization ON user_groups (organization_id);

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);

CREATE INDEX group_members_user ON group_members (user_id);

ALTER TABLE documents ADD COLUMN organization_id TEXT NOT NULL
    DEFAULT '00000000-0000-7000-8000-000000000000';
-- What everyone in the organization may do, or ''.
ALTER TABLE documents ADD COLUMN organization_role TEXT NOT NULL DEFAULT '';
-- When it was put into the trash.
ALTER TABLE documents ADD COLUMN deleted_at_ms BIGINT NOT NULL DEFAULT 0;

CREATE INDEX documents_organization ON documents (organization_id, organization_role);
CREATE INDEX documents_deleted ON documents (deleted_at_ms);

CREATE TABLE group_grants (
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    group_id    TEXT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    role        TEXT NOT NULL,
    PRIMARY KEY (document_id, group_id)
);

CREATE INDEX group_grants_group ON group_grants (group_id);

CREATE TABLE links (
    id            TEXT   NOT NULL PRIMARY KEY,
    document_id   TEXT   NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    -- Its owner may look at the link again, and who reads this table reads the titles as well.
    token         TEXT   NOT NULL UNIQUE,
    role          TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

CREATE INDEX links_document ON links (document_id);

-- Who has opened a link: its right is theirs as long as the link is there.
CREATE TABLE link_users (
    link_id TEXT NOT NULL REFERENCES links (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (link_id, user_id)
);

CREATE INDEX link_users_user ON link_users (user_id);

-- What each account may do with each document, from whichever source and until when: the one place
-- where rights are worked out. Nothing crosses from one organization to another.
CREATE VIEW document_roles AS
SELECT s.document_id, s.user_id, s.source, s.until_ms,
       CASE s.role WHEN 'owner' THEN 4 WHEN 'editor' THEN 3 WHEN 'commenter' THEN 2
                   WHEN 'viewer' THEN 1 ELSE 0 END AS role_rank
FROM (
    SELECT id AS document_id, owner_id AS user_id, 'owner' AS role, 'owner' AS source,
           0 AS until_ms
    FROM documents
    UNION ALL
    SELECT document_id, user_id, role, 'grant', 0 FROM grants
    UNION ALL
    SELECT g.document_id, m.user_id, g.role, 'group', 0
    FROM group_grants g JOIN group_members m ON m.group_id = g.group_id
    UNION ALL
    SELECT l.document_id, u.user_id, l.role, 'link', l.expires_at_ms
    FROM links l JOIN link_users u ON u.link_id = l.id
    UNION ALL
    SELECT d.id, u.id, d.organization_role, 'organization', 0
    FROM documents d JOIN users u ON u.organization_id = d.organization_id
    WHERE d.organization_role <> '' AND u.kind = 'member'
) s
JOIN documents d ON d.id = s.document_id
JOIN users u ON u.id = s.user_id
WHERE u.organization_id = d.organization_id AND u.disabled_at_ms = 0;

-- Answers to requests that may come once more.
CREATE TABLE idempotent_answers (
    user_id       TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key           TEXT   NOT NULL,
    -- SHA-256 of method, path and body, in hexadecimal.
    request_hash  TEXT   NOT NULL,
    -- 0 while the request is under way.
    status        BIGINT NOT NULL,
    answer        TEXT   NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, key)
);

CREATE INDEX idempotent_answers_time ON idempotent_answers (created_at_ms);

-- Every act, each row hashed with the one before it. No name, address or text of a person is in it:
-- ids are, and what they refer to can be erased.
CREATE TABLE audit (
    seq             BIGINT NOT NULL PRIMARY KEY,
    at_ms           BIGINT NOT NULL,
    organization_id TEXT   NOT NULL,
    actor_id        TEXT   NOT NULL,
    action          TEXT   NOT NULL,
    document_id     TEXT   NOT NULL,
    user_id         TEXT   NOT NULL,
    details         TEXT   NOT NULL,
    -- SHA-256 of nonce and network address, in hexadecimal, or ''.
    address_hash    TEXT   NOT NULL,
    -- SHA-256 of the hash of the row before and of this row, in hexadecimal.
    hash            TEXT   NOT NULL
);

CREATE INDEX audit_organization ON audit (organization_id, seq);
CREATE INDEX audit_document ON audit (document_id, seq);
CREATE INDEX audit_actor ON audit (actor_id, seq);

-- What has to be erased with a person.
CREATE TABLE audit_addresses (
    seq     BIGINT NOT NULL PRIMARY KEY,
    nonce   TEXT   NOT NULL,
    address TEXT   NOT NULL
);

-- One row: the end of the chain. Every act takes it first, so acts form a line.
CREATE TABLE audit_head (
    id   BIGINT NOT NULL PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash TEXT   NOT NULL
);

INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');
