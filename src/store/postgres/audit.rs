//! The log of changes. The table's triggers write it, so there is one writer, whatever changes the
//! table.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_postgres::{Row as SqlRow, types::ToSql};

use super::{
    dial::EndOnDrop,
    error::Cause,
    limits::spread,
    micros::Micros,
    queries::{Queries, Repeat, has_nul},
    schema::Schema,
};
use crate::{
    account::UserId,
    store::{
        AuditEntry, AuditQuery,
        stored::{self, AuditRow},
    },
};

type Result<T> = std::result::Result<T, Cause>;

/// Reads the log, and deletes what is old.
pub(super) struct Audit {
    queries: Arc<Queries>,
    page: String,
    page_of_user: String,
    prune: String,
}

impl Audit {
    /// How many entries are deleted at once. Deleting so few takes milliseconds.
    const PIECE: i64 = 1000;
    const INTERVAL: Duration = Duration::from_secs(600);

    pub(super) fn new(queries: Arc<Queries>, schema: &Schema) -> Self {
        let table = schema.audit();
        let page = |condition: &str| {
            format!(
                "SELECT id, recorded_at, user_id, action, kind, reason, until, actor, channel, \
                 note, made_at, database_user FROM {table} \
                 WHERE {condition} recorded_at >= $1 AND (recorded_at, id) < ($2, $3) \
                 ORDER BY recorded_at DESC, id DESC LIMIT $4"
            )
        };
        Self {
            queries,
            page: page(""),
            page_of_user: page("user_id = $5 AND"),
            prune: format!(
                "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE recorded_at < \
                 clock_timestamp() - make_interval(secs => $1) ORDER BY recorded_at, id LIMIT $2)"
            ),
        }
    }

    /// The newest entries that the query asks for.
    pub(super) async fn entries(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        let user = query.user.as_ref().map(UserId::as_str);
        if user.is_some_and(has_nul) {
            return Ok(Vec::new()); // it cannot have been restricted
        }
        let (since, before) = stored::bounds(query);
        let (since, before, id) = (Micros(since), Micros(before.recorded_at), before.id);
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&since, &before, &id, &limit];
        let sql = match &user {
            Some(user) => {
                parameters.push(user);
                &self.page_of_user
            }
            None => &self.page,
        };
        let rows = self.queries.rows(sql, &parameters).await?;
        rows.iter()
            .map(|row| Ok(read(row)?.into_entry()?))
            .collect()
    }

    /// Deletes entries that are older than `retention` at an interval, as long as the runtime lives.
    pub(super) fn keep_for(self: &Arc<Self>, retention: Duration) -> EndOnDrop {
        let audit = Arc::clone(self);
        EndOnDrop(tokio::spawn(async move {
            loop {
                let wait = match audit.prune(retention).await {
                    Ok(pruned) if pruned < Self::PIECE as u64 => Self::INTERVAL.min(retention),
                    Ok(_) => Duration::ZERO,
                    // The server is away, or the role may not delete.
                    Err(_error) => {
                        #[cfg(feature = "tracing")]
                        crate::store::error::tell_unpruned(&_error);
                        Self::INTERVAL
                    }
                };
                sleep(spread(wait.max(Duration::from_secs(1)))).await;
            }
        }))
    }

    async fn prune(&self, retention: Duration) -> Result<u64> {
        // A thousand years ago is before the first entry, and still a time to PostgreSQL.
        let seconds = retention.as_secs_f64().min(3.2e10);
        let parameters: [&(dyn ToSql + Sync); 2] = [&seconds, &Self::PIECE];
        self.queries
            .execute(&self.prune, &parameters, Repeat::IsHarmless)
            .await
    }
}

fn read(row: &SqlRow) -> Result<AuditRow> {
    let time = |column| Ok::<_, Cause>(row.try_get::<_, Micros>(column)?.0);
    let until: Option<Micros> = row.try_get(6)?;
    Ok(AuditRow {
        id: row.try_get(0)?,
        recorded_at: time(1)?,
        user: row.try_get(2)?,
        action: row.try_get(3)?,
        kind: row.try_get(4)?,
        reason: row.try_get(5)?,
        until: until.map(|until| until.0),
        actor: row.try_get(7)?,
        channel: row.try_get(8)?,
        note: row.try_get(9)?,
        made_at: time(10)?,
        database_user: row.try_get(11)?,
    })
}
