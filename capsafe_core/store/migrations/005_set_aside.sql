-- What could not be read of a shard: in the block that begins at byte `place`. Without a job: of the store itself.
CREATE TABLE set_aside (job_id VARCHAR, part INTEGER, place BIGINT, message VARCHAR);
-- How many times facts were written; a file beside the store says how many times they should have been.
CREATE TABLE writes (n BIGINT);
INSERT INTO writes VALUES (0);
