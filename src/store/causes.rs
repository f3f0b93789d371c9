//! An error and its causes as text.

use std::{error::Error, fmt::Write as _};

/// The cause and its causes as one text. A cause with which the text before it ends is not repeated: some
/// errors show their sources themselves.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    if let Some(causes) = error.source().map(chain) {
        if !text.ends_with(&causes) {
            let _ = write!(text, ": {causes}");
        }
    }
    text
}
