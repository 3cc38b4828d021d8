//! Holds what decision 1 promises: whichever package is built or tested alone, its dependencies are those that
//! `cargo test --workspace` built, so that none is compiled again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::cargo::{cargo, packages};

/// A unit as far as it decides whether cargo has built it already: package, target, mode, profile, features, and those of all
/// that it depends on.
type Identity = String;

pub(crate) struct Unit {
    /// The package and what of it is built.
    name: String,
    pub(crate) features: BTreeSet<String>,
    dependencies: Vec<usize>,
    identity: Identity,
}

impl Unit {
    /// Its package, with the version.
    pub(crate) fn package(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }
}

/// All that a command would build, dependencies first.
pub(crate) fn units(command: &[&str]) -> Vec<Unit> {
    let graph = cargo(&[command, &["--release", "--unit-graph", "-Zunstable-options"]].concat());
    let raw = graph["units"].as_array().expect("a list of units");
    let mut done: HashMap<usize, usize> = HashMap::new();
    let mut units = Vec::new();
    for index in 0..raw.len() {
        visit(raw, index, &mut done, &mut units);
    }
    units
}

fn visit(raw: &[Value], index: usize, done: &mut HashMap<usize, usize>, units: &mut Vec<Unit>) -> usize {
    if let Some(at) = done.get(&index) {
        return *at;
    }
    let unit = &raw[index];
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let dependency = |edge: &Value| edge["index"].as_u64().expect("an index") as usize;
    let mut dependencies: Vec<usize> =
        list(&unit["dependencies"]).iter().map(|edge| visit(raw, dependency(edge), done, units)).collect();
    dependencies.sort_by_key(|at| units[*at].identity.clone());
    let features = list(&unit["features"]).iter().map(|name| name.as_str().expect("a name").to_owned()).collect();
    let package = unit["pkg_id"].as_str().expect("a package").rsplit(['/', '#']).next().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = format!("{package} ({}, {})", text(&unit["target"]["kind"][0]), text(&unit["mode"]));
    let below: Vec<&Identity> = dependencies.iter().map(|at| &units[*at].identity).collect();
    let what = format!("{} {} {} {} {features:?} {below:?}", unit["pkg_id"], unit["target"], name, unit["profile"]);
    units.push(Unit { name, features, dependencies, identity: digest(&what) });
    done.insert(index, units.len() - 1);
    units.len() - 1
}

/// Keeps identities short: each holds those below it.
fn digest(text: &str) -> Identity {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What the workspace's build knows: every unit, and the features with which each was seen.
struct Built {
    identities: BTreeSet<Identity>,
    features: BTreeMap<String, Vec<BTreeSet<String>>>,
}

impl Built {
    fn new(units: &[Unit]) -> Self {
        let identities = units.iter().map(|unit| unit.identity.clone()).collect();
        let mut features = BTreeMap::<String, Vec<_>>::new();
        for unit in units {
            features.entry(unit.name.clone()).or_default().push(unit.features.clone());
        }
        Self { identities, features }
    }

    /// The units of `command` that would be built anew while all below them is there: the causes.
    fn missing(&self, command: &[&str]) -> Vec<String> {
        let units = units(command);
        let known = |unit: &Unit| self.identities.contains(&unit.identity);
        let cause = |unit: &&Unit| !known(unit) && unit.dependencies.iter().all(|at| known(&units[*at]));
        units.iter().filter(cause).map(|unit| self.difference(command, unit)).collect()
    }

    fn difference(&self, command: &[&str], unit: &Unit) -> String {
        let there = self.features.get(&unit.name).map(Vec::as_slice).unwrap_or_default();
        let difference = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        let lists = there.iter().map(|seen| (difference(seen, &unit.features), difference(&unit.features, seen)));
        let text = lists.map(|(lacks, adds)| format!("lacks {lacks:?}, adds {adds:?}")).collect::<Vec<_>>();
        format!("cargo {}: {}: {}", command.join(" "), unit.name, text.join("; or: "))
    }
}

#[test]
fn a_package_alone_builds_no_dependency_again() {
    let packages = packages();
    let packages: Vec<&str> = packages.iter().map(|package| package["name"].as_str().expect("a name")).collect();
    assert!(packages.len() > 7, "{packages:?}");

    let built = Built::new(&units(&["test", "--workspace"]));
    assert!(built.identities.len() > 100, "the whole workspace is {} units", built.identities.len());
    let missing_in = |verb| {
        let mut missing = built.missing(&[verb]);
        missing.extend(packages.iter().flat_map(|package| built.missing(&[verb, "-p", package])));
        missing
    };
    let missing = std::thread::scope(|scope| {
        let built = scope.spawn(|| missing_in("build"));
        [missing_in("test"), built.join().expect("no panic")].concat()
    });
    assert!(
        missing.is_empty(),
        "built again:\n{}\nhint: give crates/unify/Cargo.toml the features that are lacking, and the package a dependency on it",
        missing.join("\n")
    );
}
