//! The commands that the server prints for trying it out.

/// A shell script, to be pasted piece by piece, for the server at `base_url`.
pub(crate) fn commands(base_url: &str, admin: &str, admin_password: &str) -> String {
    format!(
        r#"
  # Register a user and log the administrator in:
  base={base_url}
  token() {{ sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p'; }}
  user=$(curl -s $base/_matrix/client/v3/register -d '{{"auth":{{"type":"m.login.dummy"}},"username":"alice","password":"wonderland"}}' | token)
  admin=$(curl -s $base/_matrix/client/v3/login -d '{{"type":"m.login.password","identifier":{{"type":"m.id.user","user":"{admin}"}},"password":"{admin_password}"}}' | token)

  # The user is let in:
  curl -i $base/_matrix/client/v3/account/whoami -H "Authorization: Bearer $user"

  # Lock the account; the same request is refused now, and so is a new login:
  curl -s -X PUT $base/_matrix/client/v1/admin/lock/@alice:localhost -H "Authorization: Bearer $admin" -d '{{"locked":true}}'
  curl -i $base/_matrix/client/v3/account/whoami -H "Authorization: Bearer $user"
  curl -i $base/_matrix/client/v3/login -d '{{"type":"m.login.password","identifier":{{"type":"m.id.user","user":"alice"}},"password":"wonderland"}}'

  # Unlock it; the same token is good again:
  curl -s -X PUT $base/_matrix/client/v1/admin/lock/@alice:localhost -H "Authorization: Bearer $admin" -d '{{"locked":false}}'
  curl -i $base/_matrix/client/v3/account/whoami -H "Authorization: Bearer $user"

  # Log out, which a locked account may do too:
  curl -i -X POST $base/_matrix/client/v3/logout -H "Authorization: Bearer $user"
"#
    )
}
