//! The vocabulary of a suspension policy: what a request would do, in the terms of the Client-Server API.

use std::fmt;

/// Declares each action once: its name in logs, what it covers, its default, and why.
macro_rules! actions {
    ($(
        $(#[doc = $what:literal])+
        $variant:ident = $name:literal, $default:ident: $why:literal;
    )+) => {
        /// What a request would do.
        ///
        /// The vocabulary of a [`SuspensionPolicy`](crate::SuspensionPolicy), and what the refusal of a
        /// suspended account's request names. Which endpoint is which action is listed in the
        /// [policy's table](crate::SuspensionPolicy#endpoint-by-endpoint).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Action {
            $(
                $(#[doc = $what])+
                ///
                #[doc = actions!(@default $default)]
                #[doc = $why]
                $variant,
            )+
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The action's name in logs, in snake case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Whether a suspended account may do this by default.
            #[must_use]
            pub const fn is_permitted_by_default(self) -> bool {
                match self { $(Self::$variant => actions!(@bool $default)),+ }
            }

            /// Why the default is what it is.
            #[cfg(test)]
            pub(crate) const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $why),+ }
            }
        }
    };
    (@default permitted) => { "By default permitted:" };
    (@default refused) => { "By default refused:" };
    (@bool permitted) => { true };
    (@bool refused) => { false };
}

