//! Who sends the request at hand: what the homeserver is asked on their behalf, it is asked with
//! their own credentials.

use hyper::{
    Request,
    header::{AUTHORIZATION, HeaderValue},
};

tokio::task_local! {
    static ASKER: Asker;
}

/// The credentials of a request, as it carries them, so that the homeserver reads them in a
/// question as it reads them in the request.
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

    /// Runs what answers the request.
    pub(crate) async fn scope<F: Future>(self, answering: F) -> F::Output {
        ASKER.scope(self, answering).await
    }

    /// That of the request that is being answered; without credentials if there is none.
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
