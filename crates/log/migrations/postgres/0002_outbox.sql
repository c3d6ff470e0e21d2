-- What is yet to be told outside: one row for each append and each checkpoint, stored with it by nodes that
-- tell. Nodes of before leave none.
CREATE TABLE log_outbox (
    shard    smallint NOT NULL,
    -- Of one document, in the order of its appends: each is stored before the next takes its number.
    seq      bigint   GENERATED ALWAYS AS IDENTITY,
    document uuid     NOT NULL,
    -- 0: changes, 1: a checkpoint.
    kind     smallint NOT NULL,
    first    bigint   NOT NULL,
    last     bigint   NOT NULL,
    at_ms    bigint   NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    PRIMARY KEY (shard, seq)
-- Rows come and go: what they leave is cleared away by their number, however few there are at a time.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
