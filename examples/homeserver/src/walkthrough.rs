//! The commands that the server prints, to try it out.

/// A shell script, to be pasted piece by piece, for the server at `base_url`.
pub(crate) fn commands(base_url: &str, admin: &str, admin_password: &str) -> String {
    format!(
        r#"
  # Register a user (the second time the user exists already), and log in as both:
  base={base_url}
  value() {{ sed -n 's/.*"'$1'":"\([^"]*\)".*/\1/p'; }}
  login() {{ curl -s $base/_matrix/client/v3/login -d '{{"type":"m.login.password","identifier":{{"type":"m.id.user","user":"'"$1"'"}},"password":"'"$2"'"}}'; }}
  curl -s $base/_matrix/client/v3/register -d '{{"auth":{{"type":"m.login.dummy"}},"username":"alice","password":"wonderland","inhibit_login":true}}'
  user=$(login alice wonderland | value access_token)
  admin=$(login {admin} {admin_password} | value access_token)

  # The user's requests are answered with 200:
  curl -i $base/_matrix/client/v3/account/whoami -H "Authorization: Bearer $user"

  # Let a sync wait for new events, lock the account meanwhile, and see the sync end at once:
  since=$(curl -s $base/_matrix/client/v3/sync -H "Authorization: Bearer $user" | value next_batch)
  curl -i "$base/_matrix/client/v3/sync?timeout=30000&since=$since" -H "Authorization: Bearer $user" & sleep 1
  curl -X PUT $base/_matrix/client/v1/admin/lock/@alice:localhost -H "Authorization: Bearer $admin" -d '{{"locked":true}}'; wait $!

  # Every request of the account is refused now, and so is a new login:
  curl -i $base/_matrix/client/v3/account/whoami -H "Authorization: Bearer $user"
  login alice wonderland

  # Unlock it; the same token is valid again:
  curl -X PUT $base/_matrix/client/v1/admin/lock/@alice:localhost -H "Authorization: Bearer $admin" -d '{{"locked":false}}'
  curl -i $base/_matrix/client/v3/account/whoami -H "Authorization: Bearer $user"

  # Suspend it; it may read, but not create a room:
  curl -X PUT $base/_matrix/client/v1/admin/suspend/@alice:localhost -H "Authorization: Bearer $admin" -d '{{"suspended":true}}'
  curl -i $base/_matrix/client/v3/account/whoami -H "Authorization: Bearer $user"
  curl -i -X POST $base/_matrix/client/v3/createRoom -H "Authorization: Bearer $user"
  curl -X PUT $base/_matrix/client/v1/admin/suspend/@alice:localhost -H "Authorization: Bearer $admin" -d '{{"suspended":false}}'

  # Log out, which a locked or suspended account may also do:
  curl -i -X POST $base/_matrix/client/v3/logout -H "Authorization: Bearer $user"
"#
    )
}
