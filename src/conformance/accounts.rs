//! The checks of an [`AccountStateStore`](crate::AccountStateStore), in their order.

use super::{
    account_run::Run,
    credentials,
    fixture::Fixture,
    logouts, many,
    report::{Passed, Promise, Report},
    services, states,
};
use crate::account::AccountState;

/// Checks the promises of an [`AccountStateStore`](crate::AccountStateStore).
///
/// It does not check what the [`Fixture`] cannot make: print what it returns, which says so. With a
/// fixture of the two required methods, that is most of what concerns credentials.
///
/// It cannot find these mistakes: a look-up that folds names otherwise than the login handler, a broken
/// record of a credential that is answered with `None`, and a [`without!`](crate::without) that is not
/// true. If a store blocks its thread for ever, the test hangs too.
///
/// # Errors
///
/// Every promise that was found broken. A method that panics or hangs is reported once, by its name,
/// and is not called again. The other checks go on.
pub async fn check<F: Fixture>(fixture: &F) -> Result<Passed, Report> {
    let mut run = Run::new(fixture);
    Box::pin(credentials::check(&mut run)).await;
    Box::pin(services::check(&mut run)).await;
    Box::pin(states::check(&mut run)).await;
    Box::pin(many::check(&mut run)).await;
    Box::pin(logouts::check(&mut run)).await;
    for user in std::mem::take(&mut run.touched) {
        run.set(Promise::ChangeIsVisibleAtOnce, &user, &AccountState::ACTIVE)
            .await;
    }
    run.findings.into_result()
}
