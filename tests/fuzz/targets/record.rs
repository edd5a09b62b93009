#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| guitai_fuzz::targets::record(data));
