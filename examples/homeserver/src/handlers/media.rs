//! Uploads and downloads.

use axum::{
    body::{Body, HttpBody},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{Answer, answer};
use crate::{
    auth::Authenticated,
    database::media::{self, File},
    error::{Error, Result},
    extract::{self, Path, Query},
    homeserver::Homeserver,
    secret,
};

/// The longest file, in bytes.
const MAX_FILE_LEN: u32 = 20 * 1024 * 1024;

#[derive(Deserialize)]
pub(crate) struct Upload {
    filename: Option<String>,
}

/// Reads a file as it arrives. A file whose declared length is too large is refused before that.
pub(crate) async fn upload(
    State(server): super::State,
    session: Authenticated,
    Query(query): Query<Upload>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    if body.size_hint().lower() > MAX_FILE_LEN.into() {
        return Err(Error::too_large());
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/octet-stream");
    let file = File {
        content_type: content_type.to_owned(),
        name: query.filename,
        content: extract::read(body, MAX_FILE_LEN as usize).await?,
    };
    let media_id = secret::random_text(18)?;
    let uri = format!("mxc://{}/{media_id}", server.server_name);
    server
        .database
        .write(move |connection| media::insert(connection, &media_id, &session.user, &file))
        .await?;
    answer!({ "content_uri": uri })
}

pub(crate) async fn config(_: Authenticated) -> Answer {
    answer!({ "m.upload.size": MAX_FILE_LEN })
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    server_name: String,
    media_id: String,
    file_name: Option<String>,
}

pub(crate) async fn download(
    State(server): super::State,
    _: Authenticated,
    Path(wanted): Path<Wanted>,
) -> Result<Response> {
    send(&server, wanted).await
}

/// The deprecated endpoint, which needs no access token.
pub(crate) async fn download_unauthenticated(
    State(server): super::State,
    Path(wanted): Path<Wanted>,
) -> Result<Response> {
    send(&server, wanted).await
}

async fn send(server: &Homeserver, wanted: Wanted) -> Result<Response> {
    let not_found = || Error::not_found("There is no such file");
    if wanted.server_name != server.server_name {
        return Err(not_found());
    }
    let file = server
        .database
        .read(move |connection| media::get(connection, &wanted.media_id))
        .await?
        .ok_or_else(not_found)?;
    let name = wanted.file_name.or(file.name);

    let mut headers = HeaderMap::new();
    // An uploaded file must not run scripts under this server's origin.
    let fixed = [
        (
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let cross_origin = HeaderValue::from_static("cross-origin");
    headers.insert("cross-origin-resource-policy", cross_origin);
    for (header, value) in [
        (
            header::CONTENT_DISPOSITION,
            disposition(&file.content_type, name),
        ),
        (header::CONTENT_TYPE, file.content_type),
    ] {
        if let Ok(value) = value.try_into() {
            headers.insert(header, value);
        }
    }
    Ok((headers, file.content).into_response())
}

fn disposition(content_type: &str, name: Option<String>) -> String {
    const SHOWN: [&str; 5] = [
        "text/plain",
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
    ];

    let kind = match SHOWN.contains(&content_type) {
        true => "inline",
        false => "attachment",
    };
    match name {
        Some(name) => {
            let name = utf8_percent_encode(&name, NON_ALPHANUMERIC);
            format!("{kind}; filename*=utf-8''{name}")
        }
        None => kind.to_owned(),
    }
}
