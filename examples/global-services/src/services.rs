//! What every handler reaches through [`services`].

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier, password_hash::SaltString};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    account_status::{RESTRICTIONS, set_deactivated},
    database::Database,
    error::{Error, Result},
};

static SERVICES: OnceLock<Services> = OnceLock::new();

/// The services of this process.
///
/// # Panics
///
/// Before [`start`].
pub fn services() -> &'static Services {
    SERVICES.get().expect("the services have been started")
}

/// Opens the databases and starts the services: once in a process.
///
/// # Errors
///
/// If the server's own database cannot be opened.
///
/// # Panics
///
/// If the file of the restrictions cannot be used, or the services run already.
pub fn start(config: Config) -> Result<()> {
    let users = Users(Database::open(&config.folder.join("server.db"))?);
    let appservice = Appservices(config.registrations);
    let globals = Globals {
        server_name: config.server_name,
        jwt_secret: config.jwt_secret,
        admin: config.admin,
        folder: config.folder,
    };
    let services = Services {
        syncs: AtomicU64::new(0),
        users,
        appservice,
        globals,
    };
    assert!(SERVICES.set(services).is_ok(), "the services run already");
    std::sync::LazyLock::force(&RESTRICTIONS);
    Ok(())
}

/// What the operator decides.
#[derive(Debug)]
pub struct Config {
    /// The name of the server, behind the colon of a user id.
    pub server_name: String,
    /// Where both databases are.
    pub folder: PathBuf,
    /// Signs logins by JSON Web Token.
    pub jwt_secret: String,
    /// The user id of the administrator.
    pub admin: String,
    /// Application services by their token.
    pub registrations: HashMap<String, Registration>,
}

/// An application service.
#[derive(Debug)]
pub struct Registration {
    /// Its own user.
    pub sender_localpart: String,
    /// The beginning of the user ids as which it may act.
    pub namespace: String,
}

/// All services.
pub struct Services {
    pub(crate) users: Users,
    pub(crate) appservice: Appservices,
    pub(crate) globals: Globals,
    syncs: AtomicU64,
}

pub(crate) struct Globals {
    pub(crate) server_name: String,
    pub(crate) jwt_secret: String,
    pub(crate) folder: PathBuf,
    admin: String,
}

pub(crate) struct Appservices(HashMap<String, Registration>);

impl Appservices {
    pub(crate) fn find_from_token(&self, token: &str) -> Option<&Registration> {
        self.0.get(token)
    }
}

impl Services {
    /// How many `/sync` have reached their handler, so that a test knows when one waits.
    pub fn syncs_begun(&self) -> u64 {
        self.syncs.load(SeqCst)
    }

    pub(crate) fn begin_sync(&self) {
        self.syncs.fetch_add(1, SeqCst);
    }

    pub(crate) fn is_admin(&self, user: &str) -> bool {
        user == self.globals.admin
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

pub(crate) struct Users(Database);

impl Users {
    pub(crate) fn find_from_token(&self, token: &str) -> Result<Option<(String, String)>> {
        self.0.find_from_token(token)
    }

    pub(crate) fn exists(&self, user: &str) -> Result<bool> {
        Ok(self.0.password(user)?.is_some())
    }

    /// Makes a user. Without a password nobody can log in as this user by password.
    pub(crate) fn create(&self, user: &str, password: Option<&str>) -> Result<()> {
        self.0.set_password(user, &hash(password)?)
    }

    /// Used by the administrator. It makes a deactivated account active again.
    pub(crate) fn set_password(&self, user: &str, password: Option<&str>) -> Result<()> {
        self.0.set_password(user, &hash(password)?)?;
        set_deactivated(user, false)
    }

    pub(crate) fn is_password(&self, user: &str, password: &str) -> Result<bool> {
        let Some(hash) = self.0.password(user)? else {
            return Ok(false);
        };
        let Ok(hash) = PasswordHash::new(&hash) else {
            return Ok(false); // the empty one
        };
        let argon2 = Argon2::default();
        Ok(argon2.verify_password(password.as_bytes(), &hash).is_ok())
    }

    /// A new device, by its token.
    pub(crate) fn create_device(&self, user: &str) -> Result<String> {
        let (device, token) = (random()?, random()?);
        self.0.create_device(user, &device, &token)?;
        Ok(token)
    }

    pub(crate) fn remove_device(&self, user: &str, device: &str) -> Result<()> {
        self.0.remove_device(user, device)
    }

    pub(crate) fn count_devices(&self, user: &str) -> Result<u32> {
        self.0.count_devices(user)
    }

    /// Leaves no flag: the password is empty afterwards, as it is for guests. So the deactivation is
    /// recorded, and first, because one that cannot be recorded must not be half done.
    pub(crate) fn deactivate_account(&self, user: &str) -> Result<()> {
        set_deactivated(user, true)?;
        self.0.remove_all_devices(user)?;
        self.0.set_password(user, "")
    }
}

fn hash(password: Option<&str>) -> Result<String> {
    let Some(password) = password else {
        return Ok(String::new());
    };
    let salt = SaltString::encode_b64(random()?.as_bytes());
    let hash = salt.and_then(|salt| {
        let hash = Argon2::default().hash_password(password.as_bytes(), &salt)?;
        Ok(hash.to_string())
    });
    hash.map_err(|_| Error::BadDatabase("no password hash"))
}

/// Characters that are safe in a path, from 24 random bytes.
fn random() -> Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|_| Error::BadDatabase("no random bytes"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
