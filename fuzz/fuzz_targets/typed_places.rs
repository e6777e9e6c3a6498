//! Places as people and configurations write them: whoever is named cannot be taken for an option or a command.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sterna_fuzz_targets::typed_places::run(data));
