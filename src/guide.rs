// The pages of `docs/` define their links for a reader of the repository. `links.md` and `inline.md`
// come first and define them for rustdoc, because the first definition of a link counts.

#![doc = include_str!("guide/links.md")]
#![doc = include_str!("../docs/README.md")]

/// One page of the guide.
macro_rules! page {
    ($name:ident, $($file:literal),+ $(; $($inner:item)*)?) => {
        #[doc = include_str!("guide/links.md")]
        #[doc = include_str!("../docs/pictures/inline.md")]
        $(#[doc = include_str!(concat!("../", $file))])+
        pub mod $name { $($($inner)*)? }
    };
}

page!(getting_started, "docs/getting-started.md");
page!(placement, "docs/placement.md");
page!(the_store, "docs/the-store.md");
page!(stores, "docs/stores.md");
page!(decisions, "docs/decisions.md");
page!(suspension, "docs/suspension.md");
page!(operations, "docs/operations.md");
page!(performance, "docs/performance.md");
page!(security, "SECURITY.md");
page!(design, "docs/design.md");

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/adopting/README.md")]
pub mod adopting {
    #[doc = include_str!("guide/links.md")]
    #[doc = include_str!("../docs/adopting/conduit.md")]
    pub mod conduit {}

    #[doc = include_str!("guide/links.md")]
    #[doc = include_str!("../docs/adopting/continuwuity.md")]
    pub mod continuwuity {}

    #[doc = include_str!("guide/links.md")]
    #[doc = include_str!("../docs/adopting/palpo.md")]
    pub mod palpo {}

    #[doc = include_str!("guide/links.md")]
    #[doc = include_str!("../docs/adopting/own-stack.md")]
    pub mod own_stack {}

    #[doc = include_str!("guide/links.md")]
    #[doc = include_str!("../docs/adopting/deactivation.md")]
    pub mod deactivation {}

    #[doc = include_str!("guide/links.md")]
    #[doc = include_str!("../docs/adopting/delegated.md")]
    pub mod delegated {}
}
