//! The parts of the servers that their stores use.

pub(crate) mod conduit {
    use std::{cell::Cell, collections::HashMap, error, fmt, marker::PhantomData};

    /// An error that is `Send` and not `Sync`.
    #[derive(Debug)]
    pub(crate) struct Error(&'static str, PhantomData<Cell<u8>>);

    impl fmt::Display for Error {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl error::Error for Error {}

    pub(crate) struct Services {
        pub(crate) users: Users,
        pub(crate) appservice: Appservices,
        pub(crate) server_name: String,
        pub(crate) jwt_secret: String,
    }

    #[derive(Default)]
    pub(crate) struct Users(pub(crate) HashMap<String, String>);

    impl Users {
        pub(crate) fn find_from_token(
            &self,
            token: &str,
        ) -> Result<Option<(String, String)>, Error> {
            let session = self.0.get(token);
            match session.map(String::as_str) {
                Some("broken") => Err(Error("the record of a session is broken", PhantomData)),
                user => Ok(user.map(|user| (user.to_owned(), "DEVICE".to_owned()))),
            }
        }
    }

    #[derive(Clone)]
    pub(crate) struct Registration {
        pub(crate) sender_localpart: String,
    }

    /// Apart from the users' tokens.
    #[derive(Default)]
    pub(crate) struct Appservices(pub(crate) HashMap<String, Registration>);

    impl Appservices {
        pub(crate) async fn find_from_token(&self, token: &str) -> Option<Registration> {
            tokio::task::yield_now().await;
            self.0.get(token).cloned()
        }
    }

    pub(crate) mod jwt {
        pub(crate) struct Claims {
            pub(crate) sub: String,
        }

        /// A token is `secret.subject` here.
        pub(crate) fn decode(token: &str, secret: &str) -> Option<Claims> {
            let sub = token.strip_prefix(secret)?.strip_prefix('.')?.to_owned();
            Some(Claims { sub })
        }
    }
}

pub(crate) mod continuwuity {
    use std::{
        collections::{HashMap, HashSet},
        error, fmt,
        sync::{Arc, Mutex},
    };

    use tower_account_status::{AccountGuard, Changes};

    #[derive(Debug)]
    pub(crate) enum Error {
        NotFound,
        Database,
    }

    impl Error {
        pub(crate) fn is_not_found(&self) -> bool {
            matches!(self, Self::NotFound)
        }
    }

    impl fmt::Display for Error {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                Self::NotFound => "Not found",
                Self::Database => "the database is away",
            })
        }
    }

    impl error::Error for Error {}

    #[derive(Default)]
    pub(crate) struct Services {
        pub(crate) users: Users,
        pub(crate) appservice: Table,
        pub(crate) threepid: Table,
        pub(crate) timeline: Table,
        pub(crate) server_name: String,
        pub(crate) changes: Changes,
        /// Kept where the handlers find it.
        pub(crate) guard: std::sync::OnceLock<AccountGuard>,
    }

    #[derive(Default)]
    pub(crate) struct Users {
        pub(crate) tokens: Table,
        pub(crate) login_tokens: Table,
        pub(crate) flags: Mutex<HashSet<(String, &'static str)>>,
        pub(crate) broken: Mutex<HashSet<String>>,
    }

    impl Users {
        pub(crate) async fn find_from_token(&self, token: &str) -> Result<(String, String), Error> {
            Ok((self.tokens.get(token).await?, "DEVICE".to_owned()))
        }

        pub(crate) async fn peek_login_token(&self, token: &str) -> Result<String, Error> {
            self.login_tokens.get(token).await
        }

        pub(crate) async fn has_flag(&self, user: &str, flag: &'static str) -> Result<bool, Error> {
            tokio::task::yield_now().await;
            if self.broken.lock().unwrap().contains(user) {
                return Err(Error::Database);
            }
            let flags = self.flags.lock().unwrap();
            Ok(flags.contains(&(user.to_owned(), flag)))
        }
    }

    #[derive(Clone, Default)]
    pub(crate) struct Table(pub(crate) Arc<Mutex<HashMap<String, String>>>);

    pub(crate) struct Registration {
        pub(crate) sender_localpart: String,
    }

    impl Table {
        pub(crate) fn insert(&self, key: &str, value: &str) {
            self.0.lock().unwrap().insert(key.into(), value.into());
        }

        async fn get(&self, key: &str) -> Result<String, Error> {
            tokio::task::yield_now().await;
            self.0
                .lock()
                .unwrap()
                .get(key)
                .cloned()
                .ok_or(Error::NotFound)
        }

        pub(crate) async fn find_from_token(&self, token: &str) -> Result<Registration, Error> {
            let sender_localpart = self.get(token).await?;
            Ok(Registration { sender_localpart })
        }

        pub(crate) async fn owner_of_email(&self, address: &str) -> Result<String, Error> {
            self.get(address).await
        }

        pub(crate) async fn sender_of(&self, event: &str) -> Result<String, Error> {
            self.get(event).await
        }
    }
}
