//! Requests and answers, as they are written in JSON. The OpenAPI document is made of these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use crate::prompt::Prompt;
use crate::states::State;

/// Most alternatives of a token.
pub(crate) const MOST_ALTERNATIVES: usize = 20;
/// Most stop strings, and bytes of each.
pub(crate) const MOST_STOPS: usize = 16;
pub(crate) const LONGEST_STOP: usize = 1024;
/// Most tokens with a bias.
pub(crate) const MOST_BIASES: usize = 1024;

/// What `POST /v1/completions` takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CompletionRequest {
    /// A name of `GET /v1/models`; may be left out where one model is served.
    pub(crate) model: Option<String>,
    /// What to go on from. Without it a text begins anew.
    pub(crate) prompt: Option<Prompt>,
    /// At most this many tokens; 16 where it is left out, and with `echo` 0 only scores the prompt.
    pub(crate) max_tokens: Option<usize>,
    /// Below 1 sharper, above 1 flatter, 0 always the most probable token; 1 where it is left out.
    #[schemars(range(min = 0.0))]
    pub(crate) temperature: Option<f32>,
    /// Draw from the most probable tokens that together have this probability.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub(crate) top_p: Option<f32>,
    /// Draw from this many of the most probable tokens.
    #[schemars(range(min = 1))]
    pub(crate) top_k: Option<usize>,
    /// Draw from tokens at least this fraction as probable as the most probable one.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) min_p: Option<f32>,
    /// The same seed gives the same text; without it each request has one of its own.
    pub(crate) seed: Option<i64>,
    /// The text ends before the first of these.
    pub(crate) stop: Option<Stop>,
    /// Send the text as it grows, by server-sent events.
    pub(crate) stream: Option<bool>,
    /// Only with `stream`.
    #[serde(deserialize_with = "crate::body::object")]
    pub(crate) stream_options: Option<StreamOptions>,
    /// Tell of each token its log-probability, and those of so many of the most probable ones in its place.
    #[schemars(range(max = MOST_ALTERNATIVES))]
    pub(crate) logprobs: Option<usize>,
    /// Begin the answer with the prompt.
    pub(crate) echo: Option<bool>,
    /// Numbers from -100 to 100 that are added to the log-probabilities of tokens, by id.
    #[serde(deserialize_with = "crate::body::distinct")]
    #[schemars(extend("maxProperties" = MOST_BIASES))]
    pub(crate) logit_bias: Option<BTreeMap<u32, f32>>,
    /// Go on from this state, and not from the start of a document.
    pub(crate) state: Option<String>,
    /// Keep the state at the end of the text, what was written included: the choice then names it.
    pub(crate) keep_state: Option<bool>,
    /// Whose request it is, in the client's own words; not looked at.
    pub(crate) user: Option<String>,
    /// Only 1: send several prompts for several texts.
    #[schemars(range(min = 1, max = 1))]
    pub(crate) n: Option<usize>,
    /// Only 1.
    #[schemars(range(min = 1, max = 1))]
    pub(crate) best_of: Option<usize>,
    /// Refused: these models do not write between two texts.
    pub(crate) suffix: Option<String>,
    /// Only 0.
    #[schemars(range(min = 0.0, max = 0.0))]
    pub(crate) presence_penalty: Option<f32>,
    /// Only 0.
    #[schemars(range(min = 0.0, max = 0.0))]
    pub(crate) frequency_penalty: Option<f32>,
}

/// One stop string, or several: of each the limit is in bytes, of which a character has one at least.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub(crate) enum Stop {
    /// One.
    One(#[schemars(length(min = 1, max = LONGEST_STOP))] String),
    /// Several.
    Several(#[schemars(length(max = MOST_STOPS), inner(length(min = 1, max = LONGEST_STOP)))] Vec<String>),
}

impl Stop {
    pub(crate) fn into_texts(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// What a stream tells beside the text.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StreamOptions {
    /// Say at the end how many tokens were read and written.
    pub(crate) include_usage: Option<bool>,
}

/// What `POST /v1/completions` answers, and one event of a stream.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Completion {
    pub(crate) id: String,
    /// `text_completion`
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) model: String,
    /// One for each prompt; in a stream, one that goes on.
    pub(crate) choices: Vec<Choice>,
    /// In a stream only at its end, and where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Usage>,
    /// Names the weights.
    pub(crate) system_fingerprint: String,
}

/// The text after a prompt.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Choice {
    /// The text; in a stream, what is new of it.
    pub(crate) text: String,
    /// The prompt's place in the request.
    pub(crate) index: usize,
    pub(crate) logprobs: Option<Logprobs>,
    /// `stop` or `length`; none while it goes on.
    pub(crate) finish_reason: Option<&'static str>,
    /// Bytes of memory of the stream's state at the end of the text; none while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state_bytes: Option<usize>,
    /// At the end of the text, where it was to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<Box<State>>,
}

/// What is told of single tokens: lists of one length.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Logprobs {
    /// Their texts; `bytes:\x..` where a token is no text by itself.
    pub(crate) tokens: Vec<String>,
    /// Their ids.
    pub(crate) token_ids: Vec<u32>,
    /// Their natural logarithms of probability; none where nothing comes before a token.
    pub(crate) token_logprobs: Vec<Option<f32>>,
    /// The most probable tokens in their places.
    pub(crate) top_logprobs: Vec<Option<BTreeMap<String, f32>>>,
    /// The ids of those: a text alone may be the text of several tokens in a row.
    pub(crate) top_token_ids: Vec<Option<BTreeMap<String, u32>>>,
    /// Where they begin in the text, in characters.
    pub(crate) text_offset: Vec<usize>,
}

/// How many tokens.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: usize,
    pub(crate) completion_tokens: usize,
    pub(crate) total_tokens: usize,
}

/// What `GET /v1/models` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ModelList {
    /// `list`
    pub(crate) object: &'static str,
    pub(crate) data: Vec<ModelCard>,
}

/// A model.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ModelCard {
    pub(crate) id: String,
    /// `model`
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) owned_by: &'static str,
    /// Names the weights.
    pub(crate) fingerprint: String,
    /// Token ids, those that only pad the tables included.
    pub(crate) vocab: usize,
    /// Most bytes of memory that the state of one stream takes.
    pub(crate) state_limit: usize,
}

/// What `POST /v1/tokenize` takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenizeRequest {
    /// As in a completion.
    #[serde(default)]
    pub(crate) model: Option<String>,
    pub(crate) text: String,
}

/// What `POST /v1/tokenize` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tokenized {
    /// Without the document token.
    pub(crate) tokens: Vec<u32>,
    pub(crate) count: usize,
}

/// What `POST /v1/detokenize` takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DetokenizeRequest {
    /// As in a completion.
    #[serde(default)]
    pub(crate) model: Option<String>,
    pub(crate) tokens: Vec<u32>,
}

/// What `POST /v1/detokenize` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Detokenized {
    /// With U+FFFD where the tokens are no text.
    pub(crate) text: String,
}

/// What `GET /health` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `ok`, or `stopping` with status 503.
    pub(crate) status: &'static str,
}
