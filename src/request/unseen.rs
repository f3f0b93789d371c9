//! What nobody sees in a segment of a path, and some server may trim or drop.

/// How many dots a decoded segment has, if that is at most two, and nothing else that anybody sees: some
/// server may take it for an empty segment or for a dot segment.
pub(super) fn dots_alone(segment: &str) -> Option<u8> {
    let mut dots = 0;
    for letter in segment.chars() {
        match letter {
            '.' | '\u{3002}' | '\u{ff61}' if dots == 2 => return None,
            '.' | '\u{3002}' | '\u{ff61}' => dots += 1,
            _ if u8::try_from(letter).is_ok_and(is_cut) => break,
            _ if is_unseen(letter) => {}
            _ => return None,
        }
    }
    Some(dots)
}

/// Whether some servers cut a segment off there: they know matrix parameters (`..;x` is a dot segment to
/// them), or a decoded question mark, hash sign or NUL ends what they read.
pub(super) fn is_cut(byte: u8) -> bool {
    // Without branches many bytes are compared at a time.
    (byte == b';') | (byte == b'?') | (byte == b'#') | (byte == 0)
}

/// White space of any kind, control characters, what Unicode calls ignorable or has no glyph, and what
/// replaces bytes that are no UTF-8.
pub(super) fn is_unseen(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{ffff}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}
