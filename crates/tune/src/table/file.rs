//! A table as compressed CSV.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::str::FromStr;

use csv::{ReaderBuilder, StringRecord, Writer};
use percept_fault::{Fault, IoContext, Result};
use percept_files::write_file;

use super::{Stage, Table};
use crate::space::Space;
use crate::trial::Outcome;

/// Columns behind those of the keys.
const COLUMNS: [&str; 5] = ["seed", "fraction", "cost", "status", "metric"];

/// Strength of the compression; these files are small.
const LEVEL: i32 = 19;

pub(super) fn write(table: &Table, path: &Path) -> Result<()> {
    let broken = |error: String| Fault::internal("a table can't be written as CSV").because(error);
    let mut csv = Writer::from_writer(Vec::new());
    csv.write_record(header(&table.space)).map_err(|error| broken(error.to_string()))?;
    for (index, seeds) in table.runs.iter().enumerate() {
        let point = table.space.point(index);
        let stages = seeds.iter().enumerate().flat_map(|(seed, run)| run.iter().map(move |stage| (seed, stage)));
        for (seed, stage) in stages {
            let values = table.space.values(&point).map(|(_, value)| value.to_string());
            csv.write_record(values.chain(rest(seed, stage))).map_err(|error| broken(error.to_string()))?;
        }
    }
    let text = csv.into_inner().map_err(|error| broken(error.to_string()))?;
    write_file(path, &zstd::encode_all(text.as_slice(), LEVEL).at("compress", path)?)
}

fn header(space: &Space) -> Vec<String> {
    space.axes().iter().map(|axis| axis.key().to_owned()).chain(COLUMNS.map(str::to_owned)).collect()
}

fn rest(seed: usize, stage: &Stage) -> [String; 5] {
    let status = match stage.outcome {
        Outcome::Finished(_) => "finished",
        Outcome::Diverged => "diverged",
        Outcome::Failed => "failed",
    };
    let metric = stage.outcome.value().map_or_else(String::new, |value| value.to_string());
    [seed.to_string(), stage.fraction.to_string(), stage.cost.to_string(), status.to_owned(), metric]
}

/// The stages of every point and seed, sorted by fraction.
pub(super) fn read(path: &Path, space: &Space) -> Result<Vec<Vec<Vec<Stage>>>> {
    let decoder = File::open(path).and_then(zstd::Decoder::new).at("read", path)?;
    let mut csv = ReaderBuilder::new().has_headers(false).from_reader(decoder);
    let mut runs = vec![BTreeMap::<usize, Vec<Stage>>::new(); space.size()];
    for (index, record) in csv.records().enumerate() {
        let line = |fault: Fault| fault.at(&format!("{}:{}: ", path.display(), index + 1));
        let record = record.map_err(|error| line(wrong("this is no line of the table").because(error)))?;
        if index == 0 {
            columns(&record, space).map_err(line)?;
            continue;
        }
        let (point, seed, stage) = row(&record, space).map_err(line)?;
        let run = runs[point].entry(seed).or_default();
        if run.iter().any(|other| other.fraction == stage.fraction) {
            return Err(line(wrong("this point, seed and fraction was there before")));
        }
        run.push(stage);
    }
    let sorted = |mut run: Vec<Stage>| {
        run.sort_by(|a, b| a.fraction.total_cmp(&b.fraction));
        run
    };
    Ok(runs.into_iter().map(|seeds| seeds.into_values().map(sorted).collect()).collect())
}

fn wrong(what: &str) -> Fault {
    Fault::usage(what).hint("a table is written by `Table::write`, and read with the space that it was written of")
}

fn columns(record: &StringRecord, space: &Space) -> Result<()> {
    let expected = header(space);
    match record.iter().eq(expected.iter().map(String::as_str)) {
        true => Ok(()),
        false => Err(wrong(&format!("the columns are not {}", expected.join(", ")))),
    }
}

