//! The metrics for Prometheus. No label holds a token, a user id or a path.

use metrics::{
    Counter, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tower_account_status::{
    Action, CacheHandle, Changes, Denial, DenialCause, Outcome, RestrictionKind,
    moderation::{self, Refusal},
};

use crate::{
    answer::{BoxError, Problem},
    upstream::UpstreamError,
};

const DECISIONS: &str = "account_status_decisions_total";
const MODERATION: &str = "account_status_moderation_total";
const LOOKUP_TIME: &str = "account_status_lookup_seconds";
const FAILURES: &str = "account_status_failures_total";
const CONNECTIONS: &str = "account_status_connections";
const WAITING: &str = "account_status_waiting_syncs";
const NEWS_BELIEVED: &str = "account_status_news_believed";
const NEWS_BELIEVED_FOR: &str = "account_status_news_believed_seconds";
const CACHE_ENTRIES: &str = "account_status_cache_entries";
const CACHE_HITS: &str = "account_status_cache_hits_total";
const CACHE_MISSES: &str = "account_status_cache_misses_total";
const CACHE_LOADS: &str = "account_status_cache_loads_total";
const CACHE_FAILURES: &str = "account_status_cache_failures_total";
const CACHE_OVERLOADS: &str = "account_status_cache_overloads_total";
const CACHE_LAST_KNOWN: &str = "account_status_cache_last_known_total";

/// Each `of` and `cause` of a failure. They are there from the start with 0, because to Prometheus a series that
/// appears with 1 is no rise, and the first failure would alert nobody.
const FAILURE_CAUSES: [(&str, &[&str]); 3] = [
    (
        "question",
        &[
            "unreachable",
            "broke_off",
            "timed_out",
            "too_long",
            "unexpected_answer",
            "not_told",
        ],
    ),
    ("restrictions", &["unavailable"]),
    (
        "request",
        &[
            "bad_gateway",
            "gateway_timeout",
            "bad_request",
            "form",
            "media_type",
            "too_large",
            "slow_body",
            "stopping",
        ],
    ),
];

/// The endpoints of moderators, and what a request wants. A failure of each is there from the start, too.
const MODERATED: [&str; 2] = ["admin/lock/{userId}", "admin/suspend/{userId}"];
const WANTED: [&str; 3] = ["set", "lift", "none"];

/// Renders what has been recorded since it was installed.
pub(crate) struct Metrics {
    recorder: PrometheusHandle,
    cache: CacheHandle,
    news: Option<Changes>,
}

impl Metrics {
    /// Begins to record.
    pub(crate) fn install(cache: CacheHandle, news: Option<Changes>) -> Result<Self, BoxError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&[
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
            ])?
            .install_recorder()?;
        describe_counter!(DECISIONS, "Decisions on requests");
        describe_counter!(MODERATION, "Outcomes of moderators' requests");
        describe_histogram!(LOOKUP_TIME, "How long an awaited look-up took");
        describe_counter!(FAILURES, "Failures, with their causes");
        describe_gauge!(CONNECTIONS, "Connections of clients");
        describe_gauge!(WAITING, "Syncs that wait for the homeserver's answer");
        describe_gauge!(
            NEWS_BELIEVED,
            "1 while announcements of changes are believed to arrive"
        );
        describe_gauge!(
            NEWS_BELIEVED_FOR,
            "Seconds until announcements are no longer believed without another proof; negative after that"
        );
        describe_gauge!(CACHE_ENTRIES, "Entries in the cache");
        describe_counter!(CACHE_HITS, "Questions that were answered from memory");
        describe_counter!(CACHE_MISSES, "Questions that were not answered from memory");
        describe_counter!(CACHE_LOADS, "Look-ups that were begun");
        describe_counter!(CACHE_FAILURES, "Look-ups that failed");
        describe_counter!(
            CACHE_OVERLOADS,
            "Look-ups that were not begun, because too many were under way"
        );
        describe_counter!(CACHE_LAST_KNOWN, "Answers from a last known state");
        for (of, causes) in FAILURE_CAUSES {
            for &cause in causes {
                counter!(FAILURES, "of" => of, "cause" => cause).increment(0);
            }
        }
        for endpoint in MODERATED {
            for wanted in WANTED {
                let decision = moderation::Decision::Failed.as_str();
                for cause in [Refusal::Unavailable, Refusal::NotKnown] {
                    moderation_counter(decision, cause.as_str(), wanted, endpoint).increment(0);
                }
            }
        }
        Ok(Self {
            recorder,
            cache,
            news,
        })
    }

    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        let stats = self.cache.stats();
        for (name, value) in [
            (CACHE_HITS, stats.hits),
            (CACHE_MISSES, stats.misses),
            (CACHE_LOADS, stats.loads),
            (CACHE_FAILURES, stats.failures),
            (CACHE_OVERLOADS, stats.overloads),
            (CACHE_LAST_KNOWN, stats.last_known),
        ] {
            counter!(name).absolute(value);
        }
        #[allow(clippy::cast_precision_loss, reason = "there are not so many")]
        gauge!(CACHE_ENTRIES).set(stats.entries as f64);
        if let Some(news) = &self.news {
            gauge!(NEWS_BELIEVED).set(f64::from(u8::from(news.is_believed())));
            if let Some(end) = news.believed_until() {
                let now = std::time::Instant::now();
                let left = end.saturating_duration_since(now).as_secs_f64();
                let over = now.saturating_duration_since(end).as_secs_f64();
                gauge!(NEWS_BELIEVED_FOR).set(left - over);
            }
        }
        self.recorder.render()
    }

    /// Keeps the recorded data small. Call it at an interval.
    pub(crate) fn tidy(&self) {
        self.recorder.run_upkeep();
    }
}

