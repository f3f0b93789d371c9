//! The tables, where they are, and how they come there.

use tokio_postgres::{Client, types::Type};

use super::{audit_schema, error::Cause};

/// The version of the schema that this version of the crate makes and knows.
const VERSION: i32 = 2;

/// The schema's name, and the names in it, ready for use in a statement.
#[derive(Clone)]
pub(super) struct Schema {
    name: String,
    quoted: String,
    channel: String,
}

impl Schema {
    pub(super) const DEFAULT: &str = "account_status";
    /// The channel's name begins with a prefix.
    pub(super) const MAX_LEN: usize = MAX_NAME - CHANNEL_PREFIX.len();

    pub(super) fn new(name: &str) -> Result<Self, Cause> {
        if name.is_empty() || name.len() > Self::MAX_LEN || name.contains('\0') {
            return Err(Cause::Name {
                what: "the schema's name",
                name: name.to_owned(),
                longest: Self::MAX_LEN,
            });
        }
        Ok(Self {
            name: name.to_owned(),
            quoted: quoted(name),
            channel: quoted(&format!("{CHANNEL_PREFIX}{name}")),
        })
    }

    /// The table of restrictions.
    pub(super) fn table(&self) -> String {
        format!("{}.restrictions", self.quoted)
    }

    /// The log of changes.
    pub(super) fn audit(&self) -> String {
        format!("{}.audit", self.quoted)
    }

