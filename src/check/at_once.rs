//! Everything that can be decided without waiting, and what the store is asked at once.

use super::{Findings, fast_path::FastPath, limits::Failure};
use crate::{
    account::Account,
    credential::{AccessToken, Claim},
    denial::{Denial, DenialCause},
    judge::{self, Verdict},
    panics::unless_it_panics,
    request::{
        act::Act,
        class::{Class, CountedTokens},
        few::{MAX_PER_REQUEST, TooMany},
        head::{Head, HeadCredentials},
        naming::Naming,
    },
    settings::{NamedAccountCheck, StoreFailure},
    shared::Shared,
    store::{
        AccountStateStore, Peek,
        ask::{self, Known, Rest},
    },
};

/// What is known of a request without waiting.
pub(crate) enum AtOnce {
    /// It passes. The class is known if the request could be anything but ordinary.
    Pass(Option<Class>),
    Refuse(Denial),
    /// The store must be awaited, for what its answers leave open if there are any; or the body must be
    /// read.
    Await(Class, Option<Answers>),
}

impl<S: AccountStateStore> Shared<S> {
    /// `seen` is what the fast path has found, so that it is not looked for again.
    pub(crate) fn check_at_once(
        &self,
        head: &Head<'_>,
        seen: FastPath,
        found: &mut Findings,
    ) -> AtOnce {
        let may_be_special = matches!(seen, FastPath::MayBeSpecial);
        let peeked = match seen {
            FastPath::LogsOut => {
                let class = Class::of(head.act(), &self.settings.exemptions);
                return AtOnce::Pass(Some(class));
            }
            FastPath::Glanced(peek) => self.glanced(head, peek, found),
            _ => self.peek_all(head.credentials(), CountedTokens::All, None, found),
        };
        // The usual case first: nobody is restricted, and no other class would change that.
        let needs_class = || {
            may_be_special
                || Class::may_be_special(head.method, &head.path)
                || head.may_name_accounts_unseen()
        };
        if matches!(peeked, Peeked::Active) && !needs_class() {
            return AtOnce::Pass(None);
        }
        let class = Class::of(head.act(), &self.settings.exemptions);
        found.hands_on_guard = self.may_ask_guard(class, head);
        found.is_refresh = found.hands_on_guard && class.is_refresh();
        match self.check_classified(class, head, peeked, found) {
            Ok(answer) => answer,
            Err(denial) => AtOnce::Refuse(denial),
        }
    }

    fn check_classified(
        &self,
        class: Class,
        head: &Head<'_>,
        mut peeked: Peeked,
        found: &mut Findings,
    ) -> Result<AtOnce, Denial> {
        let is_active = matches!(peeked, Peeked::Active);
        if class.passes {
            if !is_active {
                found.forget();
            }
            return Ok(AtOnce::Pass(Some(class)));
        }
        if !head.knows_path && (!is_active || head.may_name_accounts_unseen()) {
            self.failed(Failure::UriPanicked, found)?;
            return Ok(AtOnce::Pass(None));
        }
        if class.tokens == CountedTokens::None {
            found.forget();
            peeked = Peeked::Active;
        } else if class.may_authenticate_service_itself() {
            // Other accounts were asked for before the class was known.
            found.forget();
            peeked = self.peek_all(head.credentials_for(class), class.tokens, None, found);
        }
        let has_to_wait = match peeked {
            Peeked::Active => false,
            Peeked::TooMany => return Err(self.denial(DenialCause::TooManyCredentials)),
            Peeked::Other { answers, failure } => {
                let needs_more = self.judge_all(class, head, found)?;
                if let Some(failure) = failure {
                    self.failed(failure, found)?;
                }
                if answers.is_some() {
                    return Ok(AtOnce::Await(class, answers));
                }
                needs_more
            }
        };
        let has_to_wait = has_to_wait
            || class
                .naming
                .is_some_and(|naming| self.asks_for_named(naming, head, found));
        Ok(match has_to_wait {
            true => AtOnce::Await(class, None),
            false => AtOnce::Pass(Some(class)),
        })
    }

