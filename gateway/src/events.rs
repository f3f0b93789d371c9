//! The senders of events.

use hyper::StatusCode;
use tower_account_status::UserId;

use crate::{
    asker::Asker,
    upstream::{Upstream, UpstreamError, encode},
};

impl Upstream {
    /// The sender of the event, if the asker may see it. `None` if the homeserver shows no such event, or not
    /// exactly the one that was asked for.
    pub(crate) async fn sender(
        &self,
        room: &str,
        event: &str,
        asker: &Asker,
    ) -> Result<Option<UserId>, UpstreamError> {
        let path = format!(
            "/_matrix/client/v3/rooms/{}/event/{}",
            encode(room.as_bytes()),
            encode(event.as_bytes())
        );
        let answer = self.get_as(&path, asker).await?;
        match answer.status {
            StatusCode::OK if answer.text("event_id") == Some(event) => {
                Ok(answer.text("sender").map(UserId::from))
            }
            status if status == StatusCode::OK || is_no(status) => Ok(None),
            _ => Err(answer.unexpected()),
        }
    }
}

/// Whether the homeserver has answered that it shows no such event.
fn is_no(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
    )
}