/// A decision of the layer.
pub(crate) fn decision(outcome: &Outcome<'_>) {
    let denial = outcome.denial();
    counter!(
        DECISIONS,
        "decision" => outcome.decision().as_str(),
        "cause" => denial.map_or("none", |denial| cause(denial.cause())),
        "action" => denial.and_then(Denial::action).map_or("none", Action::as_str),
        "endpoint" => outcome.endpoint(),
    )
    .increment(1);
    if let Some(time) = outcome.lookup_time() {
        let answered = match outcome.store_error() {
            None => "yes",
            Some(_) => "no",
        };
        histogram!(LOOKUP_TIME, "answered" => answered).record(time);
    }
}

/// The outcome of a moderator's request.
pub(crate) fn moderation(outcome: &moderation::Outcome<'_>) {
    let cause = outcome.refusal().map_or("none", Refusal::as_str);
    let wanted = match outcome.wanted() {
        Some(true) => "set",
        Some(false) => "lift",
        None => "none",
    };
    let decision = outcome.decision().as_str();
    moderation_counter(decision, cause, wanted, outcome.endpoint()).increment(1);
}

fn moderation_counter(
    decision: &'static str,
    cause: &'static str,
    wanted: &'static str,
    endpoint: &'static str,
) -> Counter {
    counter!(
        MODERATION,
        "decision" => decision,
        "cause" => cause,
        "wanted" => wanted,
        "endpoint" => endpoint,
    )
}

/// The homeserver did not answer a question of the gateway's own.
pub(crate) fn failed_question(error: &UpstreamError) {
    let cause = match error {
        UpstreamError::Failed(_) => "unreachable",
        UpstreamError::Broken(_) => "broke_off",
        UpstreamError::TimedOut => "timed_out",
        UpstreamError::TooLong => "too_long",
        UpstreamError::Unexpected(_) => "unexpected_answer",
        UpstreamError::Refused(_) | UpstreamError::UnknownAccount => "not_told",
    };
    counter!(FAILURES, "of" => "question", "cause" => cause).increment(1);
}

/// The database of restrictions gave no answer.
pub(crate) fn failed_restrictions() {
    counter!(FAILURES, "of" => "restrictions", "cause" => "unavailable").increment(1);
}

/// A request that the homeserver did not answer.
pub(crate) fn problem(problem: Problem) {
    counter!(FAILURES, "of" => "request", "cause" => problem.name()).increment(1);
}

/// Something that is counted as long as this lives.
pub(crate) struct Present(&'static str);

impl Present {
    pub(crate) fn connection() -> Self {
        Self::new(CONNECTIONS)
    }

    pub(crate) fn waiting_sync() -> Self {
        Self::new(WAITING)
    }

    fn new(name: &'static str) -> Self {
        gauge!(name).increment(1);
        Self(name)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        gauge!(self.0).decrement(1);
    }
}

pub(crate) fn cause(cause: DenialCause) -> &'static str {
    match cause {
        DenialCause::Restricted(RestrictionKind::Locked) => "locked",
        DenialCause::Restricted(RestrictionKind::Suspended) => "suspended",
        DenialCause::Restricted(RestrictionKind::Deactivated) => "deactivated",
        DenialCause::StoreFailed => "store_failed",
        _ => "bad_request",
    }
}
