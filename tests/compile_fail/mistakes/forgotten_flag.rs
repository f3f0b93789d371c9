//! A flag that a server has and its store forgets.

use tower_account_status::{AccountState, Flags};

fn main() {
    let _ = AccountState::from(Flags {
        deactivated: false,
        locked: true,
    });
}
