//! One row in one column in one stack: a cell, ready to be run.

use std::{
    cell::LazyCell,
    convert::Infallible,
    marker::PhantomData,
    ops::Range,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use axum::{Router, body::Body as AxumBody, middleware::from_fn_with_state};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::Service;
use tower_account_status::{AccountStatusLayer, DynAccountStateStore};
use tower_http::auth::AsyncRequireAuthorizationLayer;
use tower_layer::Layer;

use super::{
    accounts::{AwaitedStore, BareTable, memory_store},
    peers::{self, AtHand, Awaited, BareCheck, Careful},
    rows::{AT_ONCE, Answer, ROWS, Row},
    stacks::{Identity, Leaf, router},
};

/// Where the layer is.
pub const STACKS: [&str; 3] = [
    "plain tower stack",
    "axum, Router::layer",
    "axum, around the router",
];

/// What is compared. The second is what the others are measured against.
pub const COLUMNS: [&str; 10] = [
    "bare service",
    "identity layer",
    "bare check",
    "this layer",
    "this layer, wrapped bodies",
    "this layer, erased store",
    "AsyncRequireAuthorization",
    "from_fn_with_state",
    "bare check, same answer",
    "AsyncRequireAuthorization, as careful",
];

/// A cell's place in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub stack: &'static str,
    pub row: &'static str,
    pub column: &'static str,
}

/// What can be done with a cell.
pub trait Run {
    /// Makes `count` requests, and room for as many responses.
    fn prepare(&mut self, count: usize);
    /// Makes the requests in `slice` of the last [`prepare`](Run::prepare) again.
    fn prepare_slice(&mut self, slice: Range<usize>);
    /// Sends what was prepared, and keeps the responses, so that the clock measures only the
    /// service's work.
    fn run_keeping(&mut self);
    /// Sends copies of what was prepared, each made just before, and drops each response before
    /// the next: the allocator is always in the same state, for counting instructions.
    fn run_dropping(&mut self);
    /// The status of the responses that were kept, which are dropped.
    fn statuses(&mut self) -> Vec<StatusCode>;
    /// The status that the row expects.
    fn expected(&self) -> StatusCode;
}

struct Cell<S, B, ResB> {
    row: Row,
    service: S,
    templates: Vec<Request<Bytes>>,
    prepared: Vec<Request<B>>,
    kept: Vec<Response<ResB>>,
}

impl<S, B, ResB> Run for Cell<S, B, ResB>
where
    S: Service<Request<B>, Response = Response<ResB>, Error = Infallible>,
    B: From<Bytes>,
{
    fn prepare(&mut self, count: usize) {
        // Made once: parsing them takes longer than everything that is measured.
        if self.templates.len() != count {
            // Taken from behind.
            let turns = (0..count).rev();
            self.templates = turns.map(|turn| self.row.request(turn)).collect();
        }
        self.prepare_slice(0..count);
    }

    fn prepare_slice(&mut self, slice: Range<usize>) {
        self.kept = Vec::with_capacity(slice.len());
        self.prepared = self.templates[slice].iter().map(copy).collect();
    }

    fn run_keeping(&mut self) {
        if self.row.answer == Answer::AwaitedByMany {
            return self.run_at_once();
        }
        while let Some(request) = self.prepared.pop() {
            let response = answer(&mut self.service, request);
            self.kept.push(response);
        }
    }

    fn run_dropping(&mut self) {
        if self.row.answer == Answer::AwaitedByMany {
            self.run_at_once();
            return self.kept.clear();
        }
        for template in self.templates.iter().rev() {
            drop(answer(&mut self.service, copy(template)));
        }
    }

    fn statuses(&mut self) -> Vec<StatusCode> {
        let kept = self.kept.drain(..);
        kept.map(|response| response.status()).collect()
    }

    fn expected(&self) -> StatusCode {
        self.row.expected
    }
}

impl<S, B, ResB> Cell<S, B, ResB>
where
    S: Service<Request<B>, Response = Response<ResB>, Error = Infallible>,
{
    fn run_at_once(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        while !self.prepared.is_empty() {
            let from = self.prepared.len().saturating_sub(AT_ONCE);
            let mut waiting: Vec<_> = self
                .prepared
                .drain(from..)
                .map(|request| Some(Box::pin(self.service.call(request))))
                .collect();
            while waiting.iter().any(Option::is_some) {
                for place in &mut waiting {
                    let poll = place
                        .as_mut()
                        .map(|future| future.as_mut().poll(&mut context));
                    if let Some(Poll::Ready(Ok(response))) = poll {
                        *place = None;
                        self.kept.push(response);
                    }
                }
            }
        }
    }
}