    /// Takes over what the store has said about the only token in the head.
    fn glanced(&self, head: &Head<'_>, peek: Peek, found: &mut Findings) -> Peeked {
        found.has_plain_token = true;
        match peek {
            Peek::Account(account) => {
                let is_active = account.state().is_active();
                // It is the first.
                found.accounts.push(account).unwrap_or_default();
                match is_active {
                    true => Peeked::Active,
                    false => Peeked::Other {
                        answers: None,
                        failure: None,
                    },
                }
            }
            Peek::Ask => {
                let mut answers = Answers::none();
                answers.keep(0, Said::Await(Rest::All));
                Peeked::Other {
                    answers: Some(answers),
                    failure: None,
                }
            }
            // A part of it may be known.
            Peek::Unknown => {
                self.peek_all(head.credentials(), CountedTokens::All, Some(peek), found)
            }
        }
    }

    /// What the store says at once about all the credentials in a head that count. `glanced` is what it
    /// has said about the first of them.
    fn peek_all(
        &self,
        credentials: Result<HeadCredentials<'_>, TooMany>,
        tokens: CountedTokens,
        mut glanced: Option<Peek>,
        found: &mut Findings,
    ) -> Peeked {
        let Ok(credentials) = credentials else {
            return Peeked::TooMany;
        };
        let (mut is_active, mut has_to_ask, mut failure) = (true, false, None);
        let mut answers = Answers::none();
        found.has_plain_token = matches!(credentials, HeadCredentials::Only(_));
        // Not a loop: in `for_each` each kind of credentials is read in its own way.
        credentials.iter().enumerate().for_each(|(turn, access)| {
            let said = match self.peek(counted(tokens, access), glanced.take()) {
                Ok(Known::Account(account)) => {
                    is_active &= account.state().is_active();
                    // There are no more accounts than credentials.
                    Said::Account(found.accounts.place(account).unwrap_or_default())
                }
                Ok(Known::Unknown) => Said::Unknown,
                Ok(Known::Await(rest)) => {
                    has_to_ask = true;
                    Said::Await(rest)
                }
                Err(failed) => {
                    failure = Some(failed);
                    return;
                }
            };
            answers.keep(turn, said);
        });
        match is_active && !has_to_ask && failure.is_none() {
            true => Peeked::Active,
            false => Peeked::Other {
                answers: has_to_ask.then_some(answers),
                failure,
            },
        }
    }

    /// What the store says at once.
    #[inline]
    pub(super) fn peek(&self, claim: Claim<'_>, glanced: Option<Peek>) -> Result<Known, Failure> {
        unless_it_panics(|| ask::at_once(&*self.store, claim, glanced))
            .map_err(|_| Failure::Panicked)
    }

    /// Refuses the accounts that were found, or says whether more must be known about one of them.
    pub(super) fn judge_all(
        &self,
        class: Class,
        head: &Head<'_>,
        found: &mut Findings,
    ) -> Result<bool, Denial> {
        let (mut has_to_wait, mut failure) = (false, None);
        for account in found.accounts.iter() {
            match self.judge(class, head.act(), account) {
                Ok(Verdict::Pass) => {}
                Ok(Verdict::LeaveToHandler) => found.hands_on_guard = true,
                Ok(Verdict::Refuse(refusal)) => return Err(self.refuse(account, refusal)),
                Ok(Verdict::NeedsBody(_) | Verdict::NeedsSender(_)) => has_to_wait = true,
                Err(failed) => failure = Some(failed),
            }
        }
        if let Some(failure) = failure {
            self.failed(failure, found)?;
        }
        Ok(has_to_wait)
    }

