//! Where notifications come from: a channel, and the store's own table if it has one.

use std::sync::Arc;

use tokio_postgres::Client;

use super::{
    error::Cause,
    queries::Queries,
    schema::{MAX_NAME, Schema, TableIdentity, quoted},
};
use crate::store::restricted_set::RestrictedSet;

/// What a listener listens to.
pub(super) struct Source {
    /// Ready for use in a statement. The payload of a notification is a user id, or empty if any account
    /// may have changed.
    pub(super) channel: String,
    /// `None` if a server keeps the restrictions in tables of its own.
    pub(super) table: Option<Table>,
}

/// The store's own table, and the set of it in memory.
pub(super) struct Table {
    pub(super) schema: Schema,
    pub(super) queries: Arc<Queries>,
    pub(super) set: Option<Arc<RestrictedSet>>,
}

impl Source {
    /// A channel that a server notifies by itself.
    pub(super) fn channel(name: &str) -> Result<Self, Cause> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
            return Err(Cause::Name {
                what: "the channel's name",
                name: name.to_owned(),
                longest: MAX_NAME,
            });
        }
        Ok(Self {
            channel: quoted(name),
            table: None,
        })
    }

    pub(super) fn table(table: Table) -> Self {
        Self {
            channel: table.schema.channel().to_owned(),
            table: Some(table),
        }
    }

    pub(super) fn set(&self) -> Option<&Arc<RestrictedSet>> {
        self.table.as_ref()?.set.as_ref()
    }

    /// The table's identity, if it is the store's own and its triggers fire for every change.
    pub(super) async fn identity(&self, client: &Client) -> Result<Option<TableIdentity>, Cause> {
        match &self.table {
            Some(table) => Ok(Some(table.schema.identity(client).await?)),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn a_channels_name_is_taken_as_it_is_or_refused() {
        let source = Source::channel("Locks\"; LISTEN x; --").unwrap();
        assert_eq!(source.channel, "\"Locks\"\"; LISTEN x; --\"");
        assert!(Source::channel(&"x".repeat(63)).is_ok());
        for bad in ["", "a\0b", &"x".repeat(64)] {
            assert!(Source::channel(bad).is_err(), "{bad:?}");
        }
    }
}