actions! {
    /// Logs in, on this device or a further one, renews tokens, and proves on the server's pages who one is.
    LogIn = "log_in", permitted: "the specification lists it; the new session is suspended too.";
    /// Makes another account.
    Register = "register", permitted: "the endpoint authenticates nobody, so a refusal would only ask for the token to be left out.";
    /// Ends this session or all of them.
    LogOut = "log_out", permitted: "the specification lists it.";
    /// Deletes devices of one's own.
    DeleteDevice = "delete_device", permitted: "the specification lists it.";
    /// Names a device of one's own.
    RenameDevice = "rename_device", permitted: "one's own security; a login, which is permitted, can set the same name.";
    /// Hands a session to a new device by QR code.
    Rendezvous = "rendezvous", permitted: "a way to log in and to verify the new device, both of which the specification lists.";
    /// Keeps, reads or empties a dehydrated device.
    DehydrateDevice = "dehydrate_device", permitted: "receiving messages while no device is there, which the specification lists as reading them.";
    /// Changes one's password, or asks for the e-mail or text message to do so.
    ChangePassword = "change_password", permitted: "one's own security.";
    /// Extends the time until the account expires, on a server where accounts do.
    RenewAccount = "renew_account", permitted: "it concerns the account alone: whether it goes on being there.";
    /// Deactivates one's own account.
    DeactivateAccount = "deactivate_account", permitted: "the specification lists it.";
    /// Adds an e-mail address or phone number to the account.
    AddContact = "add_contact", permitted: "the specification lists it, where the server keeps a log of such changes.";
    /// Removes an e-mail address or phone number from the account.
    RemoveContact = "remove_contact", refused: "the specification lets contacts be added and not removed: moderators reach the person by them.";
    /// Publishes a contact at an identity server, where others find the account by it.
    BindContact = "bind_contact", refused: "it speaks in public, gives the moderators no contact, and needs a token that comes from `request_openid_token`.";
    /// Takes a contact back from an identity server, and leaves it on the account.
    UnbindContact = "unbind_contact", permitted: "it takes back what was published, and moderators still reach the person by the contact.";
    /// Reads what the account keeps for itself: devices, contacts, pushers, rules, account data, tags, filters.
    ReadAccount = "read_account", permitted: "it only reads.";
    /// Reads what the server can do: versions, capabilities, login flows of bridges, TURN servers.
    ReadServer = "read_server", permitted: "it only reads.";

    /// Publishes device keys, one-time keys and fallback keys.
    UploadKeys = "upload_keys", permitted: "without keys no message can be received, and no device verified.";
    /// Publishes cross-signing keys and signatures.
    CrossSign = "cross_sign", permitted: "the specification lists it.";
    /// Asks for the keys of others, and claims their one-time keys.
    QueryKeys = "query_keys", permitted: "verifying a device needs it, which the specification lists.";
    /// Writes the key backup.
    BackUpKeys = "back_up_keys", permitted: "the specification lists it.";
    /// Reads the key backup.
    ReadKeyBackup = "read_key_backup", permitted: "it only reads, and old messages stay dark without it.";
    /// Deletes key backups, or keys in them.
    DeleteKeyBackup = "delete_key_backup", permitted: "one's own security: a backup is replaced by deleting the old one.";
    /// Sends to-device messages.
    SendToDevice = "send_to_device", permitted: "verification and key sharing travel in them, encrypted, so that they can only be permitted as a whole.";
    /// Writes account data of the account or of a room.
    SetAccountData = "set_account_data", permitted: "only the person sees it, and secret storage and cross-signing keep their state in it.";

    /// Receives what is new.
    Sync = "sync", permitted: "the specification lists it.";
    /// Reads events, and lists of them.
    ReadMessages = "read_messages", permitted: "the specification lists it.";
    /// Reads a room's state, members, aliases and summary, and which rooms one is in.
    ReadRoom = "read_room", permitted: "it only reads.";
    /// Reads the directory of public rooms.
    ListPublicRooms = "list_public_rooms", permitted: "it only reads, the `POST` too.";
    /// Searches in messages.
    Search = "search", permitted: "it only reads what the person may read anyway.";
    /// Searches for users.
    SearchUsers = "search_users", permitted: "it only reads.";
    /// Reads profiles, presence and rooms in common.
    ReadProfile = "read_profile", permitted: "it only reads.";
    /// Fetches media, thumbnails and previews of links.
    DownloadMedia = "download_media", permitted: "reading messages includes what is attached to them.";
    /// Stores a filter for the sync.
    CreateFilter = "create_filter", permitted: "clients make one before they sync.";

    /// Marks messages as read, publicly or privately.
    SendReceipt = "send_receipt", permitted: "it has no words in it, and the counters of unread messages, which belong to reading, hang on it.";
    /// Sets or removes a pusher.
    SetPusher = "set_pusher", permitted: "it decides only where one's own notifications go.";
    /// Sets push rules and thread subscriptions.
    SetPushRule = "set_push_rule", permitted: "it decides only about one's own notifications.";
    /// Tags a room, or takes a tag away.
    SetTag = "set_tag", permitted: "only the person sees it.";
    /// Reports an event, a room or a user to the moderators.
    Report = "report", permitted: "it reaches the moderators and nobody else, and the specification wants them to be reachable.";

    /// Joins a room or accepts an invite.
    JoinRoom = "join_room", refused: "the specification lists it.";
    /// Knocks on a room.
    KnockRoom = "knock_room", refused: "the specification lists it.";
    /// Invites somebody.
    Invite = "invite", refused: "the specification lists it.";
    /// Leaves a room, rejects an invite or takes back a knock.
    LeaveRoom = "leave_room", permitted: "the specification lists it.";
    /// Forgets a room that was left.
    ForgetRoom = "forget_room", permitted: "the end of leaving a room, and seen by nobody else.";
    /// Removes somebody from a room.
    Kick = "kick", refused: "it acts on other people.";
    /// Bans somebody from a room.
    Ban = "ban", refused: "it acts on other people.";
    /// Lifts a ban.
    Unban = "unban", refused: "it acts on other people.";
    /// Creates a room.
    CreateRoom = "create_room", refused: "it invites people and names a room in one request.";
    /// Replaces a room by a new one.
    UpgradeRoom = "upgrade_room", refused: "it moves other people.";
    /// Sends a message event of any type, encrypted or not.
    SendMessage = "send_message", refused: "the specification lists it; encrypted messages look all alike, so no type is let through.";
    /// Sends a state event other than one's own leave.
    SendState = "send_state", refused: "it speaks to the whole room.";
    /// Redacts an event that one has sent.
    RedactOwnEvent = "redact_own_event", permitted: "the specification lists it.";
    /// Redacts an event of somebody else, or one of which it is not known whose it is.
    RedactEvent = "redact_event", refused: "the specification lists it; where the sender is not known, a setting decides.";
    /// Cancels an event of one's own that is scheduled and not sent yet.
    CancelDelayedEvent = "cancel_delayed_event", permitted: "it reaches nobody, and is to a scheduled event what redacting one's own is to a sent one.";
    /// Ends one's own part in a call.
    LeaveCall = "leave_call", permitted: "an end of what one takes part in, as leaving a room is.";
    /// Says that one is typing.
    SetTyping = "set_typing", refused: "it speaks to the room.";
    /// Sets one's presence and status message.
    SetPresence = "set_presence", refused: "it speaks to everyone who shares a room.";
    /// Changes the profile: name, picture and other fields.
    SetProfile = "set_profile", refused: "the specification lists it.";
    /// Gives a room an alias, or takes one away.
    SetRoomAlias = "set_room_alias", refused: "it speaks in public.";
    /// Publishes a room in the directory, or takes it out.
    PublishRoom = "publish_room", refused: "it speaks in public.";
    /// Uploads media, or reserves a place for it.
    UploadMedia = "upload_media", refused: "what is uploaded can be fetched by others.";
    /// Deletes media that one has uploaded.
    DeleteMedia = "delete_media", permitted: "it takes back what one has published; whose it is, the server asks.";
    /// Gets a token that proves to another service who one is.
    RequestOpenIdToken = "request_openid_token", refused: "with it one speaks elsewhere in one's name, in a call for example.";
    /// Reads as an administrator: sessions of others, whether they are locked or suspended.
    ReadAdmin = "read_admin", permitted: "it only reads, and the server asks whether one is an administrator.";
    /// Acts as an administrator: locks and suspends other accounts, and whatever else a server's administration does.
    Administer = "administer", refused: "it acts on other people, or lifts one's own suspension.";
    /// Asks the server to ping an application service.
    PingAppService = "ping_appservice", permitted: "it reaches the application service that asks, and nobody else.";

    /// Reads an endpoint that the table does not know: `GET` or `HEAD`.
    UnknownRead = "unknown_read", permitted: "a server changes nothing on these methods; the endpoints that do so all the same are in the table.";
    /// Calls, with a method that can change something, what the table does not know or what is spelled so that it cannot be told.
    Unknown = "unknown", refused: "what is not known to be harmless is not permitted; single endpoints can be.";
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of actions, in one machine word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActionSet(u128);

// Each action has a bit of its own.
const _: () = assert!(Action::ALL.len() <= 128);

impl ActionSet {
    /// The actions that are permitted unless a policy says otherwise.
    pub(crate) const DEFAULT: Self = {
        let (mut bits, mut i) = (0, 0);
        while i < Action::ALL.len() {
            if Action::ALL[i].is_permitted_by_default() {
                bits |= 1 << Action::ALL[i] as u128;
            }
            i += 1;
        }
        Self(bits)
    };

    pub(crate) const fn contains(self, action: Action) -> bool {
        self.0 & 1 << action as u128 != 0
    }

    pub(crate) const fn with(self, action: Action) -> Self {
        Self(self.0 | 1 << action as u128)
    }

    pub(crate) const fn without(self, action: Action) -> Self {
        Self(self.0 & !(1 << action as u128))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Action, ActionSet};

    #[test]
    fn names_are_unique_and_in_snake_case() {
        let names: HashSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        for name in names {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
        }
    }

    #[test]
    fn a_set_holds_each_action_on_its_own() {
        for &action in Action::ALL {
            assert_eq!(
                ActionSet::DEFAULT.contains(action),
                action.is_permitted_by_default()
            );
            let with = ActionSet::DEFAULT.with(action);
            let without = ActionSet::DEFAULT.without(action);
            assert!(
                with.contains(action) && !without.contains(action),
                "{action}"
            );
            for &other in Action::ALL.iter().filter(|&&other| other != action) {
                assert_eq!(
                    with.contains(other),
                    other.is_permitted_by_default(),
                    "{action} {other}"
                );
                assert_eq!(
                    without.contains(other),
                    with.contains(other),
                    "{action} {other}"
                );
            }
        }
    }
}
