//! The sender of the current request. The gateway asks the homeserver on their behalf with their credentials.

use hyper::{
    Request,
    header::{AUTHORIZATION, HeaderValue},
};

tokio::task_local! {
    static ASKER: Asker;
}

/// The credentials of a request as it carries them, so that the homeserver reads them in a question in the same
/// way as in the request.
#[derive(Clone, Default)]
pub(crate) struct Asker {
    authorization: Vec<HeaderValue>,
    query: String,
}

impl Asker {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        Self {
            authorization: request
                .headers()
                .get_all(AUTHORIZATION)
                .iter()
                .cloned()
                .collect(),
            query: request.uri().query().unwrap_or_default().to_owned(),
        }
    }

    /// Runs the future that answers the request.
    pub(crate) async fn scope<F: Future>(self, answering: F) -> F::Output {
        ASKER.scope(self, answering).await
    }

    /// The asker of the request that is being answered, or one without credentials if there is none.
    pub(crate) fn current() -> Self {
        ASKER.try_with(Clone::clone).unwrap_or_default()
    }

    pub(crate) fn authorization(&self) -> &[HeaderValue] {
        &self.authorization
    }

    pub(crate) fn query(&self) -> &str {
        &self.query
    }
}
