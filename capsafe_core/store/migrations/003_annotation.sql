-- What people are asked, and what they answer. A queue's rows say how it stood since a time; the newest counts.
ALTER TABLE label_events ADD COLUMN confidence DOUBLE;
ALTER TABLE label_events ADD COLUMN guidelines VARCHAR DEFAULT '';
ALTER TABLE label_events ADD COLUMN repeat INTEGER DEFAULT 0;
CREATE TABLE queues (version_id UUID, queue VARCHAR, study VARCHAR, name VARCHAR, state VARCHAR, created DOUBLE, author VARCHAR, settings VARCHAR, selection VARCHAR, strata VARCHAR, words VARCHAR, batch INTEGER);
CREATE TABLE queue_frames (frame_id UUID, queue VARCHAR, draw INTEGER, cell_id UUID, strata INTEGER[], batch INTEGER);
CREATE TABLE practices (practice_id UUID, rater_id UUID, guidelines VARCHAR, queue VARCHAR, right_answers INTEGER, asked INTEGER, created DOUBLE, batch INTEGER);
CREATE TABLE guidelines (guidelines_id UUID, version VARCHAR, text VARCHAR, author VARCHAR, created DOUBLE, batch INTEGER);

-- The newest thing that each person said about each output, first and second time apart; nothing where they took it back.
CREATE VIEW current_answers AS
    SELECT * FROM label_events WHERE action IN ('label', 'undo', 'skip') AND batch NOT IN (SELECT batch FROM retracted_batches)
    QUALIFY row_number() OVER (PARTITION BY generation_id, rater_id, dimension, repeat ORDER BY created DESC, event_id) = 1 AND action <> 'undo';
CREATE OR REPLACE VIEW current_labels AS SELECT * FROM current_answers WHERE action = 'label' AND repeat = 0;
CREATE VIEW adjudications AS
    SELECT * FROM label_events WHERE action IN ('adjudicate', 'reopen') AND batch NOT IN (SELECT batch FROM retracted_batches)
    QUALIFY row_number() OVER (PARTITION BY generation_id, dimension ORDER BY created DESC, event_id) = 1 AND action = 'adjudicate';
CREATE VIEW current_queues AS
    SELECT * FROM queues WHERE batch NOT IN (SELECT batch FROM retracted_batches)
    QUALIFY row_number() OVER (PARTITION BY queue ORDER BY created DESC) = 1;
