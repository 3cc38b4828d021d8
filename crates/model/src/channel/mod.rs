//! Channel sublayers, which work inside each position: the registry, by the names of `model.feed_forward`.

mod feed_forward;
mod grouped;
mod rwkv4;
mod rwkv7;

pub use feed_forward::FeedForward;
pub(crate) use feed_forward::hidden_dim;
pub use grouped::GroupedOptions;

use crate::layer::sublayers;

sublayers! {
    /// The registered channel sublayers.
    ChannelKind,
    /// The weights of one registered channel sublayer. The variant's name stays out of weight paths.
    AnyChannel,
    /// The keys that single channel sublayers have of their own.
    ChannelOptions:
    swiglu: Swiglu(FeedForward) = "swiglu": "down(silu(gate(x)) * up(x)).",
    gelu: Gelu(FeedForward) = "gelu": "down(gelu(up(x))) with the exact (erf) GELU.",
    grouped: Grouped(grouped::Grouped) = "grouped": "output(groups(gelu(up(x)))): the map out of the hidden channels in groups that do not mix (GroupBERT).",
    rwkv4: Rwkv4(rwkv4::Rwkv4Channel) = "rwkv4-channel": "RWKV-4's channel mix: sigmoid(receptance(x)) * value(relu(key(x))^2), each of a mix with the row before.",
    rwkv7: Rwkv7(rwkv7::Rwkv7Channel) = "rwkv7-channel": "RWKV-7's channel mix: value(relu(key(x))^2) of a mix with the row before.",
}
