//! Files of tensors with their metadata.

use std::collections::HashMap;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

/// One file.
pub(crate) struct Fixture {
    pub(crate) name: String,
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

const VARIABLE: &str = "PERCEPT_GROUPBERT_FIXTURES";

/// The files of a kind of the authors' model, which reads to both sides; says so where there are none.
pub(crate) fn fixtures(kind: &str) -> Vec<Fixture> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/groupbert"));
    let given = std::env::var_os(VARIABLE).map(PathBuf::from);
    if let Some(given) = &given {
        assert!(given.is_dir(), "{VARIABLE} = {} is no folder", given.display());
    }
    let folders: Vec<_> = [Some(beside), given].into_iter().flatten().filter(|folder| folder.is_dir()).collect();
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a readable folder"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "safetensors"));
    files.sort();
    let wanted = |fixture: &Fixture| {
        ["model", "kind", "causal"].map(|key| fixture.text(key)) == [Some("groupbert"), Some(kind), Some("false")]
    };
    let fixtures: Vec<_> = files.iter().map(Fixture::read).filter(wanted).collect();
    if fixtures.is_empty() {
        eprintln!("skipped: there are no fixtures of kind {kind} in {folders:?} (set {VARIABLE})");
    }
    fixtures
}

impl Fixture {
    fn read(path: &PathBuf) -> Self {
        let bytes = std::fs::read(path).expect("a readable fixture");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
        let metadata = header.metadata().clone().unwrap_or_default();
        Self { name: path.display().to_string(), bytes, metadata }
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("a safetensors file")
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// A number of the metadata.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        let value = self.text(key).unwrap_or_else(|| panic!("{}: metadata lacks {key}", self.name));
        value.parse().unwrap_or_else(|_| panic!("{}: {key} = {value} is no number", self.name))
    }

    /// Shape and elements of a tensor of floats.
    pub(crate) fn get(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = self.file();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("{}: there is no {name}", self.name));
        let elements = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        (view.shape().to_vec(), elements.collect())
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        self.get(name).1
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, elements) = self.get(name);
        Tensor::from_data(TensorData::new(elements, shape), device)
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        let file = self.file();
        let view = file.tensor(name).expect("the tensor exists");
        view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes"))).collect()
    }

    /// How many tensors have names that begin so.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.file().names().into_iter().filter(|name| name.starts_with(prefix)).count()
    }

    /// Fails where the norm of the difference is more than so large a part of that of `theirs`.
    pub(crate) fn compare(&self, name: &str, ours: &[f32], theirs: &[f32], limit: f64) {
        assert_eq!(ours.len(), theirs.len(), "{}: {name}", self.name);
        let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
        let difference = squares(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        let norm = squares(&mut theirs.iter().map(|x| f64::from(*x)));
        let error = (difference / norm).sqrt();
        assert!(error <= limit, "{}: {name} is off by {error:.2e}", self.name);
    }
}

/// The elements of a tensor.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
