-- What a model was given, where an attack or a format rewrote the prompt.
ALTER TABLE generations ADD COLUMN asked VARCHAR DEFAULT '';
CREATE OR REPLACE VIEW live_generations AS
    SELECT * FROM generations WHERE batch NOT IN (SELECT batch FROM retracted_batches);
