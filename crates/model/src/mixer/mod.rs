//! Sequence mixers: the registry.
//!
//! A mixer is one file (or folder) that implements [`crate::layer::Sublayer`], and one line below. Everything else (trainer,
//! evaluator, session, cost model, checks) goes through that contract and knows no mixer by name.
//!
//! ```
//! use percept_model::mixer::MixerKind;
//! // What `percept plan` lists, and what `layers` may name.
//! for kind in MixerKind::ALL {
//!     println!("{}: {}", kind.name(), kind.summary());
//! }
//! // A mixer may have further names.
//! assert_eq!(MixerKind::from_name("ecp"), MixerKind::from_name("llp"));
//! assert!(MixerKind::from_name("rnn").is_none());
//! ```

mod attention_step;
mod combiner;
mod conv;
mod group_conv;
mod history;
mod llp;
mod longlora;
mod perceiver_ar;
mod perceiver_v1;
mod perceiver_v2;
mod perceiver_v3;
mod projection;
mod recurrent;
mod rwkv4;
mod rwkv7;
mod segment;
mod tost;
mod transformer;

pub use combiner::{
    CombinerAxialOptions, CombinerFixedOptions, CombinerLogsparseOptions, CombinerPositions, CombinerRowmajorOptions,
    CombinerSides, CombinerSidesOptions, CombinerSummaryKeys,
};
pub use conv::ConvOptions;
pub use group_conv::GroupConvOptions;
pub use history::Latents;
pub use llp::LlpOptions;
pub use perceiver_ar::PerceiverArOptions;
pub use perceiver_v2::PerceiverV2Options;
pub use perceiver_v3::{CompressionResidual, PerceiverV3Options};
pub use recurrent::{RecurrentGate, RecurrentOptions, RecurrentUpdate};
pub use rwkv7::Rwkv7Options;
pub use segment::Segment;
pub use tost::{TostOptions, TostRouting};

use crate::layer::sublayers;

sublayers! {
    /// The registered mixers.
    MixerKind,
    /// The weights of one registered mixer. The variant's name stays out of weight paths.
    AnyMixer,
    /// The keys that single mixers have of their own.
    MixerOptions:
    llp: Llp(llp::Llp) = "llp" | "ecp": "Pairwise overlapping segment attention: the previous segment and, causally, the own one.",
    transformer: Transformer(transformer::Transformer) = "transformer": "Full causal attention over the last `context` positions.",
    perceiver_ar: PerceiverAr(perceiver_ar::PerceiverAr) = "perceiver-ar": "Layer 0 reads the history once; later layers attend causally among the latents.",
    perceiver_v1: PerceiverV1(perceiver_v1::PerceiverV1) = "perceiver-v1" | "history-everywhere": "Every layer reads the whole history, which attends to itself in both directions.",
    perceiver_v2: PerceiverV2(perceiver_v2::PerceiverV2) = "perceiver-v2" | "segmented-history": "As V1, but the history attends inside its own segments only.",
    perceiver_v3: PerceiverV3(perceiver_v3::PerceiverV3) = "perceiver-v3" | "compressed-history": "Layer 0 as V1, then a learned map along the sequence compresses the history.",
    longlora: LongLora(longlora::LongLora) = "longlora" | "s2": "Half of the heads attend inside groups, half inside groups shifted by half a group.",
    conv: Conv(conv::Conv) = "conv": "Causal depthwise convolution over the last `conv.width` positions.",
    group_conv: GroupConv(group_conv::GroupConv) = "group-conv": "GroupBERT's convolution: a gate, a causal convolution in groups of channels, a norm.",
    tost: Tost(tost::Tost) = "tost": "Token statistics: every token is gated by running sums of squares, routed over heads.",
    rwkv4: Rwkv4(rwkv4::Rwkv4) = "rwkv4": "RWKV-4's time mix: each channel averages all values so far by their keys, with decay.",
    combiner_fixed: CombinerFixed(combiner::CombinerFixed) = "combiner-fixed": "Combiner: the own span directly, a summary of each span before it.",
    combiner_logsparse: CombinerLogsparse(combiner::CombinerLogsparse) = "combiner-logsparse": "Combiner: everything before a position by log2 t summaries of growing blocks.",
    combiner_axial_vertical: CombinerAxialVertical(combiner::CombinerVertical) = "combiner-axial-vertical": "Combiner on a grid: the own row and column directly, a summary of each other column.",
    combiner_axial_horizontal: CombinerAxialHorizontal(combiner::CombinerHorizontal) = "combiner-axial-horizontal": "Combiner on a grid: the own row and column directly, summaries of each earlier row without that column.",
    combiner_axial_mixture: CombinerAxialMixture(combiner::CombinerMixture) = "combiner-axial-mixture" | "combiner-mixture": "Combiner on a grid: the own row and column directly, summaries of columns and of rows.",
    combiner_axial_rowmajor: CombinerAxialRowmajor(combiner::CombinerRowmajor) = "combiner-axial-rowmajor": "Combiner on a grid: the own row directly, a summary of each earlier row for the own column.",
    rwkv7: Rwkv7(rwkv7::Rwkv7) = "rwkv7" | "goose": "RWKV-7's time mix: each head keeps a matrix that forgets, removes and writes.",
    recurrent: Recurrent(recurrent::Recurrent) = "recurrent" | "block-recurrent": "Segment attention beside state vectors that each segment reads, and that a gate changes after it.",
}
