//! Keeps circles out: within a crate, the modules right under the root use each other in one direction.

use std::collections::{BTreeMap, BTreeSet};

use crate::cargo::roots;
use crate::sources::Sources;

/// Uses that close a circle and are accepted, for the reason given: crate, who uses, what is used, why.
const ACCEPTED: &[(&str, &str, &[&str], &str)] = &[
    ("percept-model", "config", &["channel", "mixer"], "a configuration holds the options of the registered kinds"),
    ("percept-model", "layer", &["channel", "mixer"], "a block holds a sublayer of any registered kind"),
    ("percept-model", "layer", &["decoder"], "a sublayer may make its step of the decoder"),
    ("percept-model", "decoder", &["channel", "mixer"], "a sublayer without a step runs as it is"),
];

type Uses = BTreeMap<(String, String), BTreeSet<String>>;

/// What is [`ACCEPTED`], one by one.
fn accepted() -> impl Iterator<Item = (String, (String, String))> {
    let edge = |name: &str, from: &str, to: &str| (name.into(), (from.into(), to.into()));
    ACCEPTED.iter().flat_map(move |(name, from, to, _)| to.iter().map(move |to| edge(name, from, to)))
}

/// The modules that `from` uses, directly or through others.
fn reach(uses: &Uses, from: &str) -> BTreeSet<String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = open.pop() {
        let used = uses.keys().filter(|edge| edge.0 == module).map(|edge| edge.1.clone());
        open.extend(used.filter(|to| reached.insert(to.clone())));
    }
    reached
}

/// Each circle, as the modules in it.
fn circles(uses: &Uses) -> BTreeSet<BTreeSet<String>> {
    let modules: BTreeSet<&String> = uses.keys().map(|edge| &edge.0).collect();
    let reached: BTreeMap<&String, BTreeSet<String>> = modules.iter().map(|from| (*from, reach(uses, from))).collect();
    let around = |from: &String| {
        let back = |to: &&String| reached.get(to).is_some_and(|reached| reached.contains(from));
        reached[from].iter().filter(back).cloned().collect::<BTreeSet<_>>()
    };
    modules.into_iter().map(around).filter(|circle| circle.len() > 1).collect()
}

/// The uses inside a circle, each with its places.
fn describe(name: &str, circle: &BTreeSet<String>, uses: &Uses) -> String {
    let inside = uses.iter().filter(|((from, to), _)| circle.contains(from) && circle.contains(to));
    let line = |((from, to), places): (&(String, String), &BTreeSet<String>)| {
        let first = places.first().map(String::as_str).unwrap_or_default();
        format!("\n  {from} -> {to} ({} times; {first})", places.len())
    };
    let modules = Vec::from_iter(circle.iter().map(String::as_str));
    format!("{name}: a circle of {}{}", modules.join(", "), inside.map(line).collect::<String>())
}

#[test]
fn modules_use_each_other_in_one_direction() {
    let (mut found, mut needless) = (Vec::new(), Vec::from_iter(accepted()));
    let roots = roots();
    assert!(roots.len() > 7, "{roots:?}");
    for (name, root) in &roots {
        let mut uses = Sources::read(root).uses();
        let mut closes = accepted().filter(|(of, edge)| of == name && uses.remove(edge).is_some()).collect::<Vec<_>>();
        closes.retain(|(_, (from, to))| reach(&uses, to).contains(from));
        needless.retain(|entry| !closes.contains(entry));
        found.extend(circles(&uses).iter().map(|circle| describe(name, circle, &uses)));
    }
    assert!(found.is_empty(), "{}\nhint: move what both need into a module of its own", found.join("\n"));
    assert!(needless.is_empty(), "these close no circle (any more): take them out of ACCEPTED: {needless:?}");
}
