//! Weights by path: `embedding.weight`, `blocks.3.mixer.projection.query.weight`, ...
//!
//! The name of an enum's variant stays out of the path, so that it is the mixer's fields alone.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// One weight tensor, flattened.
#[derive(Debug, Clone)]
pub struct NamedTensor {
    /// Its shape.
    pub shape: Vec<usize>,
    /// `[product of the shape]`, without autodiff.
    pub data: Tensor<1>,
}

/// Flat tensors by the path of their parameter.
pub type Tensors = BTreeMap<String, Tensor<1>>;

/// A path while walking through a module.
#[derive(Default)]
pub(crate) struct Path(Vec<Option<String>>);

impl Path {
    pub(crate) fn under(prefix: &str) -> Self {
        Self(if prefix.is_empty() { vec![] } else { vec![Some(prefix.to_string())] })
    }

    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        self.0.push((!container.starts_with("Enum:")).then(|| name.to_string()));
    }

    pub(crate) fn exit(&mut self) {
        self.0.pop();
    }

    pub(crate) fn text(&self) -> String {
        self.0.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

struct Collector {
    path: Path,
    tensors: BTreeMap<String, NamedTensor>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = without_autodiff(param.val());
        let shape = tensor.dims().to_vec();
        let data = tensor.reshape([shape.iter().product::<usize>()]);
        self.tensors.insert(self.path.text(), NamedTensor { shape, data });
    }
}

/// Every weight of a model, by path.
pub fn collect(model: &impl Module) -> BTreeMap<String, NamedTensor> {
    let mut collector = Collector { path: Path::default(), tensors: BTreeMap::new() };
    model.visit(&mut collector);
    collector.tensors
}

/// The model with the given tensors where there are any.
pub fn replace<M: Module>(model: M, tensors: &Tensors) -> M {
    map(model, |path, _, old| tensors.get(path).cloned().unwrap_or(old))
}

struct Shapes(Vec<Vec<usize>>);

impl ModuleVisitor for Shapes {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.shape().to_vec());
    }
}

/// The shape of every weight.
pub(crate) fn shapes(model: &impl Module) -> Vec<Vec<usize>> {
    let mut shapes = Shapes(Vec::new());
    model.visit(&mut shapes);
    shapes.0
}

struct Mapper<F> {
    path: Path,
    change: F,
}

impl<F: FnMut(&str, &[usize], Tensor<1>) -> Tensor<1>> ModuleMapper for Mapper<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let (shape, autodiff, grad) = (tensor.dims(), tensor.is_autodiff(), tensor.is_require_grad());
        let flat = without_autodiff(tensor).reshape([shape.iter().product::<usize>()]);
        let tensor = (self.change)(&self.path.text(), &shape, flat).reshape(shape);
        let tensor = if autodiff { Tensor::from_inner(tensor).set_require_grad(grad) } else { tensor };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Replaces every weight: `change(path, shape, flattened)` returns the new one, of the same length.
///
/// ```
/// use percept_model::{LanguageModel, ModelConfig, parameters};
/// # let layers = "llp(segment=8)".into();
/// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 2, heads: 2, context: 32, ..Default::default() };
/// let model = LanguageModel::new(&config, 7, &Default::default())?;
/// // The second block without its mixer: what it adds to the rows is nothing.
/// let without = parameters::map(model, |path, _shape, weight| match path.starts_with("blocks.1.mixer.") {
///     true => weight.zeros_like(),
///     false => weight,
/// });
/// let weights = parameters::collect(&without);
/// let largest = |path: &str| weights[path].data.clone().abs().max().into_scalar::<f32>();
/// assert_eq!(largest("blocks.1.mixer.projection.query.weight"), 0.0);
/// assert!(largest("blocks.0.mixer.projection.query.weight") > 0.0);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn map<M: Module>(model: M, change: impl FnMut(&str, &[usize], Tensor<1>) -> Tensor<1>) -> M {
    model.map(&mut Mapper { path: Path::default(), change })
}

fn without_autodiff<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.is_autodiff() { tensor.inner() } else { tensor }
}
