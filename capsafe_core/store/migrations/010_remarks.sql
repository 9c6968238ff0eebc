-- What people keep about outputs, and lists that have a name; those of foreign people do not count.
CREATE TABLE remarks (event_id UUID, generation_id UUID, cell_id UUID, author VARCHAR, action VARCHAR, created DOUBLE, text VARCHAR, batch INTEGER);
CREATE TABLE saved_views (view_id UUID, study VARCHAR, name VARCHAR, selection VARCHAR, author VARCHAR, created DOUBLE, batch INTEGER);
CREATE VIEW counted_remarks AS
    SELECT r.* FROM remarks AS r JOIN ranked_batches AS b ON b.batch = r.batch WHERE NOT b.is_foreign;
CREATE VIEW current_stars AS
    SELECT * FROM counted_remarks WHERE action IN ('star', 'unstar')
    QUALIFY row_number() OVER (PARTITION BY generation_id, author ORDER BY created DESC, event_id) = 1 AND action = 'star';
CREATE VIEW current_views AS
    SELECT v.* FROM saved_views AS v JOIN ranked_batches AS b ON b.batch = v.batch WHERE NOT b.is_foreign
    QUALIFY row_number() OVER (PARTITION BY v.study, v.name ORDER BY v.created DESC, v.view_id) = 1 AND v.selection <> '{}';
