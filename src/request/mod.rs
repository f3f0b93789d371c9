//! What a request says: what it is, which credentials it carries, and which accounts its body
//! names.

pub(crate) mod act;
pub(crate) mod blocks;
pub(crate) mod checked_path;
pub(crate) mod class;
pub(crate) mod credentials;
pub(crate) mod few;
pub(crate) mod head;
pub(crate) mod json;
pub(crate) mod json_key;
pub(crate) mod long_poll;
pub(crate) mod named_account;
pub(crate) mod naming;
pub(crate) mod path;
pub(crate) mod request_path;
mod unseen;
pub(crate) mod version;
