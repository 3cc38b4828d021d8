//! A layer of the stack: two sublayers, a mixer and a channel sublayer, behind one contract.
//!
//! [`Sublayer`] is what a model's file implements; [`Facts`] is what it declares about itself; [`LayerState`] is what a
//! stream has left behind in it; [`Carry`] takes values from one layer to later ones; [`Block`] puts the two together.

mod block;
mod carry;
mod context;
mod facts;
mod registry;
mod state;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use percept_fault::Result;

pub use block::{Block, BlockContext, BlockFacts, BlockState};
pub use carry::Carry;
pub use context::{LayerContext, Mode, Place, Rows};
pub use facts::{Activations, Direction, Facts, Reach, Windowing};
pub use registry::Contract;
pub(crate) use registry::sublayers;
pub use state::{Content, ElementBytes, Extent, Format, KeyValuePrecision, LayerState, StateTensor};

use crate::config::{LayerSpec, ModelConfig};
use crate::decoder::BuildStep;
use crate::init::Initial;
use crate::layers::Norm;
use crate::ops;
pub use crate::options::{FlatKey, NoOptions, Options, Scale};
use crate::role::{Role, Training};

/// Shapes of the tensors in a file, by their names.
pub type Shapes<'a> = BTreeMap<&'a str, &'a [usize]>;

