//! The table of endpoints, in the order in which a path is looked up.
//!
//! The table is in the order in which people read it. A request must not cost a walk through all of it. So
//! the compiler sorts it by a hash of a path's number of segments and its first segment, which is a literal
//! in every row.

use percent_encoding::percent_decode_str;

use super::{
    path::{Fit, Root, fit, parameter},
    table::{Row, TABLE},
};
use crate::action::Action;

/// More parts than any template has.
pub(super) const MAX_PARTS: usize = 8;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    key: u32,
    root: Root,
    row: Row,
    /// Its place in the table.
    place: usize,
    /// The end of each part of the template.
    ends: [u8; MAX_PARTS],
    /// The number of its parts.
    len: usize,
    /// How the third of them begins, if that is a literal.
    third: Option<[u8; 2]>,
    scheduling: Option<Scheduling>,
}

/// The relation of a row to events that a server sends later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheduling {
    /// It schedules one, which the body holds.
    New,
    /// It does what the body says to one that is scheduled.
    AsTheBodySays,
    /// It sends one, or has it sent later than it would be; or it sends many, of any types (MSC2716).
    Send,
}

impl Endpoint {
    const fn new(root: Root, row: Row, place: usize) -> Self {
        let template = row.1.as_bytes();
        assert!(template.len() <= u8::MAX as usize, "a template is too long");
        let (mut ends, mut len, mut at) = ([0; MAX_PARTS], 0, 0);
        while at <= template.len() {
            if at == template.len() || template[at] == b'/' {
                #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
                let end = at as u8;
                ends[len] = end;
                len += 1;
            }
            at += 1;
        }
        assert!(template[0] != b'{', "a template begins with a parameter");
        let (mut hash, mut at) = (start(len), 0);
        while at < ends[0] as usize {
            hash = step(hash, template[at]);
            at += 1;
        }
        let mut third = None;
        if len > 2 {
            let (from, end) = (ends[1] as usize + 1, ends[2] as usize);
            if end - from >= 2 && template[from] != b'{' {
                third = Some([template[from], template[from + 1]]);
            }
        }
        Self {
            key: hash,
            root,
            row,
            place,
            ends,
            len,
            third,
            scheduling: Scheduling::of(&row),
        }
    }

    pub(super) fn root(&self) -> Root {
        self.root
    }

    pub(super) fn action(&self) -> Action {
        self.row.2
    }

    /// What it has to do with events that are sent later.
    pub(super) fn scheduling(&self) -> Option<Scheduling> {
        self.scheduling
    }

    pub(super) fn template(&self) -> &'static str {
        self.row.1
    }

    /// Its place in the table.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// Whether it has the method with this bit.
    pub(super) fn has_method(&self, bit: u8) -> bool {
        self.row.0 & bit != 0
    }

    pub(super) fn fit(&self, segments: &[&str]) -> Option<Fit> {
        match self.may_fit(segments) {
            true => fit(self.parts(), segments),
            false => None,
        }
    }

    /// Tells most of those apart that have the first part in common, by how the third begins.
    fn may_fit(&self, segments: &[&str]) -> bool {
        let Some(third) = self.third.zip(segments.get(2)) else {
            return true;
        };
        let ([first, second], segment) = third;
        match *segment.as_bytes() {
            [b'%', ..] => true,
            [one, two, ..] => one == first && (two == second || two == b'%'),
            _ => false,
        }
    }

    /// The segment at the place of `{name}` in the template.
    pub(super) fn parameter<'p>(&self, segments: &[&'p str], name: &str) -> Option<&'p str> {
        parameter(self.parts(), segments, name)
    }

    fn parts(&self) -> impl Iterator<Item = &'static str> {
        let template = self.row.1;
        let mut from = 0;
        self.ends[..self.len].iter().map(move |&end| {
            let part = &template[from..usize::from(end)];
            from = usize::from(end) + 1;
            part
        })
    }
}

impl Scheduling {
    const fn of((_, template, action): &Row) -> Option<Self> {
        let template = template.as_bytes();
        match action {
            Action::SendMessage if begins(template, b"rooms/{roomId}/delayed_event/") => {
                Some(Self::New)
            }
            Action::SendMessage if begins(template, b"delayed_events/{delayId}/") => {
                Some(Self::Send)
            }
            Action::SendMessage if begins(template, b"rooms/{roomId}/batch_send") => {
                Some(Self::Send)
            }
            Action::SendMessage if begins(template, b"delayed_events/") => {
                Some(Self::AsTheBodySays)
            }
            _ => None,
        }
    }
}

