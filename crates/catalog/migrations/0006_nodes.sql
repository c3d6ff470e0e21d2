-- What the nodes of an installation have in common beside people and documents.

-- The keys that sign access tokens. Whoever reads one can be anyone.
CREATE TABLE signing_keys (
    -- From when it signs; two keys never start at once.
    starts_ms BIGINT NOT NULL PRIMARY KEY,
    -- Ed25519's 32 bytes, in hexadecimal.
    seed      TEXT   NOT NULL
);

-- Who does a job that is done by one at a time, and until when nobody else takes it.
CREATE TABLE claims (
    job      TEXT   NOT NULL PRIMARY KEY,
    holder   TEXT   NOT NULL,
    until_ms BIGINT NOT NULL
);

-- The nodes that run, and where the others reach them.
CREATE TABLE nodes (
    id      TEXT   NOT NULL PRIMARY KEY,
    url     TEXT   NOT NULL,
    seen_ms BIGINT NOT NULL
);