/// Not inlined: what it costs is the same in every column.
#[inline(never)]
fn copy<B: From<Bytes>>(template: &Request<Bytes>) -> Request<B> {
    template.clone().map(B::from)
}

#[inline]
fn answer<S, B, ResB>(service: &mut S, request: Request<B>) -> Response<ResB>
where
    S: Service<Request<B>, Response = Response<ResB>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    while service.poll_ready(&mut context).is_pending() {}
    let mut future = pin!(service.call(request));
    loop {
        if let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut context) {
            return response;
        }
    }
}

/// A cell and its place.
pub type Placed = (Place, Box<dyn Run>);

/// Hands the wanted cells of each row of each stack to `run`.
///
/// # Panics
///
/// Outside of a tokio runtime, where the layer's time limits cannot be made.
pub fn each_row(wanted: &dyn Fn(Place) -> bool, run: &mut dyn FnMut(&mut Vec<Placed>)) {
    for stack in STACKS {
        for row in ROWS {
            let mut cells = Cells {
                row,
                stack,
                wanted,
                made: Vec::new(),
            };
            match stack == STACKS[0] {
                true => cells.of_plain_stack(),
                false => cells.of_axum(),
            }
            if !cells.made.is_empty() {
                run(&mut cells.made);
            }
        }
    }
}

/// What the peers are given for a row.
struct Check {
    /// Made when the first column asks for it.
    table: LazyCell<Arc<BareTable>>,
    is_awaited: bool,
    at_first: bool,
}

struct Cells<'a> {
    row: Row,
    stack: &'static str,
    wanted: &'a dyn Fn(Place) -> bool,
    made: Vec<Placed>,
}

