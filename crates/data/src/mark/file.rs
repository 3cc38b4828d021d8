//! Single files of Percept's that lie among texts, by their name and by how they begin.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

/// How much of a file is looked at: more than the metadata of our weights.
const HEAD: u64 = 1 << 14;
/// The line in a page of ours that says so.
pub const PAGE_MARK: &str = "<meta name=\"generator\" content=\"Percept\">";
/// The line in a chart of ours (SVG) that says so.
pub const CHART_MARK: &str = "<!-- written by Percept -->";

/// What a file is, where Percept wrote it. Only names that such a file can have are opened: no ending (a state may have any name),
/// `.safetensors`, `.json`, `.html` and `.svg`.
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
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let of: fn(&[u8]) -> Option<&'static str> = match ending.as_deref() {
        None | Some("safetensors") => tensors,
        Some("json") => tokenizer,
        Some("html" | "htm" | "svg") => page,
        _ => return None,
    };
    of(&head(path)?)
}

fn head(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    Some(head)
}

/// States, and weights under our names: safetensors whose metadata, which come first, are ours.
fn tensors(head: &[u8]) -> Option<&'static str> {
    let header = head.get(8..)?;
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
    [(PAGE_MARK, "a report"), (CHART_MARK, "a chart")]
        .into_iter()
        .find_map(|(mark, what)| text.contains(mark).then_some(what))
}
