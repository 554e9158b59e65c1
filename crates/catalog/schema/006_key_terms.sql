-- What a key is limited to, until when it works, and its former secret, as JSON with a checksum. A key from before has none.
ALTER TABLE api_keys ADD COLUMN terms TEXT;
-- When it was last used. Written now and then, so that it is not in the checksum of the row.
ALTER TABLE api_keys ADD COLUMN used_ms INTEGER;
