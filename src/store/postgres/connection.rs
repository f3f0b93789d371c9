//! A connection of the pool with its prepared statements, and what is set on a session.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio_postgres::{Client, Row, Statement, types::ToSql};

use super::dial::EndOnDrop;
use crate::locks::{Mutex, lock};

type Answer<T> = Result<T, tokio_postgres::Error>;

/// One connection, with the statements that are prepared on it.
pub(super) struct Connection {
    client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    pub(super) made_at: Instant,
    pub(super) generation: u64,
    _driver: EndOnDrop,
}

impl Connection {
    pub(super) fn new(client: Client, driver: EndOnDrop, generation: u64) -> Self {
        Self {
            client,
            statements: Mutex::default(),
            made_at: Instant::now(),
            generation,
            _driver: driver,
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Answer<Vec<Row>> {
        let statement = self.prepared(sql).await?;
        self.client.query(&statement, parameters).await
    }

    pub(super) async fn execute(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Answer<u64> {
        let statement = self.prepared(sql).await?;
        self.client.execute(&statement, parameters).await
    }

    async fn prepared(&self, sql: &str) -> Answer<Statement> {
        if let Some(statement) = lock(&self.statements).get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        lock(&self.statements).insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// Makes a session one of this store's. Not before it is known that no pooler hands the session to
/// other clients, which would have these settings as well.
///
/// A server does not notice that a client which waits for a lock has gone away. So each statement has a
/// time limit at the server, unless the role has a shorter one. With row level security a role would see
/// an empty table, and no error. Without it, reading the table is an error. A commit that is acknowledged
/// before it is on the disk would be undone by a crash.
pub(super) async fn configure(client: &Client, statement_limit: Duration) -> Answer<()> {
    let limit = statement_limit.as_millis();
    let sql = format!(
        "SET row_security = off; \
         SELECT pg_catalog.set_config(name, 'on', false) FROM pg_catalog.pg_settings \
         WHERE name = 'synchronous_commit' AND setting = 'off'; \
         SELECT pg_catalog.set_config(name, '{limit}', false) FROM pg_catalog.pg_settings \
         WHERE name = 'statement_timeout' AND setting::bigint NOT BETWEEN 1 AND {limit}"
    );
    client.batch_execute(&sql).await
}
