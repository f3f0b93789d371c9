//! A server's state that does not implement the trait.

use tower_account_status::AccountStatusLayer;

struct Homeserver;

fn main() {
    let _ = AccountStatusLayer::new(Homeserver);
}
