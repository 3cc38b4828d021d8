//! Tensors of weight files from elsewhere, as f32.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use percept_fault::{Fault, IoContext, Result};
use pytorch_reader::{DType, PytorchReader};

use super::native;
use crate::tensor_file::{TensorFile, elements};

/// How a file keeps its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pytorch,
    Safetensors,
    /// A JSON file that says in which of several files beside it each tensor is.
    Index,
}

/// A tensor of a file.
pub(super) struct Foreign {
    pub(super) shape: Vec<usize>,
    /// Its values, or the name of its type where that is none of weights.
    pub(super) values: std::result::Result<Vec<f32>, String>,
}

pub(super) type Tensors = BTreeMap<String, Foreign>;

/// What a file holds.
#[derive(Default)]
pub(super) struct Contents {
    /// Its tensors under their bare names.
    pub(super) tensors: Tensors,
    /// The configuration that it carries where it is one of ours, as text.
    pub(super) config: Option<String>,
}

impl Kind {
    /// By the ending of the name.
    ///
    /// # Errors
    /// There is no such file, or its ending is another.
    fn of(path: &Path) -> Result<Self> {
        if std::fs::metadata(path).at("read", path)?.is_dir() {
            return Err(Fault::usage(format!("{} is a folder", path.display())).hint("name the weight file in it"));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "pt" | "pth" | "ckpt" | "bin" => Ok(Self::Pytorch),
            "safetensors" => Ok(Self::Safetensors),
            _ if name.ends_with(".index.json") => Ok(Self::Index),
            other => Err(Fault::usage(format!("{}: can't import a `.{other}` file", path.display()))
                .hint("give a .pt, .pth, .bin or .safetensors file, or the .index.json of several")),
        }
    }
}

/// Reads a file, or the files of an index.
pub(super) fn read(path: &Path) -> Result<Contents> {
    match Kind::of(path)? {
        Kind::Pytorch => read_pytorch(path),
        Kind::Safetensors => read_safetensors(path),
        Kind::Index => read_index(path),
    }
}

fn read_safetensors(path: &Path) -> Result<Contents> {
    let bytes = std::fs::read(path).at("read", path)?;
    let file = TensorFile::parse(&bytes).map_err(|error| damaged(path).because(error))?;
    let tensors = file.all().into_iter().map(|(name, stored)| {
        let values = stored.floats().ok_or_else(|| format!("{:?}", stored.dtype()));
        (bare(&name), Foreign { shape: stored.shape().to_vec(), values })
    });
    Ok(Contents { tensors: tensors.collect(), config: file.metadata().get(native::CONFIG).cloned() })
}

fn read_pytorch(path: &Path) -> Result<Contents> {
    let reader = PytorchReader::with_top_level_key(path, "state_dict").or_else(|_| PytorchReader::new(path));
    let reader = reader.map_err(|error| damaged(path).because(error.to_string()))?;
    let mut tensors = Tensors::new();
    for (name, tensor) in reader.into_tensors() {
        let bytes = tensor.read().map_err(|error| damaged(path).because(error))?;
        let values = pytorch_floats(tensor.dtype(), &bytes);
        tensors.insert(bare(&name), Foreign { shape: tensor.shape().to_vec(), values });
    }
    Ok(Contents { tensors, config: None })
}

/// The values, or the name of a type that is none of weights.
fn pytorch_floats(dtype: DType, bytes: &[u8]) -> std::result::Result<Vec<f32>, String> {
    match dtype {
        DType::F32 => Ok(elements(bytes, f32::from_le_bytes)),
        DType::F64 => Ok(elements(bytes, |bytes| f64::from_le_bytes(bytes) as f32)),
        DType::F16 => Ok(elements(bytes, |bytes| half::f16::from_le_bytes(bytes).to_f32())),
        DType::BF16 => Ok(elements(bytes, |bytes| half::bf16::from_le_bytes(bytes).to_f32())),
        other => Err(format!("{other:?}")),
    }
}

/// The part of an index that is used: the file of each tensor.
#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names, each once.
fn parts(path: &Path) -> Result<Vec<PathBuf>> {
    let text = std::fs::read(path).at("read", path)?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| damaged(path).because(error))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    Ok(names.into_iter().map(|name| path.with_file_name(name)).collect())
}

/// Of several configurations the first counts.
fn read_index(path: &Path) -> Result<Contents> {
    let mut whole = Contents::default();
    for part in parts(path)? {
        let Contents { tensors, config } = match Kind::of(&part)? {
            Kind::Pytorch => read_pytorch(&part)?,
            Kind::Safetensors => read_safetensors(&part)?,
            Kind::Index => {
                let what = format!("it names {}, which is an index too", part.display());
                return Err(damaged(path).because(what));
            }
        };
        whole.tensors.extend(tensors);
        whole.config = whole.config.or(config);
    }
    Ok(whole)
}

