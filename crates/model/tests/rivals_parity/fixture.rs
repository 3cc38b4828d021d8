//! Files of tensors with their metadata, and how far results may be from them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

/// Of outputs, relative to their norm.
pub(crate) const OUTPUT: f64 = 1e-5;
/// Of a loss, relative.
pub(crate) const LOSS: f64 = 1e-6;
/// Of a gradient, relative to its norm.
pub(crate) const GRADIENT: f64 = 1e-4;

/// One file.
pub(crate) struct Fixture {
    pub(crate) name: String,
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

fn folders() -> Vec<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures"));
    let given = std::env::var_os("PERCEPT_RIVAL_FIXTURES").map(PathBuf::from);
    if let Some(given) = &given {
        assert!(given.is_dir(), "PERCEPT_RIVAL_FIXTURES = {} is no folder", given.display());
    }
    [Some(beside), given].into_iter().flatten().filter(|folder| folder.is_dir()).collect()
}

/// The files in a folder and in those inside, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    entries.sort();
    entries.into_iter().flat_map(|entry| if entry.is_dir() { files(&entry) } else { vec![entry] }).collect()
}

/// The files of a model and of a kind that `wanted` takes; says so where there are none.
pub(crate) fn fixtures(model: &str, wanted: impl Fn(&Fixture) -> bool) -> Vec<Fixture> {
    let folders = folders();
    let files = folders.iter().flat_map(|folder| files(folder));
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    let fixtures: Vec<_> = files
        .filter_map(|path| Fixture::read(&path))
        .filter(|fixture| fixture.text("model") == Some(model) && wanted(fixture))
        .collect();
    if fixtures.is_empty() {
        eprintln!("skipped: there are no such fixtures of {model} in {folders:?} (set PERCEPT_RIVAL_FIXTURES)");
    }
    fixtures
}

impl Fixture {
    /// A file with metadata.
    fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).expect("a readable fixture");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
        let metadata = header.metadata().clone()?;
        Some(Self { name: path.display().to_string(), bytes, metadata })
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    pub(crate) fn is_kind(&self, kind: &str) -> bool {
        self.text("kind") == Some(kind)
    }

    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.text(key) == Some("true")
    }

    /// A number of the metadata.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        let value = self.text(key).unwrap_or_else(|| panic!("{}: metadata lacks {key}", self.name));
        value.parse().unwrap_or_else(|_| panic!("{}: {key} = {value} is no number", self.name))
    }

    /// Shape and elements of a tensor of floats, where there is one.
    pub(crate) fn get(&self, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let view = file.tensor(name).ok()?;
        let elements = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Some((view.shape().to_vec(), elements.collect()))
    }

    /// The elements of a tensor of floats.
    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        self.get(name).unwrap_or_else(|| panic!("{}: there is no {name}", self.name)).1
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, elements) = self.get(name).unwrap_or_else(|| panic!("{}: there is no {name}", self.name));
        Tensor::from_data(TensorData::new(elements, shape), device)
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let view = file.tensor(name).expect("the tensor exists");
        let read = |b: &[u8]| u32::try_from(i64::from_le_bytes(b.try_into().expect("8 bytes"))).expect("a token");
        view.data().chunks_exact(8).map(read).collect()
    }

    /// Number of tensors that are weights.
    pub(crate) fn parameters(&self) -> usize {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        file.names().into_iter().filter(|name| name.starts_with("param.")).count()
    }

    /// A matrix `[rows, columns]`, transposed; more dimensions of one are passed over.
    pub(crate) fn transposed(&self, name: &str) -> Vec<f32> {
        let (shape, elements) = self.get(name).unwrap_or_else(|| panic!("{}: there is no {name}", self.name));
        transpose(&elements, shape[1])
    }

    /// Fails unless `ours` is as close to the tensor of that name as `limit` says.
    pub(crate) fn check(&self, name: &str, ours: &[f32], limit: f64) {
        self.compare(name, ours, &self.floats(name), limit);
    }

    pub(crate) fn compare(&self, name: &str, ours: &[f32], theirs: &[f32], limit: f64) {
        let error = relative_l2(ours, theirs);
        assert!(error <= limit, "{}: {name} is off by {error:.2e}", self.name);
    }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(crate) fn transpose(elements: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| elements.iter().skip(column).step_by(columns).copied()).collect()
}

/// The norm of the difference, as a part of that of `theirs`.
pub(crate) fn relative_l2<T: Copy + Into<f64>>(ours: &[T], theirs: &[T]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let difference = squares(&mut ours.iter().zip(theirs).map(|(a, b)| (*a).into() - (*b).into()));
    let norm = squares(&mut theirs.iter().map(|x| (*x).into()));
    (difference / norm).sqrt()
}

/// The elements of a tensor.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
