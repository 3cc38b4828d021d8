//! From a request for completions to the texts that an engine writes: all that can be refused is refused here.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use percept_generate::{GenerationConfig, SamplingConfig, Told};

use crate::app::Served;
use crate::choices::{ChoiceBuilder, Shown};
use crate::config::Limits;
use crate::engine::{AtEnd, Prefixes, Start, Wanted};
use crate::error::{ApiError, ApiResult};
use crate::types::{CompletionRequest, LONGEST_STOP, MOST_ALTERNATIVES, MOST_BIASES, MOST_STOPS, Prompt, Stop};

/// Tokens where a request does not say how many, as in OpenAI's API.
const DEFAULT_TOKENS: usize = 16;
/// The largest bias.
const LARGEST_BIAS: f32 = 100.0;

/// Whose request it is, and what it goes on from.
#[derive(Debug, Default)]
pub(crate) struct Begin {
    pub(crate) owner: String,
    /// A state; none where texts begin anew.
    pub(crate) start: Option<Arc<Start>>,
    /// Tokens that were drawn on the way to that state.
    pub(crate) drawn: u64,
}

/// What a request comes to.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) texts: Vec<Wanted>,
    /// One for each text.
    pub(crate) choices: Vec<ChoiceBuilder>,
    /// Of all prompts, without document tokens that were put in front.
    pub(crate) prompt_tokens: usize,
    /// What the log shows of the prompts.
    pub(crate) logged: Vec<String>,
}

impl Plan {
    pub(crate) fn new(
        mut request: CompletionRequest,
        begin: &Begin,
        served: &Served,
        limits: &Limits,
    ) -> ApiResult<Self> {
        refuse(&request)?;
        let mut config = generation(&mut request, served, limits)?;
        config.sampling.drawn = begin.drawn;
        let prompts = prompts(request.prompt.take(), served, limits)?;
        let echo = request.echo == Some(true);
        let at_end = if request.keep_state == Some(true) { AtEnd::Keep } else { AtEnd::Drop };
        if at_end == AtEnd::Keep && prompts.len() != 1 {
            return Err(ApiError::invalid("prompt", "the state of one prompt can be kept: send one in each request"));
        }
        held(&request, &config, &prompts, limits)?;
        let mut plan = Self { texts: Vec::new(), choices: Vec::new(), prompt_tokens: 0, logged: Vec::new() };
        for (index, tokens) in prompts.into_iter().enumerate() {
            // Models are trained with the document token in front of each text.
            let document = served.tokenizer.document_token();
            let added = usize::from(begin.start.is_none() && tokens.first() != Some(&document));
            let prompt = [&[document][..added], &tokens].concat();
            if prompt.len() > limits.prompt_tokens {
                let (length, most) = (prompt.len(), limits.prompt_tokens);
                return Err(ApiError::invalid(
                    "prompt",
                    format!("prompt {index} has {length} tokens: {most} are allowed"),
                ));
            }
            // As far as its characters are whole: what the text goes on with ends the last one.
            let start = served.tokenizer.detokenizer();
            let mut seen = start.clone();
            let text: String = tokens.iter().map(|&token| seen.push(token)).collect();
            if limits.logged > 0 {
                plan.logged.push(text.chars().take(limits.logged).collect());
            }
            let logprobs = request.logprobs.is_some();
            let (before, shown) = match echo {
                true => (text, Shown { skip: added, logprobs, seen: start, offset: 0 }),
                false => (String::new(), Shown { skip: 0, logprobs, seen, offset: text.chars().count() }),
            };
            plan.prompt_tokens += tokens.len();
            plan.choices.push(ChoiceBuilder::new(index, before, shown));
            // Where a prompt is told, each of its tokens is read.
            let prefixes = match (&begin.start, config.told) {
                (None, Told::Nothing | Told::Written { .. }) if limits.prefix_bytes > 0 => {
                    Prefixes::new(served.model.fingerprint(), &begin.owner, &prompt, limits.piece)
                }
                _ => Prefixes::default(),
            };
            let start = begin.start.clone();
            plan.texts.push(Wanted { prompt, config: config.clone(), start, prefixes, at_end });
        }
        Ok(plan)
    }
}

/// Refuses what would hold too many log-probabilities at once: those of an answer that is sent whole, and those of prompts,
/// which are told with the first token after them.
fn held(
    request: &CompletionRequest,
    config: &GenerationConfig,
    prompts: &[Vec<u32>],
    limits: &Limits,
) -> ApiResult<()> {
    let Some(alternatives) = request.logprobs else { return Ok(()) };
    let written = if request.stream == Some(true) { 0 } else { config.tokens };
    let tokens = |prompt: &Vec<u32>| written + if request.echo == Some(true) { prompt.len() } else { 0 };
    let count = prompts.iter().map(tokens).sum::<usize>().saturating_mul(1 + alternatives);
    match count <= limits.logprobs {
        true => Ok(()),
        false => {
            let most = limits.logprobs;
            let message =
                format!("the answer could hold {count} log-probabilities, alternatives included: {most} are allowed");
            Err(ApiError::invalid("logprobs", message))
        }
    }
}

