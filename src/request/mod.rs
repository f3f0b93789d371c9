//! What a request says: which credentials it carries, which accounts its body names, and which
//! endpoint it is for.

pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod few;
pub(crate) mod long_poll;
pub(crate) mod named_account;
pub(crate) mod path;
