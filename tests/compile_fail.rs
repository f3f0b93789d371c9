//! What the compiler says to who chose the wrong body mode, has no store, or forgets a part of it. The messages are
//! those of the current stable compiler.

#[test]
fn mistakes_are_explained_by_name() {
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/compile_fail/bodies/*.rs");
    tests.compile_fail("tests/compile_fail/mistakes/*.rs");
    // The compiler also lists what does implement the trait, and features add to that list.
    #[cfg(not(any(feature = "cache", feature = "postgres", feature = "sqlite")))]
    tests.compile_fail("tests/compile_fail/stores/*.rs");
    #[cfg(all(feature = "cache", feature = "postgres", feature = "sqlite"))]
    tests.compile_fail("tests/compile_fail/all_stores/*.rs");
}
