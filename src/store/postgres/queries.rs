//! The statements, and the pool that they go through.

use std::collections::HashMap;

use tokio::time::timeout;
use tokio_postgres::{
    Client, Row as SqlRow,
    types::{ToSql, Type},
};

use super::{
    audit_schema,
    error::{Cause, Fault, PostgresStoreError},
    limits::LOOK_UP,
    micros::Micros,
    pool::{Lease, Pool},
    schema::Schema,
};
use crate::{
    account::{AccountState, Restriction, RestrictionKind, UserId},
    store::{
        ChangeRecord, RestrictionRecord, StoreError,
        micros::to_micros,
        stored::{self, Row},
    },
};

type Result<T> = std::result::Result<T, Cause>;
/// Of one account among many.
type OneState = std::result::Result<AccountState, StoreError>;
type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(super) struct Queries {
    pool: Pool,
    state: String,
    record: String,
    first_page: String,
    next_page: String,
    restrict: String,
    lift: String,
    states_of: String,
    all_states: String,
}

impl Queries {
    /// How many restrictions are loaded at once.
    const PAGE: i64 = 10_000;

    pub(super) fn new(pool: Pool, schema: &Schema) -> Self {
        let table = schema.table();
        let said = audit_schema::said("$5", "$7", "$8", "$6");
        let said_of_lift = audit_schema::said("$3", "$4", "$5", "$6");
        let page = |behind: &str, limit: &str| {
            format!(
                "SELECT user_id, kind, reason, until, set_by, set_at FROM {table} \
                 WHERE user_id IN (SELECT DISTINCT user_id FROM {table} {behind} \
                 ORDER BY user_id LIMIT {limit}) ORDER BY user_id"
            )
        };
        Self {
            pool,
            state: format!("SELECT kind, reason, until FROM {table} WHERE user_id = $1"),
            record: format!(
                "SELECT kind, reason, until, set_by, set_at FROM {table} \
                 WHERE user_id = $1 AND kind = $2"
            ),
            first_page: page("", "$1"),
            next_page: page("WHERE user_id > $1", "$2"),
            restrict: format!(
                "{said} INSERT INTO {table} (user_id, kind, reason, until, set_by, set_at) \
                 SELECT $1::text, $2::text, $3::text, $4::timestamptz, $5::text, $6::timestamptz \
                 FROM said ON CONFLICT (user_id, kind) DO UPDATE SET \
                 reason = excluded.reason, until = excluded.until, \
                 set_by = excluded.set_by, set_at = excluded.set_at"
            ),
            lift: format!(
                "{said_of_lift} DELETE FROM {table} USING said WHERE user_id = $1 AND kind = $2"
            ),
            states_of: format!(
                "SELECT user_id, kind, reason, until FROM {table} WHERE user_id = ANY ($1)"
            ),
            all_states: format!(
                "SELECT user_id, kind, reason, until FROM {table} \
                 WHERE (user_id, kind) > ($1, $2) ORDER BY user_id, kind LIMIT $3"
            ),
        }
    }

    pub(super) async fn state(&self, user: &str) -> Result<AccountState> {
        if has_nul(user) {
            return Ok(AccountState::ACTIVE); // it cannot have been restricted
        }
        let rows = self.rows(&self.state, &[&user]).await?;
        let restrictions = rows.iter().map(|row| read_restriction(row, 0));
        restrictions.collect::<Result<_>>()
    }

    /// Of each user what [`state`](Self::state) says, by one statement.
    pub(super) async fn states(&self, users: &[UserId]) -> Result<Vec<OneState>> {
        // Who has a U+0000 cannot have been restricted.
        let names = users.iter().map(UserId::as_str);
        let names: Vec<&str> = names.filter(|user| !has_nul(user)).collect();
        let mut states = HashMap::<String, OneState>::new();
        for row in self.rows(&self.states_of, &[&names]).await? {
            let state = states
                .entry(row.try_get(0)?)
                .or_insert(Ok(AccountState::ACTIVE));
            match read_restriction(&row, 1) {
                Err(cause) => *state = Err(PostgresStoreError::from(cause).into()),
                Ok(restriction) => {
                    if let Ok(state) = state {
                        *state = std::mem::take(state).with(restriction);
                    }
                }
            }
        }
        // A user may be among them twice.
        let state = |user: &UserId| states.get(user.as_str()).cloned();
        let state = |user| state(user).unwrap_or(Ok(AccountState::ACTIVE));
        Ok(users.iter().map(state).collect())
    }

    pub(super) async fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>> {
        if has_nul(user) {
            return Ok(None);
        }
        let rows = self
            .rows(&self.record, &[&user.as_str(), &kind.as_str()])
            .await?;
        rows.first().map(|row| read_record(row, 0)).transpose()
    }

