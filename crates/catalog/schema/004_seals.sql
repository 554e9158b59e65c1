-- A checksum of each row that has none in its text. Rows from before it have none.
ALTER TABLE ingested_files ADD COLUMN seal INTEGER;
ALTER TABLE api_keys ADD COLUMN seal INTEGER;
ALTER TABLE runs ADD COLUMN seal INTEGER;
ALTER TABLE audit ADD COLUMN seal INTEGER;
