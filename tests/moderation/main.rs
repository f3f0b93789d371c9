//! The moderation endpoints: [server administration] in version 1.18 of the specification, and
//! MSC4323.
//!
//! [server administration]: https://spec.matrix.org/v1.18/client-server-api/#server-administration

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "../support/postgres.rs"]
mod postgres;

mod failures;
mod observer;
mod place;
mod records;
mod rows;
mod stacks;
mod table;
mod world;

use postgres::Cluster;
use tower_account_status::{
    MemoryStore,
    store::{PostgresStore, SqliteStore},
};

/// Runs everything that depends on the store over each of them. With a store comes whatever has to
/// be kept as long as it is in use.
macro_rules! over_every_store {
    ($($store:ident: $make:expr;)*) => {$(
        mod $store {
            use super::*;

            #[tokio::test]
            async fn the_table_on_an_axum_router_with_the_layer() {
                let (store, _keep) = $make;
                table::run(stacks::Stack::LayerOfRouter, store).await;
            }

            #[tokio::test]
            async fn the_table_around_a_whole_axum_router() {
                let (store, _keep) = $make;
                table::run(stacks::Stack::AroundRouter, store).await;
            }

            #[tokio::test]
            async fn the_table_on_bare_hyper() {
                let (store, _keep) = $make;
                table::run(stacks::Stack::Hyper, store).await;
            }

            #[tokio::test]
            async fn every_change_says_who_makes_it() {
                let (store, _keep) = $make;
                records::every_change_says_who_makes_it(store).await;
            }

            #[tokio::test]
            async fn msc4323_a_put_goes_on_record() {
                let (store, _keep) = $make;
                records::a_put_goes_on_record(store).await;
            }

            #[tokio::test]
            async fn msc4323_metadata_is_reflected_where_the_state_stands_already() {
                let (store, _keep) = $make;
                records::metadata_is_reflected_where_the_state_stands_already(store).await;
            }

            #[tokio::test]
            async fn an_ended_restriction_is_replaced() {
                let (store, _keep) = $make;
                records::an_ended_restriction_is_replaced(store).await;
            }

            #[tokio::test]
            async fn spec_account_locking_nobody_is_logged_out() {
                let (store, _keep) = $make;
                place::nobody_is_logged_out(store).await;
            }

            #[tokio::test]
            async fn spec_account_locking_a_locked_administrator_is_locked() {
                let (store, _keep) = $make;
                place::a_locked_administrator_is_locked(store).await;
            }
        }
    )*};
}

over_every_store! {
    memory: (MemoryStore::new(), ());
    sqlite: {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("restrictions.db")).await;
        (store.unwrap(), folder)
    };
    postgres_store: {
        let cluster = Cluster::shared();
        let store = PostgresStore::connect(&cluster.database().await).await;
        (store.unwrap(), cluster)
    };
}