const fn begins(text: &[u8], start: &[u8]) -> bool {
    let mut at = 0;
    while at < start.len() {
        if at >= text.len() || text[at] != start[at] {
            return false;
        }
        at += 1;
    }
    true
}

const ROWS: usize = {
    let (mut rows, mut root) = (0, 0);
    while root < TABLE.len() {
        rows += TABLE[root].1.len();
        root += 1;
    }
    rows
};

static SORTED: [Endpoint; ROWS] = {
    let mut sorted = [Endpoint::new(TABLE[0].0, TABLE[0].1[0], 0); ROWS];
    let (mut place, mut root) = (0, 0);
    while root < TABLE.len() {
        let (mounted, rows) = TABLE[root];
        let mut row = 0;
        while row < rows.len() {
            let endpoint = Endpoint::new(mounted, rows[row], place);
            let mut at = place;
            // Those with the same key keep their order.
            while at > 0 && endpoint.key < sorted[at - 1].key {
                sorted[at] = sorted[at - 1];
                at -= 1;
            }
            sorted[at] = endpoint;
            place += 1;
            row += 1;
        }
        root += 1;
    }
    sorted
};

/// The endpoints, in the table's order, of which these segments may be an instance: all that have
/// as many parts and the first segment, percent-decoded, as their first. Others may be among them.
pub(super) fn candidates(segments: &[&str]) -> &'static [Endpoint] {
    let Some(first) = segments.first() else {
        return &[];
    };
    let key = percent_decode_str(first).fold(start(segments.len()), step);
    let from = SORTED.partition_point(|endpoint| endpoint.key < key);
    let rest = &SORTED[from..];
    let alike = rest.iter().take_while(|endpoint| endpoint.key == key);
    &rest[..alike.count()]
}

/// The hash (FNV-1a) of a path of so many segments, before the first of them.
const fn start(segments: usize) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a hash may lose some")]
    step(0x811c_9dc5, segments as u8)
}

const fn step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Fit, ROWS, SORTED, TABLE, candidates};

    #[test]
    fn each_row_is_found_by_its_own_path_in_the_tables_order() {
        let rows: Vec<_> = TABLE
            .iter()
            .flat_map(|(root, rows)| rows.iter().map(|row| (*root, *row)))
            .collect();
        assert_eq!((rows.len(), SORTED.len()), (ROWS, ROWS));
        for (place, (root, row)) in rows.iter().enumerate() {
            let encoded = row.1.replacen('e', "%65", 1);
            for path in [row.1, encoded.as_str()] {
                let segments: Vec<_> = path.split('/').collect();
                let found = candidates(&segments);
                let alike: Vec<_> = (0..ROWS)
                    .filter(|&at| {
                        let parts: Vec<_> = rows[at].1.1.split('/').collect();
                        let first = row.1.split('/').next();
                        parts.len() == segments.len() && parts.first().copied() == first
                    })
                    .collect();
                let places: Vec<_> = found.iter().map(|endpoint| endpoint.place).collect();
                assert_eq!(places, alike, "{path}");
                let own = found.iter().find(|endpoint| endpoint.place == place);
                let own = own.map(|endpoint| (endpoint.root, endpoint.row));
                assert_eq!(own, Some((*root, *row)), "{path}");
                let parts = found.iter().filter(|endpoint| endpoint.place == place);
                assert!(parts.flat_map(Endpoint::parts).eq(row.1.split('/')));
            }
        }
    }

    #[test]
    fn what_no_row_begins_with_has_no_candidates() {
        let long = "a".repeat(1000);
        let encoded = "%61".repeat(1000);
        for segments in [
            &[][..],
            &[""],
            &["Sync"],
            &["sync", "x"],
            &[&long],
            &[&encoded],
        ] {
            assert!(candidates(segments).is_empty(), "{segments:?}");
        }
        assert!(candidates(&["rooms"; 20]).is_empty());
    }

    #[test]
    fn how_the_third_part_begins_excludes_none_that_fits() {
        let template = "rooms/{roomId}/send/{eventType}/{txnId}";
        let send = SORTED.iter().find(|endpoint| endpoint.row.1 == template);
        let send = send.expect("it is in the table");
        for (third, expected) in [
            ("send", Some(Fit::Exact)),
            ("%73end", Some(Fit::Loose)),
            ("s%65nd", Some(Fit::Loose)),
            ("%73%65%6e%64", Some(Fit::Loose)),
            ("sent", None),
            ("state", None),
            ("%74end", None),
            ("s", None),
            ("", None),
        ] {
            assert_eq!(
                send.fit(&["rooms", "!r", third, "m", "1"]),
                expected,
                "{third}"
            );
        }
    }
}
