-- What judges said of answers that were broken on purpose.
CREATE TABLE stress_verdicts (stress_id UUID, rater_id UUID, generation_id UUID, dimension VARCHAR, reason VARCHAR, strength DOUBLE, before VARCHAR, status VARCHAR, label VARCHAR, detected INTEGER, batch INTEGER);
CREATE VIEW counted_stress AS
    SELECT s.* FROM stress_verdicts AS s JOIN ranked_batches AS b ON b.batch = s.batch
    QUALIFY rank() OVER (PARTITION BY s.rater_id, s.generation_id ORDER BY b.is_foreign) = 1;
