-- Accounts that are to be erased: recorded before anything is removed, so that whatever interrupts an
-- erasure, it is gone on with.
CREATE TABLE erasures (
    user_id      TEXT   NOT NULL PRIMARY KEY REFERENCES users (id),
    -- Who has asked for it, or '' for the operator.
    actor_id     TEXT   NOT NULL,
    -- Whose the documents will be, or '' if they are to be deleted.
    transfer_to  TEXT   NOT NULL,
    begun_at_ms  BIGINT NOT NULL,
    -- When the account was erased, or 0. What is left then is to overwrite what was removed.
    erased_at_ms BIGINT NOT NULL
);

CREATE INDEX audit_user ON audit (user_id, seq);
