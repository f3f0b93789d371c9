//! Servers that find the endpoint of a request in different ways.

use std::{convert::Infallible, sync::LazyLock};

use axum::{
    body::Body,
    extract::Request,
    response::Response,
    routing::{self, MethodFilter, on},
};
use http::{Method, StatusCode};
use percent_encoding::percent_decode;
use proptest::prelude::*;
use tower::{ServiceExt as _, util::BoxCloneSyncService};
use tower_http::normalize_path::NormalizePath;

use crate::{
    endpoints::{ENDPOINTS, Endpoint},
    harness::Ran,
};

pub(crate) type Router = BoxCloneSyncService<Request, Response, Infallible>;

/// Which router is behind the layer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behind {
    /// axum's, with every endpoint.
    Axum,
    /// The same, and a version is a parameter.
    AnyVersion,
    /// The same behind tower-http's `NormalizePath`.
    Normalized,
    Naive(Naive),
}

/// A router that cleans a path up before it looks for the endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naive {
    /// How many times everything is percent-decoded.
    decodes: u8,
    /// Dot segments are resolved before that, and not after it.
    resolves_first: bool,
    resolves_dots: bool,
    drops_empty_segments: bool,
    drops_last_slash: bool,
    backslash_is_slash: bool,
    drops_matrix_parameters: bool,
    ignores_case: bool,
    /// Characters may have more bytes than they take, or be encoded as in `%u002e`.
    decodes_leniently: bool,
    /// A question mark, a hash sign or a NUL ends a path once it is decoded.
    cuts_paths: bool,
    /// What nobody sees is dropped around dots, and at the end of a segment.
    drops_unseen: bool,
}

pub(crate) fn behind() -> impl Strategy<Value = Behind> {
    let naive = (3..7_u8, any::<u8>()).prop_map(|(router, flags)| Behind::numbered(router, flags));
    prop_oneof![
        2 => Just(Behind::Axum),
        1 => Just(Behind::AnyVersion),
        2 => Just(Behind::Normalized),
        4 => naive,
    ]
}

impl Behind {
    pub(crate) fn router(self) -> Router {
        static AXUM: LazyLock<Router> =
            LazyLock::new(|| BoxCloneSyncService::new(axum(str::to_owned)));
        static ANY_VERSION: LazyLock<Router> = LazyLock::new(|| {
            BoxCloneSyncService::new(axum(|path| {
                path.replace("/client/v3/", "/client/{version}/")
                    .replace("/client/r0/", "/client/{version}/")
                    .replace("/client/v1/", "/client/{version}/")
            }))
        });
        static NORMALIZED: LazyLock<Router> = LazyLock::new(|| {
            BoxCloneSyncService::new(NormalizePath::trim_trailing_slash(axum(|path| {
                path.to_owned()
            })))
        });
        match self {
            Self::Axum => AXUM.clone(),
            Self::AnyVersion => ANY_VERSION.clone(),
            Self::Normalized => NORMALIZED.clone(),
            Self::Naive(naive) => {
                BoxCloneSyncService::new(tower::service_fn(move |request: Request| async move {
                    let found = naive.find(request.method(), request.uri().path());
                    Ok(answer(found))
                }))
            }
        }
    }

    /// A router by its number, for fuzz targets, which have only bytes.
    pub(crate) fn numbered(router: u8, flags: u8) -> Self {
        let flag = |bit: u8| flags & (1 << bit) != 0;
        match router % 8 {
            0 => Self::Axum,
            1 => Self::AnyVersion,
            2 => Self::Normalized,
            other => Self::Naive(Naive {
                decodes: (other - 3) % 4,
                resolves_first: flag(0),
                resolves_dots: flag(1),
                drops_empty_segments: flag(2),
                drops_last_slash: flag(3),
                backslash_is_slash: flag(4),
                drops_matrix_parameters: flag(5),
                ignores_case: flag(6),
                decodes_leniently: flag(7),
                cuts_paths: flag(7) && flag(0),
                drops_unseen: flag(2) && flag(6),
            }),
        }
    }

    /// Whether it finds an endpoint in a path that ends otherwise.
    pub(crate) fn drops_ends(self) -> bool {
        matches!(
            self,
            Self::Naive(naive) if naive.drops_matrix_parameters
                || naive.decodes_leniently
                || naive.drops_unseen
        )
    }

    /// Waits for ever where a handler runs.
    pub(crate) fn waiting(self) -> Router {
        let router = self.router();
        BoxCloneSyncService::new(tower::service_fn(move |request| {
            let router = router.clone();
            async move {
                let response = router.oneshot(request).await?;
                match response.extensions().get::<Ran>() {
                    Some(_) => std::future::pending().await,
                    None => Ok(response),
                }
            }
        }))
    }
}

