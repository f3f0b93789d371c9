//! How the cache answers for many accounts by one look-up.

use super::{CachedStore, flights::Seat, tables::Read};
use crate::{
    account::{AccountState, UserId},
    store::{AccountStateStore, StoreError},
};

type State = Result<AccountState, StoreError>;

/// What the cache knows of an account before it asks the store.
enum Known<'a> {
    State(State),
    /// Its answer is kept if the flight is still on the board when it lands.
    Asked(Seat<'a, Result<Read, StoreError>>),
}

impl<S: AccountStateStore> CachedStore<S> {
    /// The states of `users`, in their order: the remembered ones, and the others by one look-up.
    pub(super) async fn find_states(&self, users: &[UserId]) -> Vec<State> {
        let tables = self.tables();
        let known: Vec<Known<'_>> = users.iter().map(|user| self.known(user)).collect();
        let unknown = users.iter().zip(&known);
        let unknown = unknown.filter(|(_, known)| matches!(known, Known::Asked(_)));
        let unknown: Vec<UserId> = unknown.map(|(user, _)| user.clone()).collect();
        let at = tables.time();
        let asked = match unknown.is_empty() {
            true => Ok(Vec::new()),
            false => self.ask_states(&unknown).await,
        };
        let mut asked = asked.map(Vec::into_iter);
        let answer = |(user, known): (&UserId, Known<'_>)| {
            let seat = match known {
                Known::State(state) => return Some(state),
                Known::Asked(seat) => seat,
            };
            let state = match &mut asked {
                Ok(states) => states.next()?,
                Err(failure) => Err(failure.clone()),
            };
            Some(match state {
                Ok(state) => {
                    let (key, read) = (tables.keys.user(user), Ok(Read { state, at }));
                    seat.land(&read, |read, epoch| tables.keep_state(key, read, epoch));
                    read.map(|read| read.state)
                }
                // It is not kept, because the reason may be that too many look-ups were under way.
                Err(error) => self.last_known_or(user, error),
            })
        };
        users.iter().zip(known).map_while(answer).collect()
    }

    fn known(&self, user: &UserId) -> Known<'_> {
        if let Some(state) = self.peek_state(user) {
            return Known::State(Ok(state));
        }
        let tables = self.tables();
        let key = tables.keys.user(user);
        tables.counters.misses.count();
        let seat = tables.state_flights.seat(
            key,
            || tables.epoch(),
            |epoch| tables.state_before(key, epoch),
        );
        match seat {
            Ok(seat) => Known::Asked(seat),
            Err(Ok(read)) => Known::State(Ok(read.state)),
            Err(Err(error)) => Known::State(self.last_known_or(user, error)),
        }
    }

    async fn ask_states(&self, users: &[UserId]) -> Result<Vec<State>, StoreError> {
        let tables = self.tables();
        let load = || async { Ok(self.store.states(users).await) };
        let lookups = &tables.lookups_of_many;
        lookups.ask(tables.settings(), &tables.counters, load).await
    }

    fn last_known_or(&self, user: &UserId, error: StoreError) -> State {
        let tables = self.tables();
        let last_known = tables.last_known_state(tables.keys.user(user));
        last_known.ok_or_else(|| error.with_account(user))
    }
}