    /// Whether the accounts that the body names are looked up before the handler runs.
    #[inline]
    pub(super) fn asks_for_named(&self, naming: Naming, head: &Head<'_>, found: &Findings) -> bool {
        let is_owned = !found.accounts.is_empty() && head.has_unmistakable_token();
        match self.settings.named_accounts.of(naming.endpoint) {
            NamedAccountCheck::BeforeHandler => naming.goes_by_body(is_owned),
            NamedAccountCheck::ByHandler | NamedAccountCheck::Off => false,
        }
    }

    /// Whether the check of the accounts that the body names is left to the handler. It then has the guard
    /// on every way on which the request passes.
    fn may_ask_guard(&self, class: Class, head: &Head<'_>) -> bool {
        let checks = &self.settings.named_accounts;
        match class.naming {
            Some(naming) => checks.may_ask_guard(Some(naming.endpoint)),
            None => head.may_name_accounts_unseen() && checks.may_ask_guard(None),
        }
    }
}

/// The judge, as this layer asks it and answers for it.
impl<S> Shared<S> {
    /// The judge's verdict on an account now.
    ///
    /// # Errors
    ///
    /// If the clock panics.
    #[inline]
    pub(super) fn judge<'a>(
        &self,
        class: Class,
        act: Act<'a>,
        account: &Account,
    ) -> Result<Verdict<'a>, Failure> {
        if account.state().is_active() {
            return Ok(Verdict::Pass);
        }
        let now = self.settings.now_for(&account.state);
        let now = now.map_err(|_| Failure::ClockPanicked)?;
        Ok(judge::judge(
            &self.settings.suspension,
            class,
            act,
            account,
            now,
        ))
    }

    /// Refuses a request that the store gives no answer for, if the settings want that.
    pub(super) fn failed(&self, failure: Failure, found: &mut Findings) -> Result<(), Denial> {
        found.failure = Some(failure);
        match self.settings.store_failure {
            StoreFailure::Refuse => Err(self.denial(DenialCause::StoreFailed)),
            StoreFailure::LetEveryoneThrough => Ok(()),
        }
    }

    /// A denial without an account.
    pub(super) fn denial(&self, cause: DenialCause) -> Denial {
        Denial::from_cause(cause).with_cors(self.settings.cors_headers)
    }

    /// The denial for a refusal of the judge.
    pub(super) fn refuse(&self, account: &Account, refusal: judge::Refusal) -> Denial {
        refusal
            .denial(account.clone())
            .with_cors(self.settings.cors_headers)
    }
}

/// What the store says at once about the credentials in a head.
enum Peeked {
    /// All of them belong to active accounts or to nobody.
    Active,
    /// There are more than are looked up.
    TooMany,
    Other {
        /// What it has said, if it must be asked for more.
        answers: Option<Answers>,
        /// Why it gave no answer for one of them. The last one counts.
        failure: Option<Failure>,
    },
}

/// What the store has said at once about the credentials in a head, in their order. It is kept until the
/// store is awaited, so that nothing is asked twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers([Option<Said>; MAX_PER_REQUEST]);

/// What the store has said at once about one credential. Small, because it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    /// Its owner is this one of the accounts that were found at once.
    Account(u8),
    Unknown,
    /// The store must be awaited.
    Await(Rest),
}

impl Answers {
    pub(super) const fn none() -> Self {
        Self([None; MAX_PER_REQUEST])
    }

    pub(super) fn keep(&mut self, turn: usize, said: Said) {
        if let Some(place) = self.0.get_mut(turn) {
            *place = Some(said);
        }
    }

    pub(super) fn of(self, turn: usize) -> Option<Said> {
        self.0.get(turn).copied().flatten()
    }
}

/// What a token in the head claims, if such tokens count.
pub(super) fn counted(tokens: CountedTokens, access: AccessToken<'_>) -> Claim<'_> {
    match tokens {
        CountedTokens::OfServices => Claim::of_service(access),
        CountedTokens::All | CountedTokens::None => access.into(),
    }
}