fn answer(found: Option<usize>) -> Response {
    let mut response = Response::new(Body::empty());
    match found {
        Some(index) => {
            response.extensions_mut().insert(Ran(index));
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

fn axum(rename: impl Fn(&str) -> String) -> axum::Router {
    let mut router = axum::Router::new();
    let mut there = Vec::new();
    for (index, endpoint) in ENDPOINTS.iter().enumerate() {
        let path = numbered(&rename(&endpoint.path));
        if there.contains(&(path.clone(), &endpoint.method)) {
            continue;
        }
        there.push((path.clone(), &endpoint.method));
        let handler = move || async move { answer(Some(index)) };
        let route = match &endpoint.method {
            None => routing::any(handler),
            Some(method) => {
                let filter = MethodFilter::try_from(method.clone()).expect("a usual method");
                on(filter, handler)
            }
        };
        router = router.route(&path, route);
    }
    router
}

/// Names the parameters by their places, because axum accepts only one name in each place.
fn numbered(path: &str) -> String {
    let number = |(at, part): (usize, &str)| match part {
        "{*rest}" => part.to_owned(),
        _ if part.starts_with('{') => format!("{{p{at}}}"),
        _ => part.to_owned(),
    };
    path.split('/')
        .enumerate()
        .map(number)
        .collect::<Vec<_>>()
        .join("/")
}

/// ASCII characters in two and three bytes, and those after `%u00`.
fn decoded_leniently(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let (byte, len) = match rest {
            [0xc0 | 0xc1, low @ 0x80..=0xbf, ..] => (first << 6 | (low & 0x3f), 2),
            [0xe0, middle @ (0x80 | 0x81), low @ 0x80..=0xbf, ..] => {
                (middle << 6 | (low & 0x3f), 3)
            }
            [b'%', b'u', b'0', b'0', digits @ ..] => {
                let digits = digits
                    .get(..2)
                    .and_then(|digits| std::str::from_utf8(digits).ok());
                match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(byte) if byte.is_ascii() => (byte, 6),
                    _ => (*first, 1),
                }
            }
            _ => (*first, 1),
        };
        decoded.push(byte);
        rest = &after[len - 1..];
    }
    decoded
}

fn is_unseen(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || "\u{ad}\u{200b}".contains(letter)
}

fn without_unseen_end(segment: &[u8]) -> &[u8] {
    match std::str::from_utf8(segment) {
        Ok(text) => text.trim_end_matches(is_unseen).as_bytes(),
        Err(_) => segment,
    }
}

impl Naive {
    fn find(self, method: &Method, path: &str) -> Option<usize> {
        let mut path = path.as_bytes().to_vec();
        if self.resolves_first {
            path = self.clean(&path);
        }
        for _ in 0..self.decodes {
            path = percent_decode(&path).collect();
            if self.decodes_leniently {
                path = decoded_leniently(&path);
            }
        }
        if self.cuts_paths {
            let end = path.iter().position(|byte| b"?#\0".contains(byte));
            path.truncate(end.unwrap_or(path.len()));
        }
        if !self.resolves_first {
            path = self.clean(&path);
        }
        let path = String::from_utf8_lossy(&path);
        let path = match self.drops_last_slash {
            true => path.strip_suffix('/').unwrap_or(&path),
            false => &path,
        };
        let mut found: Vec<(usize, &Endpoint)> = ENDPOINTS
            .iter()
            .enumerate()
            .filter(|(_, endpoint)| self.is(endpoint, method, path))
            .collect();
        // What is spelled out goes before a parameter.
        found.sort_by_key(|(_, endpoint)| endpoint.path.matches('{').count());
        found.first().map(|(index, _)| *index)
    }

    fn clean(self, path: &[u8]) -> Vec<u8> {
        let path: Vec<u8> = match self.backslash_is_slash {
            true => path
                .iter()
                .map(|&b| if b == b'\\' { b'/' } else { b })
                .collect(),
            false => path.to_vec(),
        };
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for mut part in path.split(|&b| b == b'/').skip(1) {
            if self.drops_matrix_parameters {
                part = part.split(|&b| b == b';').next().unwrap_or_default();
            }
            let seen = String::from_utf8_lossy(part).replace(is_unseen, "");
            if self.drops_unseen {
                part = match &*seen {
                    "" | "." | ".." => seen.as_bytes(),
                    _ => without_unseen_end(part),
                };
            }
            match part {
                b"" if self.drops_empty_segments => {}
                b"." if self.resolves_dots => {}
                b".." if self.resolves_dots => {
                    parts.pop();
                }
                _ => parts.push(part.to_vec()),
            }
        }
        [b"/", parts.join(&b'/').as_slice()].concat()
    }

    fn is(self, endpoint: &Endpoint, method: &Method, path: &str) -> bool {
        let same_method = match &endpoint.method {
            None => true,
            Some(own) => own == method || (own == Method::GET && method == Method::HEAD),
        };
        let mut parts = path.split('/');
        for own in endpoint.path.split('/') {
            if own == "{*rest}" {
                return same_method && parts.next().is_some();
            }
            let fits = match parts.next() {
                None => false,
                Some(part) if own.starts_with('{') => !part.is_empty(),
                Some(part) if self.ignores_case => own.eq_ignore_ascii_case(part),
                Some(part) => own == part,
            };
            if !fits {
                return false;
            }
        }
        same_method && parts.next().is_none()
    }
}