    pub(super) async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = match after {
            None => self.rows(&self.first_page, &[&limit]).await?,
            Some(after) => {
                // PostgreSQL stores no U+0000, so no stored user sorts between the part before it and
                // the whole.
                let after = after.split('\0').next().unwrap_or_default();
                self.rows(&self.next_page, &[&after, &limit]).await?
            }
        };
        let records = rows
            .iter()
            .map(|row| Ok((row.try_get::<_, String>(0)?.into(), read_record(row, 1)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(stored::accounts(records))
    }

    pub(super) async fn restrict(&self, user: &UserId, record: &RestrictionRecord) -> Result<()> {
        let reason = record.restriction().reason();
        let said = Said::of(record.change())?;
        let texts = [Some(user.as_str()), reason];
        if texts.into_iter().flatten().any(has_nul) {
            return Err(Cause::Nul);
        }
        let until = record.restriction().until();
        let parameters: [&(dyn ToSql + Sync); 8] = [
            &user.as_str(),
            &record.kind().as_str(),
            &reason,
            &until.map(|until| Micros(to_micros(until))),
            &said.actor,
            &said.at,
            &said.channel,
            &said.note,
        ];
        // The same row twice is the same row.
        let stored = self
            .execute(&self.restrict, &parameters, Repeat::IsHarmless)
            .await?;
        match stored {
            0 => Err(Cause::NotStored),
            _ => Ok(()),
        }
    }

    pub(super) async fn lift(
        &self,
        user: &UserId,
        kind: RestrictionKind,
        change: &ChangeRecord,
    ) -> Result<bool> {
        if has_nul(user) {
            return Ok(false);
        }
        let said = Said::of(change)?;
        let parameters: Parameters<'_> = &[
            &user.as_str(),
            &kind.as_str(),
            &said.actor,
            &said.channel,
            &said.note,
            &said.at,
        ];
        let lifted = self
            .execute(&self.lift, parameters, Repeat::IsAnotherChange)
            .await?;
        Ok(lifted > 0)
    }

    /// The states of some users, on a connection of the caller's. Who is not among them is active.
    pub(super) async fn states_of(
        &self,
        client: &Client,
        users: &[UserId],
    ) -> Result<HashMap<UserId, AccountState>> {
        let users: Vec<&str> = users.iter().map(UserId::as_str).collect();
        let rows = client
            .query_typed(&self.states_of, &[(&users, Type::TEXT_ARRAY)])
            .await?;
        let mut states = HashMap::new();
        add_states(&mut states, &rows)?;
        Ok(states)
    }

    /// Every restricted account's state, on a connection of the caller's: one page after another,
    /// so that what changes meanwhile may be in it or not.
    pub(super) async fn all_states(
        &self,
        client: &Client,
    ) -> Result<HashMap<UserId, AccountState>> {
        let statement = client.prepare(&self.all_states).await?;
        let mut states = HashMap::new();
        // Before every name of a user: no kind is empty.
        let mut last = (String::new(), String::new());
        loop {
            let rows = client
                .query(&statement, &[&last.0, &last.1, &Self::PAGE])
                .await?;
            add_states(&mut states, &rows)?;
            match rows.last() {
                Some(row) => last = (row.try_get(0)?, row.try_get(1)?),
                None => return Ok(states),
            }
        }
    }

    /// Makes no further use of the connections that there are.
    pub(super) fn renew_connections(&self) {
        self.pool.renew();
    }

    /// Reads through the pool. Once more on a new connection where the first one is over, or does not
    /// answer, and on the same one where the server has cancelled the statement.
    pub(super) async fn rows(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<SqlRow>> {
        let mut lease = self.pool.get().await?;
        for attempt in 0.. {
            let asked = timeout(LOOK_UP, lease.connection()?.query(sql, parameters)).await;
            let error = match asked {
                Ok(Ok(rows)) => {
                    lease.done();
                    return Ok(rows);
                }
                Ok(Err(error)) if attempt == 0 && error.was_cancelled() => continue,
                Ok(Err(error)) if error.is_final() => {
                    lease.done();
                    return Err(error.into());
                }
                Ok(Err(error)) => error.into(),
                Err(_) => Cause::Timeout("a look-up", LOOK_UP),
            };
            lease = Box::pin(self.another(lease, attempt, error)).await?;
        }
        Err(Cause::ConnectionLost) // never reached
    }

    /// Changes through the pool, and once more on a new connection where the first one is over and the
    /// change was not made by it, or may be made twice.
    pub(super) async fn execute(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
        repeat: Repeat,
    ) -> Result<u64> {
        let lease = self.pool.get().await?;
        let (lease, error) = match self.attempt(lease, sql, parameters).await {
            Attempt::Made(changed) => return Ok(changed),
            Attempt::NotMade(error) => return Err(error),
            Attempt::Over(lease, error) => (lease, error),
        };
        let is_open = error.leaves_open_what_was_done();
        if is_open && repeat == Repeat::IsAnotherChange {
            lease.discard();
            return Err(not_known(error.into()));
        }
        let again = Box::pin(async {
            let lease = self.another(lease, 0, error.into()).await?;
            match self.attempt(lease, sql, parameters).await {
                Attempt::Made(changed) => Ok(changed),
                Attempt::NotMade(error) => Err(error),
                Attempt::Over(lease, error) => {
                    lease.discard();
                    self.pool.renew();
                    match error.leaves_open_what_was_done() {
                        true => Err(not_known(error.into())),
                        false => Err(error.into()),
                    }
                }
            }
        });
        // Whatever becomes of the second attempt, the first one may have made the change.
        again.await.map_err(|error| match is_open {
            true => not_known(error),
            false => error,
        })
    }

    async fn attempt(&self, lease: Lease, sql: &str, parameters: Parameters<'_>) -> Attempt {
        let connection = match lease.connection() {
            Ok(connection) => connection,
            Err(error) => return Attempt::NotMade(error),
        };
        match timeout(LOOK_UP, connection.execute(sql, parameters)).await {
            Ok(Ok(changed)) => {
                lease.done();
                Attempt::Made(changed)
            }
            Ok(Err(error)) if error.is_final() => {
                lease.done();
                Attempt::NotMade(error.into())
            }
            Ok(Err(error)) => Attempt::Over(lease, error),
            Err(_) => {
                lease.abandon();
                self.pool.renew();
                Attempt::NotMade(not_known(Cause::Timeout("a change", LOOK_UP)))
            }
        }
    }

    /// Replaces a bad connection with a new one, once.
    async fn another(&self, bad: Lease, attempt: u32, error: Cause) -> Result<Lease> {
        match error {
            Cause::Timeout(..) => bad.abandon(),
            _ => bad.discard(),
        }
        self.pool.renew();
        match attempt {
            0 => self.pool.get_new().await,
            _ => Err(error),
        }
    }
}

/// Whether a change may be made a second time if it is not known whether it was made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    IsHarmless,
    IsAnotherChange,
}

/// What one attempt to make a change has come to.
enum Attempt {
    Made(u64),
    /// Or it is not known, and the error says so.
    NotMade(Cause),
    /// The connection is over or unfit.
    Over(Lease, tokio_postgres::Error),
}

fn not_known(cause: Cause) -> Cause {
    match cause {
        Cause::NotKnown(_) => cause,
        cause => Cause::NotKnown(Box::new(cause)),
    }
}

/// Who makes a change, as the statements take it.
struct Said<'a> {
    actor: Option<&'a str>,
    channel: &'a str,
    note: Option<&'a str>,
    at: Micros,
}

