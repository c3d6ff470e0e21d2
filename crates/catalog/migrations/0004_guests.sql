-- Whom a document's owner has taken out: the links that were there then do not let them in again.
CREATE TABLE link_removals (
    link_id TEXT NOT NULL REFERENCES links (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (link_id, user_id)
);

CREATE INDEX link_removals_user ON link_removals (user_id);

-- Since when a guest has had no right on any document, as far as anybody has looked, or 0.
ALTER TABLE users ADD COLUMN idle_since_ms BIGINT NOT NULL DEFAULT 0;

CREATE INDEX users_guests ON users (idle_since_ms) WHERE kind = 'guest';

-- 1: nobody waits until the files are overwritten. Guests leave little behind, and anybody can be one.
ALTER TABLE erasures ADD COLUMN patient BIGINT NOT NULL DEFAULT 0;
