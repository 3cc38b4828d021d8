#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(percept_fuzz::tokenizer(bytes)));