/// The number of the point, the seed, and what is said of them.
fn row(record: &StringRecord, space: &Space) -> Result<(usize, usize, Stage)> {
    let keys = space.axes().len();
    let mut point = Vec::with_capacity(keys);
    for (axis, text) in space.axes().iter().zip(record) {
        let choice = axis.values().iter().position(|value| value.to_string() == text);
        point.push(choice.ok_or_else(|| wrong(&format!("`{}` has no value {text} in the space", axis.key())))?);
    }
    let text = |column: usize| record.get(keys + column).unwrap_or_default();
    let outcome = match (text(3), text(4)) {
        ("finished", metric) => Outcome::Finished(parse(COLUMNS[4], metric)?),
        ("diverged", "") => Outcome::Diverged,
        ("failed", "") => Outcome::Failed,
        _ => return Err(wrong("status is finished with a metric, diverged or failed without")),
    };
    let stage = Stage { fraction: parse(COLUMNS[1], text(1))?, cost: parse(COLUMNS[2], text(2))?, outcome };
    Ok((space.index(&point), parse(COLUMNS[0], text(0))?, stage))
}

fn parse<T: FromStr>(column: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| wrong(&format!("{column} is `{text}`, which is no number")))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{space, table};
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv.zst");
        table().write(&path).unwrap();
        assert_eq!(Table::read(&path, space()).unwrap(), table());
        let text = zstd::decode_all(File::open(&path).unwrap()).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "model.depth,model.dim,seed,fraction,cost,status,metric");
        assert_eq!((lines[1], lines[24]), ("2,16,0,0.25,0.25,failed,", "4,64,1,1,3,finished,2"));
    }

    #[test]
    fn mistakes_name_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv.zst");
        let fault = |text: &str| {
            std::fs::write(&path, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
            let fault = Table::read(&path, space()).unwrap_err();
            assert!(fault.is_usage() && fault.hint_text().is_some(), "{fault}");
            fault.to_string().split_once("table.csv.zst:").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
        };
        let head = "model.depth,model.dim,seed,fraction,cost,status,metric\n";
        let row = |text: &str| fault(&format!("{head}{text}\n"));
        assert!(fault("a,b\n").starts_with("1: the columns are not model.depth, model.dim, seed"));
        assert_eq!(row("3,16,0,1,1,failed,"), "2: `model.depth` has no value 3 in the space");
        assert_eq!(row("2,16,-1,1,1,failed,"), "2: seed is `-1`, which is no number");
        assert_eq!(row("2,16,0,,1,failed,"), "2: fraction is ``, which is no number");
        assert_eq!(row("2,16,0,1,x,failed,"), "2: cost is `x`, which is no number");
        assert_eq!(row("2,16,0,1,1,finished,"), "2: metric is ``, which is no number");
        let status = "2: status is finished with a metric, diverged or failed without";
        assert_eq!((row("2,16,0,1,1,failed,3"), row("2,16,0,1,1,lost,")), (status.into(), status.into()));
        assert!(row("2,16,0").starts_with("2: this is no line of the table"));
        let twice = "2,16,0,1,1,failed,\n2,16,0,1,2,failed,";
        assert_eq!(row(twice), "3: this point, seed and fraction was there before");
        assert_eq!(row("2,16,0,1,1,failed,"), " model.depth = 2, model.dim = 32: it was not evaluated");
        assert!(row("2,16,0,0.5,1,failed,").ends_with("the last fraction is not 1"));
        let seeds = "2,16,0,1,1,failed,\n2,16,1,0.5,1,failed,\n2,16,1,1,1,failed,";
        assert!(row(seeds).ends_with("its seeds have different fractions"));

        std::fs::write(&path, "plain text").unwrap();
        assert!(Table::read(&path, space()).is_err());
        assert!(Table::read(&folder.path().join("none"), space()).unwrap_err().is_environment());
    }
}
