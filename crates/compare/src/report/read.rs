//! Reading reports and results of suites back.

use std::fs;
use std::path::Path;

use percept_fault::{Fault, IoContext, Result, nearest};
use serde::Deserialize;
use serde_json::Value;

use super::{Report, SUITES};
use crate::{Comparison, FORMAT, REPORT};
use percept_score::suites::SuiteResult;

/// Reads the folder of a comparison: `report.json`, and `suites.json` if there is one.
///
/// # Errors
/// A usage fault for a folder without one, a file that is none, or one of another format; an environment fault where it
/// can't be read.
pub fn read(folder: &Path) -> Result<Report> {
    let path = folder.join(REPORT);
    if folder.is_dir() && !path.exists() {
        return Err(Fault::usage(format!("{} holds no {REPORT}", folder.display()))
            .hint("give the folder of a comparison, the one that `percept compare --out` wrote"));
    }
    let value = json(&path)?;
    let not_ours = || Fault::usage(format!("{} is no report of a comparison", path.display()));
    match value.get("format").and_then(Value::as_u64) {
        None => return Err(not_ours().hint("it has no `format`; give the folder that `percept compare --out` wrote")),
        Some(format) if format != u64::from(FORMAT) => {
            let hint = if format > u64::from(FORMAT) { "use a newer Percept" } else { "compare again" };
            return Err(Fault::usage(format!("{} has format {format}, not {FORMAT}", path.display())).hint(hint));
        }
        Some(_) => {}
    }
    let comparison = Comparison::deserialize(&value).map_err(|error| {
        not_ours()
            .because(error)
            .hint("it was changed or written by another version; run the comparison again: finished runs are reused")
    })?;
    Ok(Report { comparison, suites: suites_of(folder)? })
}

fn suites_of(folder: &Path) -> Result<Vec<SuiteResult>> {
    let path = folder.join(SUITES);
    if !path.exists() {
        return Ok(Vec::new());
    }
    Deserialize::deserialize(json(&path)?).map_err(|error| {
        Fault::usage(format!("{} holds no results of suites", path.display()))
            .because(error)
            .hint("remove it, then attach the results again with --suites")
    })
}

/// Adds what the suites found about a model: the object of `percept eval RUN --suite ... --json` in `file`. Earlier results of
/// the same suite and model are replaced.
///
/// # Errors
/// A usage fault for an unknown model, or a file without results or with those of another model; an environment fault where it can't be read.
pub fn attach_suites(report: &mut Report, model: &str, file: &Path) -> Result<()> {
    let names = || report.comparison.models.iter().map(|model| model.name.as_str());
    if !names().any(|name| name == model) {
        let hint = match nearest(model, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its models: {}", names().collect::<Vec<_>>().join(", ")),
        };
        return Err(Fault::usage(format!("the comparison has no model `{model}`")).hint(hint));
    }
    let value = json(file)?;
    let fault = || {
        Fault::usage(format!("{} holds no results of suites", file.display()))
            .hint("write them with: percept eval RUN --suite all --json > FILE")
    };
    let list = value.get("suites").ok_or_else(fault)?;
    let found = Vec::<SuiteResult>::deserialize(list).map_err(|error| fault().because(error))?;
    if found.is_empty() {
        return Err(fault());
    }
    if let Some(other) = found.iter().find_map(|result| other_model(report, model, &result.model)) {
        let file = file.display();
        return Err(Fault::usage(format!("{file} holds the suites of `{other}`, not of `{model}`"))
            .hint(format!("use --suites {other}={file}")));
    }
    for mut result in found {
        result.model = model.to_string();
        let same = |other: &SuiteResult| {
            other.model == result.model
                && std::mem::discriminant(&other.findings) == std::mem::discriminant(&result.findings)
        };
        report.suites.retain(|other| !same(other));
        report.suites.push(result);
    }
    Ok(())
}

/// The model of the comparison, other than `model`, that was examined as `subject`: `out/runs/llp-seed-1-8a2c at step 5`. A run
/// that lies elsewhere may be anybody's.
fn other_model<'a>(report: &'a Report, model: &str, subject: &str) -> Option<&'a str> {
    let path = Path::new(subject.rsplit_once(" at step ")?.0);
    let is_of = |run: &Path| run.file_name().is_some_and(|name| path.iter().any(|part| part == name));
    let of = report.comparison.models.iter().find(|other| other.runs.iter().any(|run| is_of(&run.folder)))?;
    (of.name != model).then_some(of.name.as_str())
}

fn json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).at("read", path)?;
    serde_json::from_str(&text)
        .map_err(|error| Fault::usage(format!("{} is no JSON", path.display())).because(error).hint("check the path"))
}
