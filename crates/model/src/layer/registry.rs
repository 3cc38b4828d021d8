//! The registries: a name for each sublayer, and its contract behind the name.

use percept_fault::Result;

use super::{Facts, Rows, Shapes, Sublayer, Windowing};
use crate::config::{LayerSpec, ModelConfig};
use crate::init::Initial;
use crate::role::Training;

/// What a kind of sublayer declares without weights; see [`Sublayer`].
#[derive(Debug, Clone, Copy)]
pub struct Contract {
    /// [`Sublayer::validate`].
    pub validate: fn(&ModelConfig, &LayerSpec) -> Result<()>,
    /// [`Sublayer::facts`].
    pub facts: fn(&ModelConfig, &LayerSpec, Rows) -> Facts,
    /// [`Sublayer::windowing`].
    pub windowing: fn(&ModelConfig, &LayerSpec) -> Windowing,
    /// [`Sublayer::asks`].
    pub asks: fn(&ModelConfig, &LayerSpec) -> bool,
    /// [`Sublayer::initial_std`].
    pub initial_std: fn(&ModelConfig, &str, &[usize]) -> f64,
    /// [`Sublayer::initial`].
    pub initial: fn(&ModelConfig, &LayerSpec, &str, &[usize]) -> Option<Initial>,
    /// [`Sublayer::training`].
    pub training: fn(&ModelConfig, &str, &[usize]) -> Training,
    /// [`Sublayer::paper`].
    pub paper: fn(&mut ModelConfig),
    /// [`Sublayer::published`].
    pub published: fn(&Shapes<'_>) -> Result<Option<ModelConfig>>,
    /// [`Sublayer::paper_names`].
    pub paper_names: fn(&str) -> &'static [&'static str],
}

impl Contract {
    /// The contract of a type.
    pub fn of<S: Sublayer>() -> Self {
        Self {
            validate: S::validate,
            facts: S::facts,
            windowing: S::windowing,
            asks: S::asks,
            initial_std: S::initial_std,
            initial: S::initial,
            training: S::training,
            paper: S::paper,
            published: S::published,
            paper_names: S::paper_names,
        }
    }
}

/// Makes a registry from a line per sublayer: an enum of kinds (a name in a configuration), one of weights, and a struct of
/// the tables of their own keys.
macro_rules! sublayers {
    (
        $(#[$kind_doc:meta])* $kind:ident, $(#[$any_doc:meta])* $any:ident, $(#[$own_doc:meta])* $own:ident:
        $($field:ident: $variant:ident($type:ty) = $name:literal $(| $alias:literal)*: $summary:literal,)*
    ) => {
        $(#[$kind_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $kind {
            $(#[doc = $summary] #[serde(rename = $name $(, alias = $alias)*)] $variant,)*
        }

        $(#[$any_doc])*
        #[allow(clippy::large_enum_variant, reason = "a stack has some dozens of them at most, each reached by reference")]
        #[derive(burn::module::Module, Debug)]
        pub enum $any {
            $(#[doc = $summary] $variant($type),)*
        }

        $(#[$own_doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $own {
            $(
                #[doc = $summary]
                pub $field: <$type as $crate::layer::Sublayer>::Options,
            )*
        }

        impl $own {
            /// See [`crate::options::Options::reduced`].
            pub fn reduced(&self, scale: &$crate::options::Scale) -> Self {
                Self { $($field: $crate::options::Options::reduced(&self.$field, scale),)* }
            }

            /// See [`crate::options::Options::at_context`].
            pub fn at_context(&self, context: usize) -> Self {
                Self { $($field: $crate::options::Options::at_context(&self.$field, context),)* }
            }

            /// See [`crate::options::Options::segment`].
            pub fn segment(&self, kind: $kind) -> Option<usize> {
                match kind { $($kind::$variant => $crate::options::Options::segment(&self.$field),)* }
            }
        }

        impl $crate::options::Tables for $own {
            fn tables(&self) -> Vec<$crate::options::Table> {
                vec![$($crate::options::Table::of($name, &self.$field),)*]
            }

            fn names() -> &'static [&'static str] {
                static NAMES: std::sync::LazyLock<Vec<&'static str>> =
                    std::sync::LazyLock::new(|| $crate::options::names(&<$own>::default().tables()));
                &NAMES
            }

            fn read(written: &$crate::options::Written) -> Result<Self, String> {
                Ok(Self { $($field: $crate::options::read_table($name, written)?,)* })
            }

            fn write<M: serde::ser::SerializeMap>(&self, name: &str, map: &mut M) -> Result<(), M::Error> {
                match name { $($name => map.serialize_entry($name, &self.$field),)* _ => Ok(()) }
            }

            fn schemas(generator: &mut schemars::SchemaGenerator) -> Vec<[schemars::Schema; 2]> {
                vec![$($crate::options::schemas::<<$type as $crate::layer::Sublayer>::Options>($summary, generator),)*]
            }
        }

        impl<'de> serde::Deserialize<'de> for $own {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::options::deserialize_tables(stringify!($own), deserializer)
            }
        }

        impl schemars::JsonSchema for $own {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($own).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::options::schema_of_tables::<Self>(generator)
            }
        }

        impl $kind {
            /// All of them, in the order of the registry.
            pub const ALL: &[$kind] = &[$($kind::$variant,)*];

            /// The one of that name or alias.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name $(| $alias)* => Some(Self::$variant),)* _ => None }
            }

            /// Every name and alias.
            pub fn all_names() -> impl Iterator<Item = &'static str> {
                [$($name, $($alias,)*)*].into_iter()
            }

            /// The name used in configurations.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does, in a line.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)* }
            }

            /// What it declares.
            pub fn contract(self) -> $crate::layer::Contract {
                match self { $(Self::$variant => $crate::layer::Contract::of::<$type>(),)* }
            }

            /// Allocates the weights.
            pub fn build(
                self,
                config: &$crate::config::ModelConfig,
                layer: &$crate::config::LayerSpec,
                device: &burn::tensor::Device,
            ) -> $any {
                match self {
                    $(Self::$variant => $any::$variant(<$type as $crate::layer::Sublayer>::new(config, layer, device)),)*
                }
            }
        }

        impl std::ops::Deref for $any {
            type Target = dyn $crate::layer::Sublayer;

            fn deref(&self) -> &Self::Target {
                match self { $(Self::$variant(sublayer) => sublayer,)* }
            }
        }
    };
}
pub(crate) use sublayers;
