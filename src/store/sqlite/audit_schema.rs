//! The tables and triggers of the log.

/// The second version of the schema.
///
/// `current_change` says who makes the change of this transaction. If it is empty, the change is by hand.
/// An update that leaves the row as it was is no change, and an update of a key is two. The clock is read
/// in a way that SQLite also knew before 3.42.
pub(super) const AUDIT: &str = "
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    recorded_at INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('set', 'lifted')),
    reason TEXT,
    until INTEGER,
    actor TEXT,
    channel TEXT NOT NULL,
    note TEXT,
    made_at INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (recorded_at);
CREATE INDEX audit_by_user ON audit (user_id, recorded_at);
CREATE TABLE current_change (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    actor TEXT,
    channel TEXT NOT NULL,
    note TEXT,
    made_at INTEGER NOT NULL
) STRICT;
CREATE VIEW change_now AS
    SELECT
        now AS recorded_at,
        one IS NULL AS is_by_hand,
        actor,
        coalesce(channel, 'sql') AS channel,
        note,
        coalesce(made_at, now) AS made_at
    FROM (SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000 AS now)
    LEFT JOIN current_change;
CREATE TRIGGER audit_insert AFTER INSERT ON restrictions BEGIN
    INSERT INTO audit
        (recorded_at, user_id, kind, action, reason, until, actor, channel, note, made_at)
    SELECT recorded_at, NEW.user_id, NEW.kind, 'set', NEW.reason, NEW.until,
        CASE WHEN is_by_hand THEN NEW.set_by ELSE actor END, channel, note, made_at
    FROM change_now;
END;
CREATE TRIGGER audit_update AFTER UPDATE ON restrictions
WHEN (OLD.user_id, OLD.kind, OLD.reason, OLD.until, OLD.set_by, OLD.set_at)
    IS NOT (NEW.user_id, NEW.kind, NEW.reason, NEW.until, NEW.set_by, NEW.set_at)
BEGIN
    INSERT INTO audit
        (recorded_at, user_id, kind, action, reason, until, actor, channel, note, made_at)
    SELECT recorded_at, OLD.user_id, OLD.kind, 'lifted', OLD.reason, OLD.until,
        actor, channel, note, made_at
    FROM change_now WHERE (OLD.user_id, OLD.kind) IS NOT (NEW.user_id, NEW.kind);
    INSERT INTO audit
        (recorded_at, user_id, kind, action, reason, until, actor, channel, note, made_at)
    SELECT recorded_at, NEW.user_id, NEW.kind, 'set', NEW.reason, NEW.until,
        CASE
            WHEN NOT is_by_hand THEN actor
            WHEN NEW.set_by IS NOT OLD.set_by THEN NEW.set_by
        END, channel, note, made_at
    FROM change_now;
END;
CREATE TRIGGER audit_delete AFTER DELETE ON restrictions BEGIN
    INSERT INTO audit
        (recorded_at, user_id, kind, action, reason, until, actor, channel, note, made_at)
    SELECT recorded_at, OLD.user_id, OLD.kind, 'lifted', OLD.reason, OLD.until,
        actor, channel, note, made_at
    FROM change_now;
END;
";