/// Refuses what other servers give and this one does not.
fn refuse(request: &CompletionRequest) -> ApiResult<()> {
    let one = |param: &str, count: Option<usize>, why: &str| match count {
        None | Some(1) => Ok(()),
        Some(_) => Err(ApiError::invalid(param, format!("{param} can only be 1: {why}"))),
    };
    one("n", request.n, "send a request for each text, each with a seed of its own")?;
    one("best_of", request.best_of, "ask for several texts with logprobs, and choose")?;
    let zero = |param: &str, penalty: Option<f32>| match penalty {
        None | Some(0.0) => Ok(()),
        Some(_) => Err(ApiError::invalid(param, format!("{param} can only be 0: use logit_bias"))),
    };
    zero("presence_penalty", request.presence_penalty)?;
    zero("frequency_penalty", request.frequency_penalty)?;
    if request.suffix.is_some() {
        return Err(ApiError::invalid("suffix", "these models write on from a text, not between two"));
    }
    match (&request.stream_options, request.stream) {
        (Some(_), None | Some(false)) => Err(ApiError::invalid("stream_options", "only with stream: true")),
        _ => Ok(()),
    }
}

fn generation(request: &mut CompletionRequest, served: &Served, limits: &Limits) -> ApiResult<GenerationConfig> {
    let tokens = request.max_tokens.unwrap_or(DEFAULT_TOKENS.min(limits.max_tokens));
    if tokens > limits.max_tokens {
        let most = limits.max_tokens;
        return Err(ApiError::invalid("max_tokens", format!("max_tokens is {tokens}: {most} are allowed")));
    }
    let told = match (request.logprobs, request.echo) {
        (Some(count), _) if count > MOST_ALTERNATIVES => {
            let message = format!("logprobs is {count}: {MOST_ALTERNATIVES} are allowed");
            return Err(ApiError::invalid("logprobs", message));
        }
        (None, _) => Told::Nothing,
        (Some(alternatives), Some(true)) => Told::PromptAndWritten { alternatives },
        (Some(alternatives), _) => Told::Written { alternatives },
    };
    let sampling = SamplingConfig {
        temperature: request.temperature.unwrap_or(1.0),
        top_k: request.top_k,
        top_p: request.top_p,
        min_p: request.min_p,
        bias: biases(request, served.model.config().vocab)?,
        // The same bits: a seed below zero is as good as any.
        seed: request.seed.map_or_else(random_seed, |seed| seed as u64),
        ..SamplingConfig::default()
    };
    let stop = request.stop.take().map(Stop::into_texts).unwrap_or_default();
    if stop.len() > MOST_STOPS || stop.iter().any(|stop| stop.is_empty() || stop.len() > LONGEST_STOP) {
        let message = format!("at most {MOST_STOPS} stop strings, each of 1 to {LONGEST_STOP} bytes");
        return Err(ApiError::invalid("stop", message));
    }
    let config = GenerationConfig { tokens, sampling, stop, told };
    within_ranges(&config.sampling)?;
    config.validate().map_err(|fault| ApiError::of(&fault, ""))?;
    Ok(config)
}

/// Each number alone, so that the one at fault is named as the request names it.
fn within_ranges(sampling: &SamplingConfig) -> ApiResult<()> {
    let plain = SamplingConfig::default;
    for (param, config) in [
        ("temperature", SamplingConfig { temperature: sampling.temperature, ..plain() }),
        ("top_k", SamplingConfig { top_k: sampling.top_k, ..plain() }),
        ("top_p", SamplingConfig { top_p: sampling.top_p, ..plain() }),
        ("min_p", SamplingConfig { min_p: sampling.min_p, ..plain() }),
    ] {
        config.validate().map_err(|fault| ApiError::of(&fault, param))?;
    }
    Ok(())
}

fn biases(request: &CompletionRequest, vocab: usize) -> ApiResult<Vec<(u32, f32)>> {
    let Some(biases) = &request.logit_bias else { return Ok(Vec::new()) };
    if biases.len() > MOST_BIASES {
        return Err(ApiError::invalid("logit_bias", format!("at most {MOST_BIASES} tokens can have a bias")));
    }
    for (&token, bias) in biases {
        if token as usize >= vocab {
            return Err(ApiError::invalid("logit_bias", format!("{token} is no token: ids are below {vocab}")));
        }
        if !(-LARGEST_BIAS..=LARGEST_BIAS).contains(bias) {
            let message = format!("the bias of {token} is {bias}: it lies in [-{LARGEST_BIAS}, {LARGEST_BIAS}]");
            return Err(ApiError::invalid("logit_bias", message));
        }
    }
    Ok(biases.iter().map(|(&token, &bias)| (token, bias)).collect())
}

/// The tokens of each prompt, which may be none.
fn prompts(prompt: Option<Prompt>, served: &Served, limits: &Limits) -> ApiResult<Vec<Vec<u32>>> {
    let encode =
        |text: String| served.tokenizer.encode(text.as_bytes()).map_err(|fault| ApiError::of(&fault, "prompt"));
    let count = match &prompt {
        Some(Prompt::Texts(texts)) => texts.len(),
        Some(Prompt::TokenLists(lists)) => lists.len(),
        None | Some(Prompt::Text(_) | Prompt::Tokens(_)) => 1,
    };
    if count > limits.prompts {
        let most = limits.prompts;
        return Err(ApiError::invalid("prompt", format!("there are {count} prompts: {most} are allowed in a request")));
    }
    let lists = match prompt {
        None => vec![Vec::new()],
        Some(Prompt::Text(text)) => vec![encode(text)?],
        Some(Prompt::Texts(texts)) => texts.into_iter().map(encode).collect::<ApiResult<_>>()?,
        Some(Prompt::Tokens(tokens)) => vec![tokens],
        Some(Prompt::TokenLists(lists)) => lists,
    };
    let vocab = served.model.config().vocab;
    match lists.iter().flatten().find(|token| **token as usize >= vocab) {
        Some(token) => Err(ApiError::invalid("prompt", format!("{token} is no token: ids are below {vocab}"))),
        None => Ok(lists),
    }
}

/// Another one at each call: the standard library seeds its hashes so.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
