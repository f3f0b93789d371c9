//! The layers, and the homeserver behind them.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Request, Response, body::Body as HttpBody};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_account_status::{
    AccountModerationLayer, AccountStatusLayer, CachedStore, Combined, Decision, NamedAccountCheck,
    NamedIn, Outcome, SuspensionPolicy, UnattributedRedactions,
};

use crate::{
    answer::{Body, BoxError},
    args::Args,
    asker::Asker,
    checks,
    directory::Directory,
    logouts::Logouts,
    owner::UpstreamOwner,
    proxy::Proxy,
    restrictions::Restrictions,
    server,
    tokens::Tokens,
    upstream::{self, Upstream},
};

pub(crate) type Store = CachedStore<Combined<UpstreamOwner, Arc<Restrictions>>>;

/// How long a token's owner is remembered: a token never gets another one, and one that has
/// expired is still known to be its account's for as long.
const OWNER_TTL: Duration = Duration::from_secs(24 * 3600);

/// How long a token that the homeserver refuses counts as nobody's. The homeserver may accept it
/// again, when it lifts a restriction of its own.
const UNKNOWN_TTL: Duration = Duration::from_secs(1);

/// What answers every request.
pub(crate) fn app<B>(
    args: &Args,
    server_name: &str,
    upstream: Arc<Upstream>,
    restrictions: Arc<Restrictions>,
) -> impl Service<Request<B>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let tokens = Arc::<Tokens>::default();
    let store = Arc::new(store(
        server_name,
        &upstream,
        &restrictions,
        Arc::clone(&tokens),
    ));
    let limits = args.proxy_limits();
    let proxy =
        Proxy::new(upstream.authority().clone(), limits, args.behind_proxy).with_logouts(Logouts {
            store: Arc::clone(&store),
            tokens: Arc::clone(&tokens),
        });

    let directory = Directory {
        upstream,
        administrators: args.admin.iter().cloned().collect(),
        server_name: server_name.to_owned(),
        tokens,
    };
    let moderation = AccountModerationLayer::new(directory, restrictions).with_wrapped_bodies();
    let mut status = AccountStatusLayer::new(store)
        .with_wrapped_bodies()
        .with_named_account_check(NamedIn::Login, NamedAccountCheck::BeforeHandler)
        // Only the homeserver knows whose a refresh token is. The new access token is refused.
        .with_named_account_check(NamedIn::Refresh, NamedAccountCheck::Off)
        // Who sent an event the homeserver shows to whoever may see it; nobody redacts the others.
        .with_suspension_policy(
            SuspensionPolicy::default()
                .with_unattributed_redactions(UnattributedRedactions::Refuse),
        )
        .with_observer(report);
    if args.exempt_versions {
        status = status.with_exempt_versions();
    }
    for prefix in &args.exclude {
        status = status.add_excluded_prefix(prefix.as_str());
    }
    let layered = status.layer(moderation.layer(proxy));

    let max_body = limits.body;
    service_fn(move |request: Request<B>| {
        let layered = layered.clone();
        async move {
            if let Some(problem) = checks::problem(&request, max_body) {
                return Ok(problem.response(request.uri().path()));
            }
            let asker = Asker::of(&request);
            let response = asker.scope(layered.oneshot(request)).await?;
            Ok(response.map(BodyExt::boxed_unsync))
        }
    })
}

fn store(
    server_name: &str,
    upstream: &Arc<Upstream>,
    restrictions: &Arc<Restrictions>,
    tokens: Arc<Tokens>,
) -> Store {
    let owner = UpstreamOwner {
        upstream: Arc::clone(upstream),
        restrictions: Arc::clone(restrictions),
        server_name: server_name.to_owned(),
        tokens,
    };
    CachedStore::new(Combined::new(owner, Arc::clone(restrictions)))
        .with_owner_ttl(OWNER_TTL)
        .with_unknown_ttl(UNKNOWN_TTL)
        .with_max_lookups(256)
        .with_lookup_timeout(upstream::TIMEOUT)
}

/// Refusals and failures go to the log: who and why, and never with what.
fn report(outcome: &Outcome<'_>) {
    match (outcome.decision(), outcome.denial(), outcome.account()) {
        (Decision::Refused | Decision::Ended, Some(denial), Some(user)) => {
            let (decision, endpoint) = (outcome.decision(), outcome.endpoint());
            server::note(format_args!(
                "{decision} {endpoint} of {user:?}: {:?}",
                denial.cause()
            ));
        }
        _ => {
            if let Some(error) = outcome.store_error() {
                server::report(format_args!("nobody can be looked up: {error}"));
            }
        }
    }
}
