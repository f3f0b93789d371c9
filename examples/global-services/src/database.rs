//! The synchronous database: two tables.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Result;

/// Users who do not log in by password have an empty one: guests, users of application services,
/// everyone who was deactivated.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, password TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS devices (token TEXT PRIMARY KEY, user TEXT NOT NULL, device TEXT NOT NULL);
";

pub(crate) struct Database(Mutex<Connection>);

impl Database {
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let connection = Connection::open(file)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn password(&self, user: &str) -> Result<Option<String>> {
        let connection = self.connection();
        let mut query = connection.prepare_cached("SELECT password FROM users WHERE id = ?")?;
        Ok(query.query_row([user], |row| row.get(0)).optional()?)
    }

    pub(crate) fn set_password(&self, user: &str, hash: &str) -> Result<()> {
        let connection = self.connection();
        connection.execute("INSERT OR REPLACE INTO users VALUES (?, ?)", [user, hash])?;
        Ok(())
    }

    pub(crate) fn find_from_token(&self, token: &str) -> Result<Option<(String, String)>> {
        let connection = self.connection();
        let mut query =
            connection.prepare_cached("SELECT user, device FROM devices WHERE token = ?")?;
        let found = query.query_row([token], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(found.optional()?)
    }

    pub(crate) fn create_device(&self, user: &str, device: &str, token: &str) -> Result<()> {
        let row = params![token, user, device];
        let connection = self.connection();
        connection.execute("INSERT INTO devices VALUES (?, ?, ?)", row)?;
        Ok(())
    }

    pub(crate) fn remove_device(&self, user: &str, device: &str) -> Result<()> {
        let (connection, row) = (self.connection(), [user, device]);
        connection.execute("DELETE FROM devices WHERE user = ? AND device = ?", row)?;
        Ok(())
    }

    pub(crate) fn remove_all_devices(&self, user: &str) -> Result<()> {
        let connection = self.connection();
        connection.execute("DELETE FROM devices WHERE user = ?", [user])?;
        Ok(())
    }

    pub(crate) fn count_devices(&self, user: &str) -> Result<u32> {
        let connection = self.connection();
        let mut query = connection.prepare("SELECT count(*) FROM devices WHERE user = ?")?;
        Ok(query.query_row([user], |row| row.get(0))?)
    }
}