/// One half of a layer: a mixer, which moves information between positions, or a channel sublayer, which works inside
/// each. Positions are counted from the start of the window or stream.
///
/// ```
/// use burn::module::{Module, Param};
/// use burn::tensor::{Device, Tensor};
/// use percept_model::layer::{Carry, Facts, LayerContext, LayerState, NoOptions, Reach, StateTensor, Sublayer};
/// use percept_model::config::LayerSpec;
/// use percept_model::{Mode, ModelConfig, Rows};
///
/// /// y_t = scale * x_(t - 1), with zeros before the first row.
/// #[derive(Module, Debug)]
/// struct Shift {
///     scale: Param<Tensor<1>>,
/// }
///
/// impl Sublayer for Shift {
///     type Options = NoOptions;
///
///     fn new(config: &ModelConfig, _layer: &LayerSpec, device: &Device) -> Self {
///         Self { scale: Param::from_tensor(Tensor::ones([config.dim], device)) }
///     }
///
///     fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
///         Facts {
///             parameters: config.dim as u64,
///             state: vec![StateTensor::rows("row", (rows.len().min(1), 1), [config.dim])],
///             reach: Reach::Last(2),
///             ..Facts::of(rows)
///         }
///     }
///
///     fn mix(&self, x: Tensor<3>, state: Option<&mut LayerState>, _: &mut Carry, _: &LayerContext) -> Tensor<3> {
///         let [batch, rows, dim] = x.dims();
///         let kept = state.as_ref().and_then(|state| state.get::<3>("row"));
///         let before = kept.unwrap_or_else(|| Tensor::zeros([batch, 1, dim], (&x.device(), x.dtype())));
///         if let Some(state) = state {
///             state.set("row", x.clone().narrow(1, rows - 1, 1));
///         }
///         Tensor::cat(vec![before, x], 1).narrow(1, 0, rows) * self.scale.val().unsqueeze()
///     }
/// }
///
/// // A stream that gets one row after the other leaves the same behind as a whole window.
/// let config = ModelConfig { dim: 1, ..ModelConfig::default() };
/// let shift = Shift::new(&config, &config.layer_specs()?[0], &Default::default());
/// let mut state = LayerState::default();
/// let mut outputs = Vec::new();
/// for (at, x) in [5.0_f32, 6.0, 7.0].into_iter().enumerate() {
///     let context = LayerContext { mode: Mode::Evaluation, layer: 0, rows: Rows::plain(1, at) };
///     let y = shift.mix(Tensor::from_floats([[[x]]], &Default::default()), Some(&mut state), &mut Carry::default(), &context);
///     outputs.push(y.into_scalar::<f32>());
/// }
/// assert_eq!(outputs, [0.0, 5.0, 6.0]);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub trait Sublayer {
    /// Its own keys; [`NoOptions`] where it has none.
    type Options: Options
    where
        Self: Sized;

    /// Allocates the weights (zeros; [`crate::init`] fills them).
    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self
    where
        Self: Sized;

    /// Checks the keys that it reads.
    ///
    /// # Errors
    /// A usage fault that names the key.
    fn validate(_config: &ModelConfig, _layer: &LayerSpec) -> Result<()>
    where
        Self: Sized,
    {
        Ok(())
    }

    /// What it promises for `rows`: the rows of a window, or all that a stream has seen.
    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts
    where
        Self: Sized;

    /// The standard deviation of the normal initialisation of a matrix, by its path within the sublayer and its shape.
    fn initial_std(config: &ModelConfig, path: &str, _shape: &[usize]) -> f64
    where
        Self: Sized,
    {
        config.initial_std(path)
    }

    /// How a weight begins, by its path within the sublayer and its shape, where neither [`Sublayer::initial_std`] nor the rule
    /// that the configuration names does: parameters with a meaning of their own, or a rule that its authors have. `None`:
    /// as the configuration says.
    fn initial(_config: &ModelConfig, _layer: &LayerSpec, _path: &str, _shape: &[usize]) -> Option<Initial>
    where
        Self: Sized,
    {
        None
    }

    /// How the optimizer trains a weight, by its path within the sublayer and its shape.
    fn training(_config: &ModelConfig, _path: &str, shape: &[usize]) -> Training
    where
        Self: Sized,
    {
        Training::of(Role::by_shape(shape))
    }

    /// What the authors' code does otherwise in this sublayer, on top of the options that all of it has in common; see
    /// [`ModelConfig::with_paper_options`].
    fn paper(_config: &mut ModelConfig)
    where
        Self: Sized,
    {
    }

    /// The configuration of a model of this mixer alone, as the shapes in a published file tell it, under its authors' names; `None`: the
    /// file is another's.
    ///
    /// # Errors
    /// Shapes of such a file that fit no model.
    fn published(_shapes: &Shapes<'_>) -> Result<Option<ModelConfig>>
    where
        Self: Sized,
    {
        Ok(None)
    }

    /// The names of one of its modules, such as `projection.query`, or of a parameter that is in none, in the authors' weight files,
    /// their own first; none: it is not there.
    fn paper_names(_module: &str) -> &'static [&'static str]
    where
        Self: Sized,
    {
        &[]
    }

    /// How a stream goes on past the training window.
    fn windowing(_config: &ModelConfig, _layer: &LayerSpec) -> Windowing
    where
        Self: Sized,
    {
        Windowing::Carried
    }

    /// What is added to the rows, `[B, rows, d]`; `x` are the normalised ones. For a sublayer with another residual form,
    /// [`Sublayer::forward`] takes its place.
    ///
    /// Without a state the rows are a whole window. With one they follow whatever it has seen, and it is updated; from the
    /// empty state the result is that of the whole window. Only an empty state may be given history rows.
    fn mix(
        &self,
        x: Tensor<3>,
        _state: Option<&mut LayerState>,
        _carry: &mut Carry,
        _context: &LayerContext,
    ) -> Tensor<3> {
        x
    }

    /// Whether [`Sublayer::mix_at`] is there, as the configuration is: attention by queries that are rotated.
    fn asks(_config: &ModelConfig, _layer: &LayerSpec) -> bool
    where
        Self: Sized,
    {
        false
    }

    /// [`Sublayer::mix`] with queries that ask from other positions: for each of `offsets` what is added to the rows whose
    /// queries are rotated as if they stood so many positions further on. Keys and values, what a row sees of them, and what is
    /// left in the state stay as they are. What would stand before position 0 is not asked for: its rows are of no use.
    fn mix_at(
        &self,
        _x: Tensor<3>,
        _offsets: &[isize],
        _state: Option<&mut LayerState>,
        _context: &LayerContext,
    ) -> Vec<Tensor<3>> {
        Vec::new()
    }

    /// `x`: `[B, rows, d]`; returns `[B, rows_after, d]`, the residual included: x + mix(norm(x)), unless the sublayer says
    /// otherwise. States as in [`Sublayer::mix`].
    fn forward(
        &self,
        x: Tensor<3>,
        norm: &Norm,
        state: Option<&mut LayerState>,
        carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        ops::add(self.mix(norm.forward(x.clone()), state, carry, context), x)
    }

    /// Inputs and outputs of the parts in which its step packs a weight that it does not pack whole: each part fills whole
    /// panels, so that together they need more room.
    fn packed_parts(&self) -> Vec<[usize; 2]> {
        Vec::new()
    }

    /// How [`crate::decoder`] runs one new position from packed weights; `None`: it runs [`Sublayer::forward`].
    fn step<'a>(&'a self, _norm: &'a Norm) -> Option<BuildStep<'a>> {
        None
    }
}
