-- What became of it: `done`, `begun`, `failed: …`. The lines before this column were committed with what they tell.
ALTER TABLE audit ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done';
