-- What a model wrote before its answer to reason.
ALTER TABLE generations ADD COLUMN reasoning VARCHAR DEFAULT '';
CREATE OR REPLACE VIEW live_generations AS
    SELECT * FROM generations
    WHERE batch NOT IN (SELECT batch FROM retracted_batches)
    AND NOT (batch IN (SELECT batch FROM foreign_batches) AND cell_id IN (
        SELECT cell_id FROM generations
        WHERE cell_id IN (SELECT cell_id FROM generations WHERE batch IN (SELECT batch FROM foreign_batches))
        AND batch IN (SELECT batch FROM ranked_batches WHERE NOT is_foreign)
    ));
