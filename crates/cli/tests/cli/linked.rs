//! What the program needs on the machine that runs it: the C library and nothing else. Built with a device,
//! it may link more, and this is not looked at.

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn the_default_program_links_the_c_library_alone() {
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_percept")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let file = |line: &str| line.split_whitespace().next()?.rsplit('/').next().map(str::to_owned);
    let linked: BTreeSet<String> = text.lines().filter_map(file).collect();
    let may = ["linux-vdso.so", "libgcc_s.so", "libm.so", "libc.so", "libpthread.so", "libdl.so", "ld-linux"];
    assert!(linked.iter().any(|name| name.starts_with("libc.so")), "{text}");
    let more: Vec<&String> = linked.iter().filter(|name| !may.iter().any(|known| name.starts_with(known))).collect();
    assert!(more.is_empty(), "{more:?} of {text}");
}
