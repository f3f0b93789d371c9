//! The bytes of an HTTP/2 client, made by hand so that they can be cut anywhere, and as much of a
//! reader as it takes to see an answer.

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What every connection begins with.
pub(crate) fn preface() -> Vec<u8> {
    let magic = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    [magic.as_slice(), &frame(SETTINGS, 0, 0, b"")].concat()
}

/// A request in one frame of headers and, unless the body is empty, two of data.
pub(crate) fn request(stream: u32, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    let text = |block: &mut Vec<u8>, text: &str| {
        block.push(
            u8::try_from(text.len())
                .ok()
                .filter(|&len| len < 127)
                .expect("a short text"),
        );
        block.extend(text.as_bytes());
    };
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0); // literal, not to be indexed
        text(&mut block, name);
        text(&mut block, value);
    }
    let end = if body.is_empty() { END_STREAM } else { 0 };
    let mut bytes = frame(HEADERS, END_HEADERS | end, stream, &block);
    if !body.is_empty() {
        let (first, second) = body.as_bytes().split_at(body.len() / 2);
        bytes.extend(frame(DATA, 0, stream, first));
        bytes.extend(frame(DATA, END_STREAM, stream, second));
    }
    bytes
}

/// The client is no longer interested in a stream.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    const CANCEL: u32 = 8;
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) is_200: bool,
    pub(crate) body: String,
}

/// The answer on `stream`, if all of it is among `bytes`.
pub(crate) fn answer(mut bytes: &[u8], stream: u32) -> Option<Answer> {
    let (mut is_200, mut body) = (None, Vec::new());
    loop {
        let (head, rest) = bytes.split_at_checked(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        if head[5..9] != stream.to_be_bytes() {
            continue;
        }
        match head[3] {
            // `:status: 200` is one byte, and comes first.
            HEADERS => is_200 = is_200.or(Some(payload.first() == Some(&0x88))),
            DATA => body.extend(payload),
            _ => continue,
        }
        if head[4] & END_STREAM != 0 {
            let body = String::from_utf8(body).expect("a body that is text");
            return Some(Answer {
                is_200: is_200?,
                body,
            });
        }
    }
}
