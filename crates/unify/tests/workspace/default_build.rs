//! What is off by default stays off: the program that everybody builds has none of the optional parts, nor what they need.

use crate::one_feature_set::units;

/// What only optional parts are made of: devices, their compilers and libraries, table formats. Beginnings of package names.
const OPTIONAL: [&str; 14] = [
    "burn-cubecl",
    "burn-cuda",
    "burn-rocm",
    "burn-wgpu",
    "cubecl-core",
    "cubecl-cpp",
    "cubecl-cuda",
    "cubecl-wgpu",
    "cudarc",
    "metal",
    "nccl",
    "parquet",
    "tracel-llvm",
    "wgpu",
];

#[test]
fn the_default_program_has_no_optional_part() {
    let units = units(&["build", "-p", "percept-cli"]);
    assert!(units.len() > 100, "{} units", units.len());
    let own: Vec<_> = units.iter().filter(|unit| unit.package().starts_with("percept")).collect();
    assert!(own.len() > 10, "{} crates of ours", own.len());
    for unit in own {
        assert!(unit.features.is_empty(), "{}: {:?} is on by default", unit.package(), unit.features);
    }
    let optional = |package: &&str| OPTIONAL.iter().any(|name| package.starts_with(name));
    let found: Vec<&str> = units.iter().map(|unit| unit.package()).filter(optional).collect();
    assert!(
        found.is_empty(),
        "in the default build: {found:?}\nhint: only a feature that is off by default may need them"
    );
}
