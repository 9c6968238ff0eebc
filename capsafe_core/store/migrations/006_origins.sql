-- Batches that came from elsewhere, and when a person adopted them; NULL where nobody has.
CREATE TABLE origins (batch INTEGER, adopted DOUBLE);
CREATE VIEW foreign_batches AS SELECT batch FROM origins WHERE adopted IS NULL;
-- Every batch that counts: whether it is the workspace's own, and since when.
CREATE VIEW ranked_batches AS
    SELECT b.batch, o.batch IS NOT NULL AND o.adopted IS NULL AS is_foreign, coalesce(o.adopted, b.created) AS since
    FROM batches AS b LEFT JOIN origins AS o USING (batch)
    WHERE b.batch NOT IN (SELECT batch FROM retracted_batches);

-- Own facts before foreign ones: of a bundle that nobody has adopted, those count that say something about
-- what the workspace says nothing about. Outputs: of a cell. Judgments: of one judge about an output.
CREATE OR REPLACE VIEW live_generations AS
    SELECT * FROM generations
    WHERE batch NOT IN (SELECT batch FROM retracted_batches)
    AND NOT (batch IN (SELECT batch FROM foreign_batches) AND cell_id IN (
        SELECT cell_id FROM generations
        WHERE cell_id IN (SELECT cell_id FROM generations WHERE batch IN (SELECT batch FROM foreign_batches))
        AND batch IN (SELECT batch FROM ranked_batches WHERE NOT is_foreign)
    ));
CREATE OR REPLACE VIEW current_judgments AS
    SELECT j.* FROM judgments AS j JOIN ranked_batches AS b ON b.batch = j.batch
    QUALIFY row_number() OVER (
        PARTITION BY j.generation_id, j.rater_id, j.dimension ORDER BY b.is_foreign, j.attempt DESC, j.judgment_id
    ) = 1;
-- What people did with an output's label; of foreign people only where the workspace's own did nothing.
CREATE VIEW counted_labels AS
    SELECT l.* FROM label_events AS l JOIN ranked_batches AS b ON b.batch = l.batch
    QUALIFY rank() OVER (PARTITION BY l.generation_id, l.dimension ORDER BY b.is_foreign) = 1;
CREATE OR REPLACE VIEW current_answers AS
    SELECT * FROM counted_labels WHERE action IN ('label', 'undo', 'skip')
    QUALIFY row_number() OVER (
        PARTITION BY generation_id, rater_id, dimension, repeat ORDER BY created DESC, event_id
    ) = 1 AND action <> 'undo';
CREATE OR REPLACE VIEW current_labels AS SELECT * FROM current_answers WHERE action = 'label' AND repeat = 0;
CREATE OR REPLACE VIEW adjudications AS
    SELECT * FROM counted_labels WHERE action IN ('adjudicate', 'reopen')
    QUALIFY row_number() OVER (PARTITION BY generation_id, dimension ORDER BY created DESC, event_id) = 1
    AND action = 'adjudicate';
-- A queue, its items and its frames are all the workspace's own, or all foreign.
CREATE OR REPLACE VIEW current_queues AS
    SELECT q.* FROM queues AS q JOIN ranked_batches AS b ON b.batch = q.batch
    QUALIFY row_number() OVER (PARTITION BY q.queue ORDER BY b.is_foreign, q.created DESC, q.version_id) = 1;
CREATE VIEW counted_items AS
    SELECT i.* FROM queue_items AS i JOIN ranked_batches AS b ON b.batch = i.batch
    QUALIFY rank() OVER (PARTITION BY i.queue ORDER BY b.is_foreign) = 1;
CREATE VIEW counted_frames AS
    SELECT f.* FROM queue_frames AS f JOIN ranked_batches AS b ON b.batch = f.batch
    QUALIFY rank() OVER (PARTITION BY f.queue ORDER BY b.is_foreign) = 1;
CREATE VIEW current_practices AS
    SELECT p.* FROM practices AS p JOIN ranked_batches AS b ON b.batch = p.batch
    QUALIFY row_number() OVER (PARTITION BY p.rater_id ORDER BY b.is_foreign, p.created DESC, p.practice_id) = 1;
CREATE VIEW counted_measurements AS
    SELECT m.* FROM measurements AS m JOIN ranked_batches AS b ON b.batch = m.batch
    QUALIFY rank() OVER (PARTITION BY m.checkpoint_id, m.benchmark, m.metric ORDER BY b.is_foreign) = 1;
CREATE VIEW counted_studies AS
    SELECT s.* FROM studies AS s JOIN ranked_batches AS b ON b.batch = s.batch
    QUALIFY rank() OVER (PARTITION BY s.name ORDER BY b.is_foreign) = 1;
-- Of a rater's versions that looked at a cell the one whose verdicts began last is current: the same in a rebuilt store.
DELETE FROM current_slots;
INSERT INTO current_slots
    WITH given AS (
        SELECT cell_id, dimension, rater_id, batch FROM judgments
        UNION SELECT cell_id, dimension, rater_id, batch FROM label_events
    ), began AS (
        SELECT cell_id, dimension, rater_id, min(since) AS since
        FROM given JOIN ranked_batches USING (batch) GROUP BY ALL
    )
    SELECT a.cell_id, s.dimension, r.name, s.rater_id, a.slot
    FROM arrays AS a JOIN cells AS c USING (cell_id)
    JOIN slots AS s ON s.benchmark_id = c.benchmark_id AND s.slot = a.slot JOIN raters AS r USING (rater_id)
    LEFT JOIN began ON began.cell_id = a.cell_id AND began.dimension = s.dimension AND began.rater_id = s.rater_id
    WHERE list_max(a.codes) > 0
    QUALIFY row_number() OVER (
        PARTITION BY a.cell_id, s.dimension, r.name ORDER BY began.since DESC NULLS LAST, r.version DESC, s.rater_id
    ) = 1;
