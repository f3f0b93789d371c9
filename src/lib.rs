#![cfg_attr(doc, doc = include_str!("guide/links.md"))]
#![cfg_attr(doc, doc = include_str!("../docs/pictures/inline.md"))]
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod account;
mod action;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
mod body;
mod changes;
mod check;
mod checked_accounts;
mod common;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod credential;
mod denial;
mod future;
mod guard;
#[cfg(doc)]
pub mod guide;
mod judge;
mod layer;
mod locks;
#[cfg(all(test, shuttle))]
mod model;
#[cfg(feature = "moderation")]
#[cfg_attr(docsrs, doc(cfg(feature = "moderation")))]
pub mod moderation;
mod outcome;
mod panics;
mod request;
mod service;
mod settings;
mod shared;
pub mod store;
mod suspension;

pub use account::{Account, AccountState, Flags, Restriction, RestrictionKind, UserId};
pub use action::Action;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub use body::AxumBodies;
pub use body::{
    KeptBodies, RequestBodies, RequestBody, ResponseBodies, ResponseBody, WrappedBodies,
};
pub use changes::{Announcement, ChangeListener, Changes, Subscription};
pub use checked_accounts::CheckedAccounts;
pub use credential::{AccessToken, Credential, LoginToken, Logout, Secret, ThirdParty};
pub use denial::{Denial, DenialCause};
pub use future::ResponseFuture;
pub use guard::AccountGuard;
pub use layer::AccountStatusLayer;
#[cfg(feature = "moderation")]
#[cfg_attr(docsrs, doc(cfg(feature = "moderation")))]
pub use moderation::{
    capability::AccountModerationCapability,
    directory::{AccountDirectory, Authentication},
    layer::AccountModerationLayer,
    service::AccountModeration,
};
pub use outcome::{Decision, Outcome};
#[doc(hidden)]
pub use request::checked_path::check_excluded_prefix;
pub use request::{long_poll::LongPoll, request_path::RequestPath};
pub use service::{AccountStatus, IntoMakeService};
pub use settings::{NamedAccountCheck, NamedIn, StoreFailure};
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub use store::cached::{CacheHandle, CacheStats, CachedStore, CachedStoreError};
pub use store::{
    account_state::AccountStateStore,
    answer::Peek,
    combined::Combined,
    erased::DynAccountStateStore,
    memory::MemoryStore,
    restrictions::{RestrictionRecord, RestrictionStore},
};
pub use suspension::{SuspensionPolicy, UnattributedRedactions};
