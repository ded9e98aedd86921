#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| anyipc_fuzz::framing(bytes));
