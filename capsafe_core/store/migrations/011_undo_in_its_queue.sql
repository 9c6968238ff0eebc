-- Taking a label back takes back that of its queue: what the same person said of the output in another queue stands.
CREATE OR REPLACE VIEW current_answers AS
    WITH of_each_queue AS (
        SELECT * FROM counted_labels WHERE action IN ('label', 'undo', 'skip')
        QUALIFY row_number() OVER (
            PARTITION BY generation_id, rater_id, dimension, repeat, queue ORDER BY created DESC, event_id
        ) = 1 AND action <> 'undo'
    )
    SELECT * FROM of_each_queue
    QUALIFY row_number() OVER (
        PARTITION BY generation_id, rater_id, dimension, repeat ORDER BY created DESC, event_id
    ) = 1;
