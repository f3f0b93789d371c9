use std::{sync::Arc, time::SystemTime};

use super::{Restriction, RestrictionKind};

/// What an account may do: everything, unless restrictions say otherwise.
///
/// It has at most one restriction of each [kind](RestrictionKind). They are independent: lifting a lock
/// leaves a suspension as it is. The state of an unrestricted account is a null pointer, and a clone of
/// any other state shares it.
///
/// ```
/// use tower_account_status::{AccountState, Restriction, RestrictionKind};
///
/// let state = AccountState::from(RestrictionKind::Suspended)
///     .with(Restriction::new(RestrictionKind::Locked).with_reason("See your e-mail"));
/// assert!(state.restriction(RestrictionKind::Locked).is_some());
/// assert_eq!(state.without(RestrictionKind::Locked), AccountState::from(RestrictionKind::Suspended));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountState(Option<Arc<Restrictions>>);

type Restrictions = [Option<Restriction>; RestrictionKind::COUNT];

impl AccountState {
    /// The state of an account without restrictions.
    pub const ACTIVE: Self = Self(None);

    /// The same state with `restriction`, which replaces one of its kind.
    #[must_use]
    pub fn with(self, restriction: impl Into<Restriction>) -> Self {
        let restriction = restriction.into();
        let kind = restriction.kind();
        self.replace(kind, Some(restriction))
    }

    /// The same state without a restriction of `kind`.
    #[must_use]
    pub fn without(self, kind: RestrictionKind) -> Self {
        if self.restriction(kind).is_none() {
            return self;
        }
        self.replace(kind, None)
    }

    fn replace(self, kind: RestrictionKind, restriction: Option<Restriction>) -> Self {
        let mut restrictions = self.0.unwrap_or_default();
        Arc::make_mut(&mut restrictions)[kind.index()] = restriction;
        Self(
            restrictions
                .iter()
                .any(Option::is_some)
                .then_some(restrictions),
        )
    }

    /// Whether there is no restriction at all, not even one that has ended.
    #[must_use]
    #[inline]
    pub fn is_active(&self) -> bool {
        self.0.is_none()
    }

    /// The restriction of `kind`, whether it has ended or not.
    #[must_use]
    pub fn restriction(&self, kind: RestrictionKind) -> Option<&Restriction> {
        self.0.as_ref()?[kind.index()].as_ref()
    }

    /// All restrictions in the order of precedence, whether they have ended or not.
    pub fn restrictions(&self) -> impl Iterator<Item = &Restriction> {
        self.0
            .as_deref()
            .into_iter()
            .flatten()
            .filter_map(Option::as_ref)
    }

    /// The restriction that decides at `now`: the first in the order of precedence that is in force.
    #[must_use]
    pub fn in_force(&self, now: SystemTime) -> Option<&Restriction> {
        self.restrictions()
            .find(|restriction| restriction.is_in_force(now))
    }

    /// Every restriction of both states. Of two of the same kind the stricter one counts, which ends later or
    /// not at all. If both end together, this state's counts.
    ///
    /// ```
    /// use tower_account_status::{AccountState, RestrictionKind::{Deactivated, Locked}};
    ///
    /// let state = AccountState::from(Locked).merged_with(&AccountState::from(Deactivated));
    /// assert_eq!(state, [Locked, Deactivated].into_iter().collect());
    /// ```
    #[must_use]
    pub fn merged_with(self, other: &Self) -> Self {
        other.restrictions().fold(self, |state, restriction| {
            match state.restriction(restriction.kind()) {
                Some(own) if !restriction.ends_after(own) => state,
                _ => state.with(restriction.clone()),
            }
        })
    }

    /// Whether a restriction ends by itself, or has ended.
    pub(crate) fn has_end(&self) -> bool {
        self.restrictions()
            .any(|restriction| restriction.until().is_some())
    }
}

impl From<Restriction> for AccountState {
    fn from(restriction: Restriction) -> Self {
        Self::ACTIVE.with(restriction)
    }
}

