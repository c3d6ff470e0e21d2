-- As far as this small appends were put together.
ALTER TABLE log_documents ADD COLUMN compacted bigint NOT NULL DEFAULT 0;
