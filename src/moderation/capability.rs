use serde::ser::{Serialize, SerializeStruct, Serializer};

/// The value of the `m.account_moderation` capability in the server's own answer to
/// `GET /_matrix/client/v3/capabilities`
/// ([account moderation capability](https://spec.matrix.org/latest/client-server-api/#capabilities-negotiation)).
///
/// It says what the requester may do. Add it if the requester is an administrator, and else leave the key
/// out.
///
/// ```
/// use tower_account_status::AccountModerationCapability;
///
/// let mut capabilities = serde_json::Map::new();
/// let is_administrator = true; // the requester, to your own mind
/// if is_administrator {
///     capabilities.insert(
///         AccountModerationCapability::NAME.to_owned(),
///         serde_json::to_value(AccountModerationCapability::FULL).unwrap(),
///     );
/// }
/// let expected = r#"{"m.account_moderation":{"lock":true,"suspend":true}}"#;
/// assert_eq!(serde_json::to_string(&capabilities).unwrap(), expected);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountModerationCapability {
    /// Whether accounts can be locked.
    pub lock: bool,
    /// Whether accounts can be suspended.
    pub suspend: bool,
}

impl AccountModerationCapability {
    /// The capability's key.
    pub const NAME: &'static str = "m.account_moderation";

    /// The key before version 1.18 of the specification. It is also the flag in the `unstable_features` of
    /// `GET /_matrix/client/versions`, with the value `true`. Clients that know only the unstable paths read
    /// it
    /// ([MSC4323](https://github.com/matrix-org/matrix-spec-proposals/pull/4323)).
    pub const UNSTABLE_NAME: &'static str = "uk.timedout.msc4323";

    /// The capabilities that the [layer](crate::AccountModerationLayer) gives an administrator: both.
    pub const FULL: Self = Self {
        lock: true,
        suspend: true,
    };
}

impl Serialize for AccountModerationCapability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serializer.serialize_struct("AccountModerationCapability", 2)?;
        value.serialize_field("lock", &self.lock)?;
        value.serialize_field("suspend", &self.suspend)?;
        value.end()
    }
}