impl From<RestrictionKind> for AccountState {
    fn from(kind: RestrictionKind) -> Self {
        Self::ACTIVE.with(kind)
    }
}

/// An account's flags in a server's own table, one for each kind of restriction.
///
/// Write it with all its fields, so that the compiler finds a forgotten one:
///
/// ```
/// use tower_account_status::{AccountState, Flags, RestrictionKind};
///
/// # struct Row { deactivated_at: Option<i64>, locked: bool }
/// # let row = Row { deactivated_at: None, locked: true };
/// let state = AccountState::from(Flags {
///     deactivated: row.deactivated_at.is_some(),
///     locked: row.locked,
///     suspended: false, // this server has no such thing
/// });
/// assert_eq!(state, AccountState::from(RestrictionKind::Locked));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// The account was given up for good.
    pub deactivated: bool,
    /// The account is locked.
    pub locked: bool,
    /// The account is suspended.
    pub suspended: bool,
}

impl From<Flags> for AccountState {
    fn from(flags: Flags) -> Self {
        let Flags {
            deactivated,
            locked,
            suspended,
        } = flags;
        [
            (deactivated, RestrictionKind::Deactivated),
            (locked, RestrictionKind::Locked),
            (suspended, RestrictionKind::Suspended),
        ]
        .into_iter()
        .filter_map(|(is_set, kind)| is_set.then_some(kind))
        .collect()
    }
}

impl<R: Into<Restriction>> FromIterator<R> for AccountState {
    fn from_iter<I: IntoIterator<Item = R>>(restrictions: I) -> Self {
        restrictions.into_iter().fold(Self::ACTIVE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{AccountState, Restriction, RestrictionKind::*};

    #[test]
    fn rule_4_deactivated_before_locked_before_suspended() {
        let now = SystemTime::now();
        let all: AccountState = [Suspended, Locked, Deactivated].into_iter().collect();
        assert_eq!(all.in_force(now).unwrap().kind(), Deactivated);
        let two = all.without(Deactivated);
        assert_eq!(two.in_force(now).unwrap().kind(), Locked);
        assert_eq!(two.without(Locked), AccountState::from(Suspended));
    }

    #[test]
    fn rule_2_past_its_end_a_restriction_is_not_in_force() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let state = AccountState::from(Restriction::new(Locked).with_until(now));
        assert!(state.in_force(now - Duration::from_nanos(1)).is_some());
        assert!(state.in_force(now).is_none());
        let both = state.with(Suspended);
        assert_eq!(both.in_force(now).unwrap().kind(), Suspended);
    }

    #[test]
    fn rule_4_of_two_restrictions_of_a_kind_the_one_that_ends_later_counts() {
        let soon = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let ends = |until| Restriction::new(Locked).with_until(until);
        let (early, late) = (ends(soon), ends(soon + Duration::from_secs(1)));
        let forever = Restriction::new(Locked).with_reason("other");
        let own = |restriction: &Restriction| AccountState::from(restriction.clone());
        for (one, other, expected) in [
            (&early, &late, &late),
            (&late, &early, &late),
            (&late, &forever, &forever),
            (&forever, &late, &forever),
        ] {
            assert_eq!(own(one).merged_with(&own(other)), own(expected));
        }
        let same = own(&forever).merged_with(&AccountState::from(Locked));
        assert_eq!(same, own(&forever), "the own one's reason");
        let both = own(&early).merged_with(&AccountState::from(Suspended));
        assert_eq!(both, own(&early).with(Suspended));
        let nothing = AccountState::ACTIVE.merged_with(&AccountState::ACTIVE);
        assert!(nothing.is_active());
    }

    #[test]
    fn lifting_the_last_restriction_leaves_the_active_state() {
        let state = AccountState::from(Locked).without(Locked).without(Locked);
        assert!(state.is_active());
        assert_eq!(state, AccountState::ACTIVE);
    }

    #[test]
    fn a_state_is_one_pointer_wide() {
        assert_eq!(size_of::<AccountState>(), size_of::<usize>());
    }
}
