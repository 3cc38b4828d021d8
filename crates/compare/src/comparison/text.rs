//! The text that runs share: where it is kept, what it is known by, and how large it is.

use std::path::{Path, absolute};

use percept_data::{
    DataConfig, Dataset, Made, SourceConfig, Split, Watch, check_apart, is_stream, keep_streams, mark_folder,
};
use percept_fault::{Fault, IoContext, Result};
use percept_train::KEPT_TEXT;
use sha2::{Digest, Sha256};

use super::lineup::Purpose;
use super::result::{CorpusInfo, SplitInfo};

/// The text to read for runs in `folder`. What can be read only once is kept where the runs will find it.
///
/// # Errors
/// Usage: `folder` is that of the text, or several machines would need a stream. Environment: a stream cannot be read or kept.
pub(crate) fn kept(data: DataConfig, folder: &Path, purpose: Purpose, watch: &mut dyn Watch<'_>) -> Result<DataConfig> {
    check_apart(folder, &data)?;
    let all = [&data.sources, &data.validation, &data.test];
    let stream = all.into_iter().flatten().find(|source: &&SourceConfig| is_stream(&source.path));
    let Some(stream) = stream.filter(|_| purpose != Purpose::Preview) else { return Ok(data) };
    if purpose == Purpose::Shared {
        return Err(Fault::usage(format!("{} can be read only once, and several tasks need it", stream.path))
            .hint("write the text into a file that all of them see"));
    }
    let folder = absolute(folder).at("find", folder)?;
    let marked = mark_folder(&folder, Made::Comparison)?;
    let kept = keep_streams(&data, &folder.join(KEPT_TEXT), watch);
    if kept.is_err() {
        marked.unmark()?;
    }
    kept
}

/// Hash of the documents of all splits.
pub(crate) fn hash(dataset: &Dataset) -> String {
    let hashes = splits().map(|split| split_hash(dataset, split)).concat();
    percept_files::hex(&Sha256::digest(hashes))
}

/// What a report says of the text.
pub(crate) fn corpus(dataset: &Dataset) -> CorpusInfo {
    let splits = split_infos(dataset);
    let sources: Vec<String> = dataset.config().sources.iter().map(source_name).collect();
    CorpusInfo { name: sources.join(", "), bytes: splits.iter().map(|split| split.bytes).sum(), splits }
}

/// What a report calls a source: its name, or its file's or folder's without where that lies on this machine.
pub(crate) fn source_name(source: &SourceConfig) -> String {
    let file = Path::new(&source.path).file_name().map(|name| name.to_string_lossy().into_owned());
    source.name.clone().or(file).unwrap_or_else(|| source.path.clone())
}

/// The three splits of the text.
fn split_infos(dataset: &Dataset) -> Vec<SplitInfo> {
    splits()
        .map(|split| {
            let size = dataset.size(split);
            SplitInfo {
                name: split.label().to_owned(),
                documents: size.documents,
                bytes: size.bytes,
                words: size.words,
                tokens: size.tokens,
                hash: split_hash(dataset, split),
            }
        })
        .to_vec()
}

fn splits() -> [Split; 3] {
    [Split::Train, Split::Validation, Split::Test]
}

/// Hash of the documents of a split.
fn split_hash(dataset: &Dataset, split: Split) -> String {
    let mut hash = Sha256::new();
    for part in dataset.parts(split) {
        hash.update(format!("{:?} {} {:?}\n", part.weight, part.corpus.fingerprint(), part.documents));
    }
    percept_files::hex(&hash.finalize())
}
