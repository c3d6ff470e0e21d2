-- Prefixed: the catalog may have its tables in the same schema.

CREATE TABLE log_documents (
    id      uuid    PRIMARY KEY,
    head    bigint  NOT NULL,
    -- The head before the latest append, so that one statement can compare and move the head.
    base    bigint  NOT NULL,
    deleted boolean NOT NULL DEFAULT false
-- Room beside each row, so that moving its head does not touch the index.
) WITH (fillfactor = 50);

-- One row for each append, so that all or none of its changes are there.
CREATE TABLE log_appends (
    document uuid   NOT NULL,
    last     bigint NOT NULL,
    first    bigint NOT NULL,
    record   bytea  NOT NULL,
    PRIMARY KEY (document, last)
);

CREATE TABLE log_checkpoints (
    document uuid   NOT NULL,
    revision bigint NOT NULL,
    record   bytea  NOT NULL,
    PRIMARY KEY (document, revision)
);
