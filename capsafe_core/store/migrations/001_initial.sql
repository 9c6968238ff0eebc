-- Facts. Insert-only; every row belongs to the batch (the job) that brought it. No keys: duplicates are kept out on insert.
CREATE TABLE batches (batch INTEGER, job_id VARCHAR, kind VARCHAR, name VARCHAR, created DOUBLE, code_version VARCHAR);
CREATE TABLE batch_events (batch INTEGER, action VARCHAR, happened DOUBLE);
CREATE TABLE offsets (job_id VARCHAR, part INTEGER, bytes BIGINT, error_bytes BIGINT);
CREATE TABLE job_errors (job_id VARCHAR, part INTEGER, unit VARCHAR, message VARCHAR, happened DOUBLE);
CREATE TABLE conflicts (batch INTEGER, type VARCHAR, id UUID, line VARCHAR);

CREATE TABLE studies (study_id UUID, name VARCHAR, text VARCHAR, digest VARCHAR, primary_digest VARCHAR, declared DOUBLE, batch INTEGER);
CREATE TABLE checkpoints (checkpoint_id UUID, origin VARCHAR, origin_digest VARCHAR, adapters VARCHAR[], batch INTEGER);
CREATE TABLE path_points (point_id UUID, path_id UUID, study VARCHAR, recipe VARCHAR, seed INTEGER, step INTEGER, checkpoint_id UUID, start VARCHAR, dataset VARCHAR, learning_rate DOUBLE, batch INTEGER);
CREATE TABLE benchmarks (benchmark_id UUID, name VARCHAR, version VARCHAR, kind VARCHAR, digest VARCHAR, size INTEGER, licence VARCHAR, source VARCHAR, batch INTEGER);
CREATE TABLE prompts (prompt_id UUID, benchmark_id UUID, item VARCHAR, position INTEGER, text VARCHAR, messages VARCHAR, category VARCHAR, behaviour VARCHAR, behaviour_text VARCHAR, context VARCHAR, reference VARCHAR, batch INTEGER);
CREATE TABLE conditions (condition_id UUID, system_prompt VARCHAR, template_digest VARCHAR, few_shot INTEGER, temperature DOUBLE, top_p DOUBLE, max_tokens INTEGER, engine VARCHAR, engine_version VARCHAR, dtype VARCHAR, batch INTEGER);
CREATE TABLE attacks (attack_id UUID, name VARCHAR, settings VARCHAR, batch INTEGER);
CREATE TABLE cells (cell_id UUID, checkpoint_id UUID, benchmark_id UUID, condition_id UUID, attack_id UUID, batch INTEGER);
CREATE TABLE generations (generation_id UUID, cell_id UUID, prompt_id UUID, sample INTEGER, seed BIGINT, text VARCHAR, finish_reason VARCHAR, tokens INTEGER, batch INTEGER);
CREATE TABLE raters (rater_id UUID, name VARCHAR, kind VARCHAR, family VARCHAR, dimensions VARCHAR[], version VARCHAR, stance VARCHAR, settings VARCHAR, batch INTEGER);
CREATE TABLE judgments (judgment_id UUID, generation_id UUID, cell_id UUID, rater_id UUID, dimension VARCHAR, status VARCHAR, label VARCHAR, native VARCHAR, score DOUBLE, raw VARCHAR, asked VARCHAR, evidence VARCHAR, attempt INTEGER, batch INTEGER);
CREATE TABLE measurements (measurement_id UUID, checkpoint_id UUID, benchmark VARCHAR, metric VARCHAR, value DOUBLE, stderr DOUBLE, n INTEGER, source VARCHAR, batch INTEGER);
CREATE TABLE label_events (event_id UUID, generation_id UUID, cell_id UUID, rater_id UUID, dimension VARCHAR, action VARCHAR, label VARCHAR, shown DOUBLE, created DOUBLE, reasons VARCHAR[], evidence VARCHAR, note VARCHAR, queue VARCHAR, batch INTEGER);

-- Canonical labels as small integers: 0 is missing, 9 is a judgment that is no verdict.
CREATE TABLE codes (dimension VARCHAR, label VARCHAR, code UTINYINT);
INSERT INTO codes VALUES ('safety', 'safe', 1), ('safety', 'unsafe', 2), ('refusal', 'none', 1), ('refusal', 'partial', 2), ('refusal', 'full', 3),
    ('coherence', 'coherent', 1), ('coherence', 'incoherent', 2), ('correctness', 'incorrect', 1), ('correctness', 'correct', 2);

-- Roll-ups: made from the facts, remade for a cell whenever one of its current verdicts changes.
CREATE TABLE slots (benchmark_id UUID, slot INTEGER, dimension VARCHAR, rater_id UUID);
CREATE TABLE verdicts (cell_id UUID, generation_id UUID, position INTEGER, sample INTEGER, truncated BOOLEAN, codes UTINYINT[]);
CREATE TABLE patterns (cell_id UUID, truncated BOOLEAN, codes UTINYINT[], n BIGINT);
CREATE TABLE arrays (cell_id UUID, slot INTEGER, codes UTINYINT[]);
-- For each cell, dimension and rater's name the slot of the newest version that has looked at the cell.
CREATE TABLE current_slots (cell_id UUID, dimension VARCHAR, name VARCHAR, rater_id UUID, slot INTEGER);

CREATE VIEW retracted_batches AS
    SELECT batch FROM batch_events GROUP BY batch HAVING arg_max(action, happened) = 'retract';
CREATE VIEW live_generations AS
    SELECT * FROM generations WHERE batch NOT IN (SELECT batch FROM retracted_batches);
CREATE VIEW current_judgments AS
    SELECT * FROM judgments WHERE batch NOT IN (SELECT batch FROM retracted_batches)
    QUALIFY row_number() OVER (PARTITION BY generation_id, rater_id, dimension ORDER BY attempt DESC, judgment_id) = 1;
CREATE VIEW current_labels AS
    SELECT * FROM label_events WHERE batch NOT IN (SELECT batch FROM retracted_batches)
    QUALIFY row_number() OVER (PARTITION BY generation_id, rater_id, dimension ORDER BY created DESC, event_id) = 1 AND action <> 'undo';
