//! The layers, and the homeserver behind them.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Request, Response, body::Body as HttpBody};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_account_status::{
    AccountModerationLayer, AccountStatusLayer, CachedStore, Combined, Decision, NamedAccountCheck,
    NamedIn, Outcome, SuspensionPolicy, UnattributedRedactions, UserId,
};

use crate::{
    answer::{Body, BoxError, Problem},
    args::Args,
    asker::Asker,
    checks,
    directory::Directory,
    log,
    logouts::Logouts,
    metrics, moderated,
    owner::UpstreamOwner,
    proxy::Proxy,
    restrictions::Restrictions,
    stop::Stop,
    tokens::Tokens,
    upstream::{self, Upstream},
    waiting,
};

pub(crate) type Store = CachedStore<Combined<UpstreamOwner, Arc<Restrictions>>>;

/// How long a token's owner is remembered. A token never gets another owner, and an expired one still counts as
/// its account's for this long.
const OWNER_TTL: Duration = Duration::from_secs(24 * 3600);

/// How long a token that the homeserver refuses counts as unknown. The homeserver may accept it
/// again, when it lifts a restriction of its own.
const UNKNOWN_TTL: Duration = Duration::from_secs(1);

/// The service that answers every request.
pub(crate) fn app<B>(
    args: &Args,
    server_name: &str,
    upstream: Arc<Upstream>,
    restrictions: Arc<Restrictions>,
    (store, tokens): (Arc<Store>, Arc<Tokens>),
    stop: Stop,
) -> impl Service<Request<B>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let limits = args.proxy_limits();
    let proxy = Proxy::new(upstream.authority().clone(), limits).with_logouts(Logouts {
        store: Arc::clone(&store),
        tokens: Arc::clone(&tokens),
    });

    let directory = Directory {
        upstream,
        administrators: args.admin.iter().cloned().collect(),
        server_name: server_name.to_owned(),
        tokens,
    };
    let moderation = AccountModerationLayer::new(directory, restrictions)
        .with_wrapped_bodies()
        .with_observer({
            let (is_counted, log_refusals) = (args.monitor.is_some(), args.log_refusals);
            move |outcome| {
                if is_counted {
                    metrics::moderation(outcome);
                }
                moderated::report(outcome, log_refusals);
            }
        });
    let mut status = AccountStatusLayer::new(store)
        .with_wrapped_bodies()
        .with_named_account_check(NamedIn::Login, NamedAccountCheck::BeforeHandler)
        // Only the homeserver knows the owner of a refresh token. The new access token is refused.
        .with_named_account_check(NamedIn::Refresh, NamedAccountCheck::Off)
        // The homeserver shows who sent an event to everybody who may see it. If it does not, the event
        // is another's.
        .with_suspension_policy(
            SuspensionPolicy::default()
                .with_unattributed_redactions(UnattributedRedactions::Refuse),
        )
        .with_observer({
            // Finding a request's endpoint costs nearly half as much as the layers.
            let (is_counted, log_refusals) = (args.monitor.is_some(), args.log_refusals);
            move |outcome| {
                if is_counted {
                    metrics::decision(outcome);
                }
                report(outcome, log_refusals);
            }
        });
    if args.report_only {
        status = status.with_report_only();
    }
    if args.exempt_versions {
        status = status.with_exempt_versions();
    }
    for prefix in &args.exclude {
        status = status.add_excluded_prefix(prefix.as_str());
    }
    let layered = status.layer(moderation.layer(proxy));

    let (max_body, report_only, log_refusals) = (limits.body, args.report_only, args.log_refusals);
    service_fn(move |mut request: Request<B>| {
        moderated::keep_request_id(&mut request);
        let (layered, stop) = (layered.clone(), stop.clone());
        async move {
            if let Some(problem) = checks::problem(&request, max_body) {
                let path = request.uri().path();
                // Forms are refused only because a token may be hidden in them.
                if !(report_only && matches!(problem, Problem::Form | Problem::MediaType)) {
                    report_problem(problem, log_refusals);
                    return Ok(problem.response(path));
                }
                metrics::problem(problem);
                tracing::info!(cause = problem.name(), "would be refused");
            }
            let waits = waiting::waits(&request);
            let answering = Asker::of(&request).scope(layered.oneshot(request));
            let response = match waits {
                false => answering.await?,
                true => {
                    let _waiting = metrics::Present::waiting_sync();
                    tokio::select! {
                        biased;
                        response = answering => response?,
                        // The path does not matter, because none of these is a refresh.
                        () = stop.begun() => return Ok(Problem::Stopping.response("")),
                    }
                }
            };
            if let Some(&problem) = response.extensions().get() {
                report_problem(problem, log_refusals);
            }
            Ok(response.map(BodyExt::boxed_unsync))
        }
    })
}

/// The store, which answers from the homeserver and from the database of restrictions, and the tokens that it
/// remembers with their owners.
pub(crate) fn remembered(
    server_name: &str,
    upstream: &Arc<Upstream>,
    restrictions: &Arc<Restrictions>,
) -> (Arc<Store>, Arc<Tokens>) {
    let tokens = Arc::<Tokens>::default();
    let store = store(server_name, upstream, restrictions, Arc::clone(&tokens));
    (Arc::new(store), tokens)
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

/// Writes refusals and failures to the log: who, if it is known, and why, but never the credential.
fn report(outcome: &Outcome<'_>, log_refusals: bool) {
    if let Some(error) = outcome.store_error() {
        log::failure(format_args!(
            "tokens and names cannot be looked up: {error}"
        ));
        return;
    }
    let Some(denial) = outcome.denial() else {
        return;
    };
    let (endpoint, user) = (outcome.endpoint(), outcome.account().map(UserId::as_str));
    let cause = metrics::cause(denial.cause());
    let what = match outcome.decision() {
        Decision::Ended => "ended",
        Decision::WouldRefuse => "would be refused",
        _ => "refused",
    };
    match log_refusals || outcome.decision() == Decision::WouldRefuse {
        true => tracing::info!(endpoint, user, cause, "{what}"),
        false => tracing::debug!(endpoint, user, cause, "{what}"),
    }
}

/// Writes a refusal of the gateway's own to the log. Nobody has looked up whose request it is, and the path
/// is not shown.
fn report_problem(problem: Problem, log_refusals: bool) {
    let cause = problem.name();
    match log_refusals {
        _ if !problem.is_refusal() => {}
        true => tracing::info!(cause, "refused"),
        false => tracing::debug!(cause, "refused"),
    }
}