impl<'a> Said<'a> {
    fn of(change: &'a ChangeRecord) -> Result<Self> {
        let said = Self {
            actor: change.actor().map(UserId::as_str),
            channel: change.channel().as_str(),
            note: change.note(),
            at: Micros(to_micros(change.at())),
        };
        let texts = [said.actor, Some(said.channel), said.note];
        match texts.into_iter().flatten().any(has_nul) {
            true => Err(Cause::Nul),
            false => Ok(said),
        }
    }
}

pub(super) fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

fn add_states(states: &mut HashMap<UserId, AccountState>, rows: &[SqlRow]) -> Result<()> {
    for row in rows {
        let restriction = read_restriction(row, 1)?;
        let state = states
            .entry(row.try_get::<_, String>(0)?.into())
            .or_default();
        *state = std::mem::take(state).with(restriction);
    }
    Ok(())
}

fn read_restriction(row: &SqlRow, first: usize) -> Result<Restriction> {
    let until: Option<Micros> = row.try_get(first + 2)?;
    let (kind, reason) = (row.try_get(first)?, row.try_get(first + 1)?);
    Ok(stored::restriction(
        kind,
        reason,
        until.map(|until| until.0),
    )?)
}

fn read_record(row: &SqlRow, first: usize) -> Result<RestrictionRecord> {
    let until: Option<Micros> = row.try_get(first + 2)?;
    let set_at: Micros = row.try_get(first + 4)?;
    let row = Row {
        kind: row.try_get(first)?,
        reason: row.try_get(first + 1)?,
        until: until.map(|until| until.0),
        set_by: row.try_get(first + 3)?,
        set_at: set_at.0,
    };
    Ok(row.into_record()?)
}
