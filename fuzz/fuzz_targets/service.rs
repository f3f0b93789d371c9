#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tower_account_status_fuzz::service(data));
