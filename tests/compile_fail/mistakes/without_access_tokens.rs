//! Every server has access tokens.

use tower_account_status::{AccountStateStore, without};

struct Homeserver;

impl AccountStateStore for Homeserver {
    without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes,
        access_token
    }
}

fn main() {}
