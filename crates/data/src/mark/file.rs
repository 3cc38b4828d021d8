//! Single files of Percept's that lie among texts, by their name and by how they begin.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

/// How much of every file is looked at.
const START: u64 = 32;
/// How much more of a file that may be ours: more than the metadata of our weights.
const HEAD: u64 = 1 << 14;
/// How the header of an optimizer's file begins: its tensors are in the order of their names.
const FIRST: &[u8] = b"{\"first.";
/// A longer header is not read whole.
const LONGEST_HEADER: u64 = 1 << 24;
/// What a file is, where Percept wrote it. A few bytes of each file are looked at: a state may have any name, and a copy of weights,
/// too. Pages, charts and tokenizers are looked for under the endings that they have.
pub(crate) fn of_file(path: &Path) -> Option<&'static str> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    if name == super::TAG {
        return Some("the tag of a cache");
    }
    if name.starts_with("events.out.tfevents.") && name.contains(".percept.") {
        return Some("TensorBoard events");
    }
    if name.starts_with("build-") && name.ends_with(".partial") {
        return Some("a file that was never finished");
    }
    let mut file = File::open(path).ok()?;
    let mut head = Vec::new();
    read_on(&mut file, START, &mut head)?;
    if let Some(length) = header_length(&head) {
        read_on(&mut file, length.min(HEAD), &mut head)?;
        return session_or_weights(&head[8..]).or_else(|| {
            let is_first = head[8..].starts_with(FIRST);
            (is_first && length <= LONGEST_HEADER).then_some(())?;
            read_on(&mut file, length, &mut head)?;
            moments(head.get(8..8 + length as usize)?)
        });
    }
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let of: fn(&[u8]) -> Option<&'static str> = match ending.as_deref() {
        Some("json") => tokenizer,
        Some("html" | "htm" | "svg") => page,
        _ => return None,
    };
    read_on(&mut file, HEAD, &mut head)?;
    of(&head)
}

/// Reads as much more as is wanted, or as there is.
fn read_on(file: &mut File, bytes: u64, head: &mut Vec<u8>) -> Option<usize> {
    file.take(bytes).read_to_end(head).ok()
}

/// Bytes of the header, where a file begins as safetensors does: with their number, and a JSON object.
fn header_length(start: &[u8]) -> Option<u64> {
    let (length, header) = start.split_first_chunk()?;
    let length = u64::from_le_bytes(*length);
    // Eight bytes of text are a number far above this.
    (header.starts_with(b"{\"") && length < 1 << 40).then_some(length)
}

/// States, and weights under our names: safetensors whose metadata, which come first, are ours.
fn session_or_weights(header: &[u8]) -> Option<&'static str> {
    if !header.starts_with(b"{\"__metadata__\"") {
        return None;
    }
    let says = |text: &str| header.windows(text.len()).any(|window| window == text.as_bytes());
    match (says("\"percept-session-"), says("\"percept.config\"")) {
        (true, _) => Some("a state"),
        (_, true) => Some("weights"),
        _ => None,
    }
}

/// The optimizer's file of a checkpoint, which has no metadata: a first and a second moment of each parameter, and perhaps weights.
fn moments(header: &[u8]) -> Option<&'static str> {
    let tensors: Map<String, Value> = serde_json::from_slice(header).ok()?;
    let is_ours = |name: &str| match name.split_once('.') {
        Some(("first", path)) => tensors.contains_key(&format!("second.{path}")),
        Some(("second", path)) => tensors.contains_key(&format!("first.{path}")),
        Some(("weight", _)) => true,
        _ => false,
    };
    tensors.keys().all(|name| is_ours(name)).then_some("moments of an optimizer")
}

/// A `tokenizer.json`: Hugging Face's form, which is what ours have, or the line that stands for bytes.
fn tokenizer(head: &[u8]) -> Option<&'static str> {
    if head.len() < 256
        && let Ok(value) = serde_json::from_slice::<Value>(head)
    {
        return value.get("percept").map(|_| "a tokenizer");
    }
    let text = String::from_utf8_lossy(head);
    let keys = ["\"version\"", "\"truncation\"", "\"padding\"", "\"added_tokens\""];
    (text.starts_with('{') && keys.iter().all(|key| text.contains(key))).then_some("a tokenizer")
}

/// A report or a chart.
fn page(head: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(head);
    [(percept_files::PAGE_MARK, "a report"), (percept_files::CHART_MARK, "a chart")]
        .into_iter()
        .find_map(|(mark, what)| text.contains(mark).then_some(what))
}
