-- How far the audit trail has been told outside, by kind of event.
CREATE TABLE event_cursors (
    kind TEXT   NOT NULL PRIMARY KEY,
    -- Rows of the trail up to this one were told, or are not to be.
    seq  BIGINT NOT NULL
);