impl Cells<'_> {
    fn column<B, S, ResB>(&mut self, column: usize, service: impl FnOnce() -> S)
    where
        S: Service<Request<B>, Response = Response<ResB>, Error = Infallible> + 'static,
        B: From<Bytes> + 'static,
        ResB: 'static,
    {
        let place = Place {
            stack: self.stack,
            row: self.row.name,
            column: COLUMNS[column],
        };
        if (self.wanted)(place) {
            let cell = Cell {
                row: self.row,
                service: service(),
                templates: Vec::new(),
                prepared: Vec::new(),
                kept: Vec::new(),
            };
            self.made.push((place, Box::new(cell)));
        }
    }

    fn check(&self) -> Check {
        Check {
            table: LazyCell::new(|| Arc::new(BareTable::new())),
            is_awaited: self.row.answer != Answer::AtHand || self.row.logs_in,
            at_first: !matches!(
                self.row.answer,
                Answer::AwaitedByMany | Answer::AwaitedLater
            ),
        }
    }

    fn of_plain_stack(&mut self) {
        type Body = Full<Bytes>;
        let check = self.check();
        let at_first = check.at_first;
        let table = || Arc::clone(&check.table);
        let bare_check = |answers_wholly| BareCheck {
            table: table(),
            answers_wholly,
        };
        self.column::<Body, _, _>(0, || Leaf);
        self.column::<Body, _, _>(1, || Identity.layer(Leaf));
        if check.is_awaited {
            self.column::<Body, _, _>(6, || {
                let peer: Awaited<Body> = Awaited {
                    table: table(),
                    at_first,
                    bodies: PhantomData,
                };
                AsyncRequireAuthorizationLayer::new(peer).layer(Leaf)
            });
        } else {
            self.column::<Body, _, _>(2, || bare_check(false).layer(Leaf));
            if self.row.expected != StatusCode::OK {
                self.column::<Body, _, _>(8, || bare_check(true).layer(Leaf));
            }
            self.column::<Body, _, _>(6, || {
                let peer: AtHand<Body> = AtHand(table(), PhantomData);
                AsyncRequireAuthorizationLayer::new(peer).layer(Leaf)
            });
        }
        if self.row.answer != Answer::AtHand {
            self.column::<Body, _, _>(9, || {
                let peer: Careful<Body> = Careful::new(awaited_store(at_first));
                AsyncRequireAuthorizationLayer::new(peer).layer(Leaf)
            });
        }
        if self.row.answer == Answer::AtHand {
            self.column::<Body, _, _>(3, || AccountStatusLayer::new(memory_store()).layer(Leaf));
            self.column::<Body, _, _>(4, || {
                let layer = AccountStatusLayer::new(memory_store()).with_wrapped_bodies();
                layer.layer(Leaf)
            });
            self.column::<Body, _, _>(5, || {
                let store = DynAccountStateStore::new(memory_store());
                AccountStatusLayer::new(store).layer(Leaf)
            });
        } else {
            let store = || awaited_store(at_first);
            self.column::<Body, _, _>(3, || AccountStatusLayer::new(store()).layer(Leaf));
            self.column::<Body, _, _>(4, || {
                let layer = AccountStatusLayer::new(store()).with_wrapped_bodies();
                layer.layer(Leaf)
            });
            self.column::<Body, _, _>(5, || {
                let store = DynAccountStateStore::new(store());
                AccountStatusLayer::new(store).layer(Leaf)
            });
        }
    }

    fn of_axum(&mut self) {
        let stack = self.stack;
        // `with_state` finishes the router. Otherwise axum makes every layer again for each request.
        macro_rules! layered {
            ($column:literal, $layer:expr) => {
                if stack == STACKS[1] {
                    self.column::<AxumBody, _, _>($column, || -> Router {
                        router().layer($layer).with_state(())
                    });
                } else {
                    self.column::<AxumBody, _, _>($column, || {
                        $layer.layer(router().with_state::<()>(()))
                    });
                }
            };
        }
        let check = self.check();
        let at_first = check.at_first;
        let table = || Arc::clone(&check.table);
        self.column::<AxumBody, _, _>(0, || -> Router { router().with_state(()) });
        layered!(1, Identity);
        if check.is_awaited {
            layered!(
                6,
                AsyncRequireAuthorizationLayer::new(Awaited::<AxumBody> {
                    table: table(),
                    at_first,
                    bodies: PhantomData,
                })
            );
            layered!(7, from_fn_with_state((table(), at_first), peers::awaited));
        } else {
            layered!(
                2,
                BareCheck {
                    table: table(),
                    answers_wholly: false,
                }
            );
            layered!(
                6,
                AsyncRequireAuthorizationLayer::new(AtHand::<AxumBody>(table(), PhantomData),)
            );
            layered!(7, from_fn_with_state(table(), peers::at_hand));
        }
        if self.row.answer != Answer::AtHand {
            layered!(
                9,
                AsyncRequireAuthorizationLayer::new(Careful::<AxumBody>::new(awaited_store(
                    at_first
                )))
            );
        }
        if self.row.answer == Answer::AtHand {
            layered!(3, AccountStatusLayer::new(memory_store()));
            layered!(
                4,
                AccountStatusLayer::new(memory_store()).with_wrapped_bodies()
            );
        } else {
            let store = || awaited_store(at_first);
            layered!(3, AccountStatusLayer::new(store()));
            layered!(4, AccountStatusLayer::new(store()).with_wrapped_bodies());
        }
    }
}

fn awaited_store(at_first: bool) -> AwaitedStore {
    AwaitedStore {
        store: memory_store(),
        at_first,
    }
}

/// The cell that a line of tab-separated names means.
pub fn place(line: &str) -> Option<Place> {
    let mut names = line.split('\t');
    let (stack, row, column) = (names.next()?, names.next()?, names.next()?);
    Some(Place {
        stack: STACKS.into_iter().find(|name| *name == stack)?,
        row: ROWS.iter().map(|row| row.name).find(|name| *name == row)?,
        column: COLUMNS.into_iter().find(|name| *name == column)?,
    })
}

/// Every place that a cell could have, in the order of the tables.
pub fn places() -> impl Iterator<Item = Place> {
    STACKS.into_iter().flat_map(|stack| {
        ROWS.iter().flat_map(move |row| {
            let places = COLUMNS.into_iter();
            places.map(move |column| Place {
                stack,
                row: row.name,
                column,
            })
        })
    })
}
