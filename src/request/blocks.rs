//! A byte of some kind is looked for in many at a time, without stopping early: faster than one
//! after the other, since every healthy request's token, query or path comes by.

/// How many bytes are looked at together.
pub(crate) const BLOCK: usize = 16;

/// Whether one of the bytes is of this kind.
#[inline(always)]
pub(crate) fn any(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let at = |block: &[u8; BLOCK], at: usize| is(block[at]);
    any_block(bytes, at).unwrap_or_else(|| bytes.iter().any(|&byte| is(byte)))
}

/// Whether two bytes in a row are such.
#[inline(always)]
pub(crate) fn any_pair(bytes: &[u8], are: impl Fn(u8, u8) -> bool) -> bool {
    let at = |block: &[u8; BLOCK + 1], at: usize| are(block[at], block[at + 1]);
    any_block(bytes, at).unwrap_or_else(|| bytes.windows(2).any(|pair| are(pair[0], pair[1])))
}

/// Whether three bytes in a row are such.
#[inline(always)]
pub(crate) fn any_triple(bytes: &[u8], are: impl Fn(u8, u8, u8) -> bool) -> bool {
    let at = |block: &[u8; BLOCK + 2], at: usize| are(block[at], block[at + 1], block[at + 2]);
    any_block(bytes, at).unwrap_or_else(|| {
        let mut triples = bytes.windows(3);
        triples.any(|triple| are(triple[0], triple[1], triple[2]))
    })
}

/// How many bytes are looked at before the place is looked for among them.
const CHUNK: usize = 256;

/// Where the first byte of this kind is. A function of its own, and a sum of bytes, so that the
/// compiler makes its loop one over many bytes at a time.
#[inline(never)]
pub(crate) fn position(bytes: &[u8], is: impl Fn(u8) -> bool) -> Option<usize> {
    if is(*bytes.first()?) {
        return Some(0);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK));
        let any = chunk.iter().fold(0, |any, &byte| any | u8::from(is(byte)));
        if any != 0 {
            let at = chunk.iter().position(|&byte| is(byte))?;
            return Some(bytes.len() - rest.len() + at);
        }
        rest = after;
    }
    None
}

/// Where the first run of `LEN` bytes is that is such.
#[inline(never)]
pub(crate) fn find<const LEN: usize>(
    bytes: &[u8],
    is: impl Fn(&[u8; LEN]) -> bool,
) -> Option<usize> {
    let is = |run: &[u8]| run.first_chunk().is_some_and(&is);
    let mut rest = bytes;
    while rest.len() >= LEN {
        let chunk = &rest[..rest.len().min(CHUNK + LEN - 1)];
        let mut runs = chunk.windows(LEN);
        if runs.clone().fold(0, |any, run| any | u8::from(is(run))) != 0 {
            let at = runs.position(is)?;
            return Some(bytes.len() - rest.len() + at);
        }
        rest = &rest[chunk.len() - (LEN - 1)..];
    }
    None
}

/// `None` where there are fewer bytes than `LEN`.
#[inline(always)]
fn any_block<const LEN: usize>(
    bytes: &[u8],
    is_at: impl Fn(&[u8; LEN], usize) -> bool,
) -> Option<bool> {
    // The last block overlaps with the one before, so that nothing is left over.
    let mut found = in_block(bytes.last_chunk()?, &is_at);
    let mut rest = bytes;
    while let (true, Some(block)) = (rest.len() > LEN, rest.first_chunk()) {
        found |= in_block(block, &is_at);
        rest = &rest[BLOCK..];
    }
    Some(found != 0)
}

#[inline(always)]
fn in_block<const LEN: usize>(
    block: &[u8; LEN],
    is_at: impl Fn(&[u8; LEN], usize) -> bool,
) -> u128 {
    let found: [u8; BLOCK] = std::array::from_fn(|at| u8::from(is_at(block, at)));
    u128::from_ne_bytes(found)
}

#[cfg(test)]
mod tests {
    use super::{any, any_pair, any_triple, find, position};

    #[test]
    fn wherever_it_is_it_is_found_and_nowhere_else() {
        for len in (0..70).chain(250..270) {
            let mut bytes = vec![b'a'; len];
            assert!(!any(&bytes, |byte| byte == b'x'));
            assert_eq!(position(&bytes, |byte| byte == b'x'), None);
            assert!(!any_pair(&bytes, |one, two| one == b'x' && two == b'y'));
            for at in 0..len {
                bytes[at] = b'x';
                assert!(any(&bytes, |byte| byte == b'x'), "{at} of {len}");
                let is_x = |byte| byte == b'x';
                assert_eq!(position(&bytes, is_x), Some(at), "{at} of {len}");
                let with_two = any_triple(&bytes, |one, two, three| {
                    is_x(one) | is_x(two) | is_x(three)
                });
                assert_eq!(with_two, len >= 3, "{at} of {len}");
                assert_eq!(any_triple(&bytes, |one, _, _| is_x(one)), at + 2 < len);
                if at + 1 < len {
                    bytes[at + 1] = b'y';
                    let is_found = any_pair(&bytes, |one, two| one == b'x' && two == b'y');
                    assert!(is_found, "{at} of {len}");
                    let found = find(&bytes, |run: &[u8; 2]| run == b"xy");
                    assert_eq!(found, Some(at), "{at} of {len}");
                    bytes[at + 1] = b'a';
                }
                bytes[at] = b'a';
            }
        }
    }
}
