//! The table and the triggers of the log, and how a statement tells them who makes the change.

/// The second version of the schema, below a search path that has the schema in it.
///
/// The function runs as its owner, so that a role that changes restrictions can neither write the log
/// nor delete from it. It records `session_user`.
pub(super) fn migration_sql(schema: &str) -> String {
    format!(
        r#"CREATE TABLE IF NOT EXISTS {schema}.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL CHECK (action IN ('set', 'lifted')),
    reason text,
    until timestamptz,
    actor text,
    channel text NOT NULL,
    note text,
    made_at timestamptz NOT NULL,
    database_user text NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_by_time ON {schema}.audit (recorded_at, id);
CREATE INDEX IF NOT EXISTS audit_by_user ON {schema}.audit (user_id, recorded_at, id);
CREATE OR REPLACE FUNCTION {schema}.record_change() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $function$
DECLARE
    said json := nullif(current_setting('account_status.change', true), '')::json;
    recorded_now timestamptz := clock_timestamp();
    said_by text := said->>'actor';
    said_through text := coalesce(said->>'channel', 'sql');
    said_note text := said->>'note';
    said_at timestamptz := coalesce((said->>'at')::timestamptz, recorded_now);
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO audit (recorded_at, user_id, kind, action, reason, until, actor, channel, note,
            made_at, database_user)
        SELECT recorded_now, r.user_id, r.kind, 'lifted', r.reason, r.until, said_by, said_through,
            said_note, said_at, session_user
        FROM restrictions r;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (OLD.user_id, OLD.kind) <> (NEW.user_id, NEW.kind) THEN
        INSERT INTO audit (recorded_at, user_id, kind, action, reason, until, actor, channel, note,
            made_at, database_user)
        VALUES (recorded_now, OLD.user_id, OLD.kind, 'lifted', OLD.reason, OLD.until, said_by,
            said_through, said_note, said_at, session_user);
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        IF said IS NULL AND (TG_OP = 'INSERT' OR NEW.set_by IS DISTINCT FROM OLD.set_by) THEN
            said_by := NEW.set_by;
        END IF;
        INSERT INTO audit (recorded_at, user_id, kind, action, reason, until, actor, channel, note,
            made_at, database_user)
        VALUES (recorded_now, NEW.user_id, NEW.kind, 'set', NEW.reason, NEW.until, said_by,
            said_through, said_note, said_at, session_user);
    END IF;
    RETURN NULL;
END
$function$;
CREATE OR REPLACE TRIGGER record_change AFTER INSERT OR UPDATE OR DELETE ON {schema}.restrictions
    FOR EACH ROW EXECUTE FUNCTION {schema}.record_change();
CREATE OR REPLACE TRIGGER record_truncate BEFORE TRUNCATE ON {schema}.restrictions
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.record_change();
ALTER TABLE {schema}.restrictions ENABLE ALWAYS TRIGGER record_change;
ALTER TABLE {schema}.restrictions ENABLE ALWAYS TRIGGER record_truncate;
"#
    )
}

/// The beginning of a statement, which tells the triggers who makes the change, through what, why and
/// when. The setting ends with the transaction, which is the statement.
pub(super) fn said(actor: &str, channel: &str, note: &str, at: &str) -> String {
    format!(
        "WITH said AS MATERIALIZED (SELECT pg_catalog.set_config('account_status.change', \
         pg_catalog.json_build_object('actor', {actor}::text, 'channel', {channel}::text, \
         'note', {note}::text, 'at', {at}::timestamptz)::text, true) AS change)"
    )
}