/// Without what wrappers put before the names of a model's tensors.
fn bare(name: &str) -> String {
    ["model.", "rwkv.", "param."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name).to_string()
}

pub(super) fn damaged(path: &Path) -> Fault {
    let begin = std::fs::File::open(path).and_then(|mut file| {
        let mut begin = [0; 16];
        std::io::Read::read_exact(&mut file, &mut begin).map(|()| begin)
    });
    let hint = match begin.is_ok_and(|begin| begin.starts_with(b"version https://")) {
        true => "it is a pointer of Git LFS: `git lfs pull` fetches the file itself",
        false => "check that the file is complete",
    };
    Fault::environment(format!("{} can't be read as weights", path.display())).hint(hint)
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;

    /// A safetensors file with one tensor per type.
    fn write(path: &Path, tensors: &[(&str, Dtype, Vec<u8>)]) {
        let views = tensors.iter().map(|(name, dtype, bytes)| {
            let size = bytes.len() * 8 / dtype.bitsize();
            (*name, TensorView::new(*dtype, vec![size], bytes).unwrap())
        });
        safetensors::serialize_to_file(views.collect::<Vec<_>>(), None, path).unwrap();
    }

    #[test]
    fn every_float_becomes_f32_and_other_types_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        // 1.5 and -0.25 in each format.
        let halves = [0x3e00u16, 0xb400].map(u16::to_le_bytes).concat();
        let brains = [0x3fc0u16, 0xbe80].map(u16::to_le_bytes).concat();
        let doubles = [1.5f64, -0.25].map(f64::to_le_bytes).concat();
        let singles = [1.5f32, -0.25].map(f32::to_le_bytes).concat();
        for (dtype, bytes) in
            [(DType::F16, &halves), (DType::BF16, &brains), (DType::F64, &doubles), (DType::F32, &singles)]
        {
            assert_eq!(pytorch_floats(dtype, bytes), Ok(vec![1.5, -0.25]), "{dtype:?}");
        }
        assert_eq!(pytorch_floats(DType::I64, &[0; 16]), Err("I64".into()));
        let file = [
            ("model.half", Dtype::F16, halves),
            ("brain", Dtype::BF16, brains),
            ("double", Dtype::F64, doubles),
            ("param.single", Dtype::F32, singles),
            ("ids", Dtype::I64, vec![0; 16]),
        ];
        write(&path, &file);
        let tensors = read(&path).unwrap().tensors;
        for name in ["half", "brain", "double", "single"] {
            assert_eq!((&tensors[name].values, &tensors[name].shape), (&Ok(vec![1.5, -0.25]), &vec![2]), "{name}");
        }
        assert_eq!(tensors["ids"].values, Err("I64".into()));
    }

    #[test]
    fn an_index_gathers_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let one = 1f32.to_le_bytes().to_vec();
        write(&at("model-1-of-2.safetensors"), &[("a", Dtype::F32, one.clone())]);
        write(&at("model-2-of-2.safetensors"), &[("b", Dtype::F32, one)]);
        let index =
            r#"{"metadata": {}, "weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}"#;
        std::fs::write(at("model.safetensors.index.json"), index).unwrap();
        assert_eq!(
            read(&at("model.safetensors.index.json")).unwrap().tensors.into_keys().collect::<Vec<_>>(),
            ["a", "b"]
        );
        std::fs::remove_file(at("model-2-of-2.safetensors")).unwrap();
        let fault = read(&at("model.safetensors.index.json")).err().unwrap();
        assert!(fault.is_environment() && fault.to_string().contains("model-2-of-2.safetensors"), "{fault}");
    }

    #[test]
    fn a_file_of_another_kind_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let fault = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let fault = read(&path).err().unwrap();
            format!("{} {fault} ({})", fault.exit_code(), fault.hint_text().unwrap_or_default())
        };
        for name in ["a.safetensors", "a.pt", "a.bin", "a.index.json"] {
            for content in [&b""[..], b"<html>", b"PK\x03\x04 and no more"] {
                let words = fault(name, content);
                assert!(
                    words.starts_with("3 ") && words.contains(&format!("{name} can't be read as weights: ")),
                    "{words}"
                );
                assert!(words.ends_with("(check that the file is complete)"), "{words}");
            }
            let pointer = fault(name, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
            assert!(pointer.contains("git lfs pull"), "{pointer}");
        }
        assert!(fault("a.gguf", b"").contains("can't import a `.gguf` file"));
        assert!(read(folder.path()).err().unwrap().to_string().ends_with("is a folder"));
    }
}
