//! The error of the database stores for a row that cannot be read.

/// A row that this version cannot read, such as one of a kind it does not know.
#[derive(Debug)]
pub(super) struct UnknownKind(pub(super) String);
