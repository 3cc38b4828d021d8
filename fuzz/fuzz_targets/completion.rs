#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(fault) = percept_fuzz::completion(bytes) {
        assert!(fault.kind() != percept_fault::Kind::Internal, "{fault}");
    }
});
