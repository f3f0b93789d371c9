//! A short list of distinct things, without an allocation.

/// How many distinct credentials, or accounts named in a body, one request may have. It bounds
/// the look-ups that one request can cause.
pub(crate) const MAX_PER_REQUEST: usize = 4;

/// There would have been more than [`MAX_PER_REQUEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// At most [`MAX_PER_REQUEST`] distinct things, in the order in which they came.
#[derive(Clone, Debug)]
pub(crate) struct Few<T> {
    items: [Option<T>; MAX_PER_REQUEST],
}

impl<T: PartialEq> Few<T> {
    pub(crate) const fn new() -> Self {
        Self {
            items: [const { None }; MAX_PER_REQUEST],
        }
    }

    /// Adds `item` unless it is there already.
    pub(crate) fn push(&mut self, item: T) -> Result<(), TooMany> {
        self.place(item).map(|_| ())
    }

    /// Adds `item` unless it is there already, and says where it is.
    pub(crate) fn place(&mut self, item: T) -> Result<u8, TooMany> {
        for (at, place) in (0..).zip(&mut self.items) {
            match place {
                Some(there) if *there == item => return Ok(at),
                Some(_) => {}
                None => {
                    *place = Some(item);
                    return Ok(at);
                }
            }
        }
        Err(TooMany)
    }

    /// What [`place`](Self::place) has put there.
    pub(crate) fn at(&self, place: u8) -> Option<&T> {
        self.items.get(usize::from(place))?.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map_while(Option::as_ref)
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items[0].is_none()
    }
}

/// Of more than [`MAX_PER_REQUEST`] the first ones.
impl<T: PartialEq> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut few = Self::new();
        let _ = items.into_iter().try_for_each(|item| few.push(item));
        few
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::iter::Flatten<std::slice::Iter<'a, Option<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter().flatten()
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<T>, MAX_PER_REQUEST>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::{Few, TooMany};

    #[test]
    fn the_same_thing_counts_once_and_a_fifth_is_too_many() {
        let mut few = Few::new();
        for item in [1, 2, 1, 3, 4, 4] {
            few.push(item).unwrap();
        }
        assert_eq!(few.push(5), Err(TooMany));
        assert_eq!(few.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}