    /// The channel of notifications. The payload is the user id, or empty if that is too long or all
    /// accounts may have changed.
    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// Leads from any earlier version, or from nothing, to the current one. It may be run again.
    ///
    /// The notifications come from triggers, so that they are in the transaction of the
    /// change, also of one by a person with psql. They always fire, also if logical replication
    /// makes the change, or a session that says it does.
    pub(super) fn migration_sql(&self) -> String {
        let schema = &self.quoted;
        let audit = audit_schema::migration_sql(schema);
        format!(
            r#"BEGIN;
SELECT pg_advisory_xact_lock(hashtext('tower-account-status'));
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.schema_version (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL
);
CREATE TABLE IF NOT EXISTS {schema}.restrictions (
    user_id text COLLATE "C" NOT NULL CHECK (user_id <> ''),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('deactivated', 'locked', 'suspended')),
    reason text,
    until timestamptz,
    set_by text,
    set_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, kind)
);
CREATE OR REPLACE FUNCTION {schema}.notify_change() RETURNS trigger LANGUAGE plpgsql AS $function$
DECLARE
    channel text := '{CHANNEL_PREFIX}' || TG_TABLE_SCHEMA;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_catalog.pg_notify(channel, '');
        RETURN NULL;
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        PERFORM pg_catalog.pg_notify(
            channel, CASE WHEN octet_length(OLD.user_id) < 7900 THEN OLD.user_id ELSE '' END
        );
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        PERFORM pg_catalog.pg_notify(
            channel, CASE WHEN octet_length(NEW.user_id) < 7900 THEN NEW.user_id ELSE '' END
        );
    END IF;
    RETURN NULL;
END
$function$;
CREATE OR REPLACE TRIGGER notify_change AFTER INSERT OR UPDATE OR DELETE ON {schema}.restrictions
    FOR EACH ROW EXECUTE FUNCTION {schema}.notify_change();
CREATE OR REPLACE TRIGGER notify_truncate AFTER TRUNCATE ON {schema}.restrictions
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.notify_change();
ALTER TABLE {schema}.restrictions ENABLE ALWAYS TRIGGER notify_change;
ALTER TABLE {schema}.restrictions ENABLE ALWAYS TRIGGER notify_truncate;
{audit}INSERT INTO {schema}.schema_version AS known (version) VALUES ({VERSION})
    ON CONFLICT (one) DO UPDATE SET version = excluded.version WHERE known.version < excluded.version;
COMMIT;
"#
        )
    }

    /// Brings an older schema up to date, and refuses a newer one. Without `creates` it refuses a schema
    /// that has no tables, too.
    ///
    /// A schema that is up to date is not changed, so that a role needs no right to create tables once
    /// they are there.
    pub(super) async fn migrate(&self, client: &Client, creates: bool) -> Result<(), Cause> {
        let encoding: String = client
            .query_one("SELECT current_setting('server_encoding')", &[])
            .await?
            .get(0);
        if encoding != "UTF8" {
            return Err(Cause::Encoding(encoding));
        }
        let version = self.version(client).await?;
        if version.is_none() && !creates {
            return Err(Cause::NoTables(self.name.clone()));
        }
        if version == Some(VERSION)
            && self.identity(client).await.is_ok()
            && self.is_recorded(client).await?
        {
            return Ok(());
        }
        // If another process hangs in the middle of a migration, this one fails and says so.
        let begin = "BEGIN; SET LOCAL lock_timeout = '10s';";
        let sql = self.migration_sql().replacen("BEGIN;", begin, 1);
        if let Err(error) = client.batch_execute(&sql).await {
            let _ = client.batch_execute("ROLLBACK").await;
            return Err(error.into());
        }
        match self.version(client).await? {
            Some(_) => self.identity(client).await.map(drop),
            None => Err(Cause::NoSchema),
        }
    }

    /// Which table it is that has the name, where it is one that keeps all its rows and its triggers fire
    /// for every change.
    pub(super) async fn identity(&self, client: &Client) -> Result<TableIdentity, Cause> {
        let sql = "SELECT c.oid, c.relfilenode, (SELECT count(*) FROM pg_catalog.pg_trigger t \
                   WHERE t.tgrelid = c.oid AND t.tgenabled = 'A' \
                   AND t.tgname IN ('notify_change', 'notify_truncate')), \
                   c.relkind = 'r' AND c.relpersistence = 'p' FROM \
                   pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)";
        let rows = client
            .query_typed(sql, &[(&self.table(), Type::TEXT)])
            .await?;
        let Some(row) = rows.first() else {
            return Err(Cause::NoSchema);
        };
        if !row.try_get::<_, bool>(3)? {
            return Err(Cause::NotOrdinary);
        }
        match row.try_get::<_, i64>(2)? {
            2 => Ok(TableIdentity(row.try_get(0)?, row.try_get(1)?)),
            _ => Err(Cause::NoTriggers),
        }
    }

    /// Whether the triggers that write the log fire for every change.
    async fn is_recorded(&self, client: &Client) -> Result<bool, Cause> {
        let sql = "SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgenabled = 'A' \
                   AND tgrelid = pg_catalog.to_regclass($1) \
                   AND tgname IN ('record_change', 'record_truncate')";
        let row = client.query_one(sql, &[&self.table()]).await?;
        Ok(row.try_get::<_, i64>(0)? == 2)
    }

    async fn version(&self, client: &Client) -> Result<Option<i32>, Cause> {
        let table = format!("{}.schema_version", self.quoted);
        let exists: bool = client
            .query_one("SELECT to_regclass($1) IS NOT NULL", &[&table])
            .await?
            .get(0);
        if !exists {
            return Ok(None);
        }
        let rows = client
            .query(&format!("SELECT version FROM {table}"), &[])
            .await?;
        match rows.first().map(|row| row.get::<_, i32>(0)) {
            Some(found) if found > VERSION => {
                let known = VERSION;
                Err(Cause::NewerSchema { found, known })
            }
            version => Ok(version),
        }
    }
}

/// A table, and what holds its rows. Both are others after the table was dropped and made again,
/// the latter also if all rows were rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableIdentity(u32, u32);

/// PostgreSQL cuts longer names off.
pub(super) const MAX_NAME: usize = 63;

const CHANNEL_PREFIX: &str = "account_status:";

/// An identifier, whatever characters it has.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::Schema;

    #[test]
    fn a_schemas_name_is_quoted_wherever_it_stands() {
        let schema = Schema::new("a\"; DROP SCHEMA public; --").unwrap();
        assert_eq!(
            schema.table(),
            "\"a\"\"; DROP SCHEMA public; --\".restrictions"
        );
        let sql = schema.migration_sql();
        assert_eq!(
            sql.matches("DROP SCHEMA").count(),
            sql.matches("\"a\"\"; DROP SCHEMA public; --\"").count(),
            "{sql}"
        );
    }

    #[test]
    fn a_name_that_postgresql_would_cut_off_is_refused() {
        assert!(Schema::new(&"x".repeat(Schema::MAX_LEN)).is_ok());
        for bad in ["", "a\0b", &"x".repeat(Schema::MAX_LEN + 1)] {
            assert!(Schema::new(bad).is_err(), "{bad:?}");
        }
    }
}
