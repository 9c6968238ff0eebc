-- The study that a job belongs to; '' where its manifest names none, NULL until its folder was looked at again.
ALTER TABLE batches ADD COLUMN study VARCHAR;
