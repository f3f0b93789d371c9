//! What a request says: which credentials it carries, which accounts its body names, and which
//! endpoint it is for.

pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod few;
pub(crate) mod json;
pub(crate) mod json_key;
pub(crate) mod long_poll;
pub(crate) mod named_account;
pub(crate) mod path;
pub(crate) mod path_source;
