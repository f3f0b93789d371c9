//! The headers of a message on its way through. Headers about one connection are removed, and the homeserver
//! learns where the request comes from
//! ([RFC 9110, section 7.6](https://www.rfc-editor.org/rfc/rfc9110#section-7.6)).

use std::net::IpAddr;

use hyper::{
    HeaderMap, Version,
    header::{self, HeaderName, HeaderValue},
    http::{request::Parts, uri::Authority},
};

/// The other end of the connection. It is in a request's extensions.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Whether it is a server in front that says where a request comes from.
    pub(crate) is_trusted: bool,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

const OF_ONE_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// With these a framework sees another method or target than the one that was judged. No Matrix
/// client sends them.
const OF_ANOTHER_REQUEST: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// Removes headers by which a server sees another request, and names with an underscore, which some servers take
/// for a hyphen.
fn take_off_ambiguous(headers: &mut HeaderMap) {
    let with_underscore: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .cloned()
        .collect();
    for name in with_underscore.iter().chain(&OF_ANOTHER_REQUEST) {
        headers.remove(name);
    }
}

/// Removes the headers about one connection, by definition or because `Connection` names them.
pub(crate) fn take_off_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_ONE_CONNECTION) {
        headers.remove(name);
    }
}

/// Turns the headers of the client's request into those of the request to the homeserver.
pub(crate) fn rebuild(parts: &mut Parts, peer: Option<Peer>) {
    let authority = parts.uri.authority().map(Authority::as_str);
    let host = match authority {
        // HTTP/2, or an absolute request target, which counts before the header.
        Some(authority) => HeaderValue::from_str(authority).ok(),
        None => parts.headers.get(header::HOST).cloned(),
    };
    let headers = &mut parts.headers;
    take_off_hop_by_hop(headers);
    take_off_ambiguous(headers);
    // The writer of the body sets the length again. This process sends `100 Continue` itself. A
    // trailer that is not announced is left out, because some servers treat trailers as headers.
    for name in [header::CONTENT_LENGTH, header::EXPECT, header::TRAILER] {
        headers.remove(name);
    }
    join_cookies(headers);
    forwarded(headers, peer, host.as_ref());
    let via = match parts.version {
        Version::HTTP_2 => "2 account-gateway",
        Version::HTTP_10 => "1.0 account-gateway",
        _ => "1.1 account-gateway",
    };
    headers.append(header::VIA, HeaderValue::from_static(via));
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
}

/// HTTP/2 may split cookies; HTTP/1.1 has one header for all.
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Sets where the request comes from. The client's own headers count only if it is a trusted proxy.
fn forwarded(headers: &mut HeaderMap, peer: Option<Peer>, host: Option<&HeaderValue>) {
    if !peer.is_some_and(|peer| peer.is_trusted) {
        for name in [
            X_FORWARDED_FOR,
            X_FORWARDED_PROTO,
            X_FORWARDED_HOST,
            X_REAL_IP,
        ] {
            headers.remove(name);
        }
        headers.remove(header::FORWARDED);
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.insert(X_FORWARDED_HOST, host.clone());
        }
    }
    let Some(peer) = peer else { return };
    let before: Vec<&[u8]> = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let peer = peer.address.to_canonical().to_string();
    let mut all = before.join(&b", "[..]);
    if !all.is_empty() {
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(peer.as_bytes());
    if let Ok(all) = HeaderValue::from_bytes(&all) {
        headers.insert(X_FORWARDED_FOR, all);
    }
}
