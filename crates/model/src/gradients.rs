//! Gradients by parameter path.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients as Graph, Tensor};

use crate::parameters::{Path, Tensors};

/// What the backward pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recompute {
    /// Every activation: fastest.
    Keep,
    /// The input of every block, which runs again in the backward pass: least memory.
    Blocks,
}

/// Gradients by parameter path, flattened.
#[derive(Debug, Clone, Default)]
pub struct Gradients(pub Tensors);

impl Gradients {
    /// Adds another set, path by path.
    ///
    /// ```
    /// use percept_model::{Batch, Gradients, LanguageModel, Mode, ModelConfig, Recompute, Trainable};
    /// # let layers = "llp(segment=2)".into();
    /// # let config = ModelConfig { layers, vocab: 11, dim: 8, depth: 1, heads: 2, context: 4, ..Default::default() };
    /// # let model = LanguageModel::fresh(&config, 1, &burn::tensor::Device::default().autodiff())?;
    /// let batches = [[1, 2, 3, 4], [5, 6, 7, 8]].map(|tokens: [u32; 4]| Batch {
    ///     targets: tokens.map(|token| token + 1).to_vec(),
    ///     tokens: tokens.to_vec(),
    ///     rows: 1,
    ///     length: 4,
    /// });
    /// // Two batches that count as one of eight targets: the scale is of all of them.
    /// let mut sum = Gradients::default();
    /// for batch in &batches {
    ///     sum.accumulate(model.loss_and_gradients(batch, Mode::Evaluation, Recompute::Keep, 1.0 / 8.0)?.gradients);
    /// }
    /// let [a, b] = batches;
    /// let whole = Batch { tokens: [a.tokens, b.tokens].concat(), targets: [a.targets, b.targets].concat(), rows: 2, length: 4 };
    /// let once = model.loss_and_gradients(&whole, Mode::Evaluation, Recompute::Keep, 1.0 / 8.0)?.gradients;
    /// let difference = sum.0["embedding.weight"].clone() - once.0["embedding.weight"].clone();
    /// assert!(difference.abs().max().into_scalar::<f32>() < 1e-6);
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn accumulate(&mut self, other: Gradients) {
        for (path, gradient) in other.0 {
            self.add(path, gradient);
        }
    }

    fn add(&mut self, path: String, gradient: Tensor<1>) {
        let sum = match self.0.remove(&path) {
            Some(sum) => sum + gradient,
            None => gradient,
        };
        self.0.insert(path, sum);
    }
}

struct Collector<'a> {
    path: Path,
    graph: &'a mut Graph,
    gradients: &'a mut Gradients,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(self.graph) {
            let size = gradient.shape().num_elements();
            self.gradients.add(self.path.text(), gradient.reshape([size]));
        }
    }
}

impl Gradients {
    /// Takes the gradients of a module's weights out of a graph and adds them; `prefix`: the path of the module.
    pub fn collect(&mut self, module: &impl Module, prefix: &str, graph: &mut Graph) {
        module.visit(&mut Collector { path: Path::under(prefix), graph, gradients: self });
    }
}
