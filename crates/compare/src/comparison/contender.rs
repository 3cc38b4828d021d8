//! From a specification to one resolved configuration per model, equal in all that must be equal.

use percept_data::DataConfig;
use percept_fault::{Fault, Result, nearest};
use percept_model::ModelConfig;
use percept_model::mixer::MixerKind;
use percept_train::{Override, RunConfig, Sources, TrainConfig, presets, resolve};

use super::matching::matched;
use super::spec::{ModelSpec, Optimizer, Parameters, Spec};
use percept_plan::{Plan, plan};

/// What differs from the presets, below everything that the user says: a schedule whose runs can be read on the way, and no
/// samples but the last.
pub(crate) const DEFAULTS: [&str; 4] =
    ["train.schedule=wsd", "train.sample_every=0", "train.keep=1", "train.final_fraction=0.0"];

/// Keys that the comparison sets, with what says them instead.
const RESERVED: [(&str, &str); 13] = [
    ("model.layers", "name the models: models = [...], or [[model]] with preset"),
    ("model.vocab", "the tokenizer says it: base.data.tokenizer"),
    ("train.steps", "say it as the budget"),
    ("train.seconds", "say it as the budget"),
    ("train.seed", "say it as seeds = [...]"),
    ("train.validate_every", "say it as points"),
    ("train.log_every", "say it as points"),
    ("train.sample_every", "every run writes one sample, at its end"),
    ("train.checkpoint_every", "every validation saves"),
    ("train.validation_stride", "say it as stride"),
    ("train.init_from", "models are compared from their first step"),
    ("train.keep", "the best and the latest checkpoint stay"),
    ("preset", "say it as size, or name presets as models"),
];

/// Keys beside `model.*` that a model may have for itself.
const OWN: [&str; 2] = ["train.learning_rate", "train.recompute"];

/// Those that it may have, too, where each model has an optimizer of its own.
const OWN_OPTIMIZER: [&str; 5] = ["train.beta1", "train.beta2", "train.epsilon", "train.weight_decay", "train.clip"];

/// A model that takes part.
#[derive(Debug, Clone)]
pub struct Contender {
    /// Its name in every table.
    pub name: String,
    /// Its configuration; steps, seed and what else differs between its runs are still to be set.
    pub config: RunConfig,
    /// What it costs.
    pub plan: Plan,
}

/// Every model of a specification with a vocabulary of `vocab` tokens. Text, batch, context, schedule and, unless each has its own, optimizer are
/// those of the first one.
///
/// # Errors
/// A usage fault that names the place of what is wrong.
pub(super) fn contenders(spec: &Spec, vocab: usize) -> Result<Vec<Contender>> {
    check_base(&spec.base, &RESERVED)?;
    let mut configs: Vec<RunConfig> = Vec::new();
    for model in &spec.models {
        let own = configured(model, spec)?;
        let config = match configs.first() {
            None => RunConfig { model: ModelConfig { vocab, ..own.model }, ..own },
            Some(first) => under_equal_conditions(own, first, model, spec.optimizer.unwrap_or_default()),
        };
        config.validate().map_err(|fault| fault.at(&format!("{}{}: ", model.place, model.name)))?;
        configs.push(config);
    }
    let Some(first) = configs.first() else { return Ok(Vec::new()) };
    let target = match spec.parameter_target {
        Some(target) => target,
        None => plan(first)?.parameters,
    };
    let finish = |(mut config, model): (RunConfig, &ModelSpec)| {
        if spec.parameters == Parameters::Match {
            config.model = matched(&config.model, target).map_err(|fault| fault.at(&model.place))?;
        }
        let plan = plan(&config)?;
        Ok(Contender { name: model.name.clone(), config, plan })
    };
    configs.into_iter().zip(&spec.models).map(finish).collect()
}

/// The text that a specification names.
///
/// # Errors
/// A usage fault where the configuration of the first model is wrong.
pub(super) fn data_config(spec: &Spec) -> Result<DataConfig> {
    check_base(&spec.base, &RESERVED)?;
    let first = spec.models.first().ok_or_else(|| Fault::usage("no models to compare"))?;
    Ok(configured(first, spec)?.data)
}

/// The configuration of one model by itself.
fn configured(model: &ModelSpec, spec: &Spec) -> Result<RunConfig> {
    let optimizer = spec.optimizer.unwrap_or_default();
    if let Some(change) = model.set.iter().find(|change| !may_differ(change.key(), optimizer)) {
        return Err(Fault::usage(format!("{}`{}` must be equal for all models", model.place, change.key()))
            .hint("set it in [base]; a model may set keys of [model] but context and vocab, and train.learning_rate"));
    }
    let (preset, layers) = preset_of(model, &spec.size)?;
    let mut overrides: Vec<Override> = DEFAULTS.iter().map(|text| Override::set(text)).collect::<Result<_>>()?;
    overrides.extend(layers.map(|layers| Override::flag(format!("model {}", model.name), "model.layers", layers)));
    overrides.extend(spec.base.iter().cloned());
    overrides.extend(model.set.iter().cloned());
    let config = resolve(&Sources { preset: Some(preset), file: None, overrides });
    let config = config.and_then(|config| config.check_language_model().map(|()| config));
    config.map_err(|fault| fault.at(&model.place))
}

fn may_differ(key: &str, optimizer: Optimizer) -> bool {
    let equal = ["model.context", "model.vocab"];
    (key.starts_with("model.") && !equal.contains(&key))
        || OWN.contains(&key)
        || (optimizer == Optimizer::Own && OWN_OPTIMIZER.contains(&key))
}

fn under_equal_conditions(own: RunConfig, first: &RunConfig, model: &ModelSpec, optimizer: Optimizer) -> RunConfig {
    let says = |key: &str| model.set.iter().any(|change| change.key() == key);
    let shared = match optimizer {
        Optimizer::First => first.train.clone(),
        Optimizer::Own => TrainConfig {
            learning_rate: own.train.learning_rate,
            beta1: own.train.beta1,
            beta2: own.train.beta2,
            epsilon: own.train.epsilon,
            weight_decay: own.train.weight_decay,
            clip: own.train.clip,
            ..first.train.clone()
        },
    };
    let train = TrainConfig {
        learning_rate: if says(OWN[0]) { own.train.learning_rate } else { shared.learning_rate },
        recompute: if says(OWN[1]) { own.train.recompute } else { shared.recompute },
        ..shared
    };
    let model = ModelConfig { context: first.model.context, vocab: first.model.vocab, ..own.model };
    RunConfig { model, train, ..first.clone() }
}

/// The preset of a model, and the mixer schedule that replaces the preset's, if any.
fn preset_of(model: &ModelSpec, size: &str) -> Result<(String, Option<String>)> {
    let exists = |name: &str| presets().iter().any(|preset| preset.name == name);
    let what = model.what.as_str();
    let kind = MixerKind::from_name(what);
    let base = format!("llp-{size}");
    if exists(what) {
        return Ok((what.to_owned(), None));
    }
    if !exists(&base) {
        return Err(Fault::usage(format!("there is no size `{size}`")).hint("sizes: tiny, small, base"));
    }
    let sized = format!("{}-{size}", kind.map_or(what, |kind| kind.name()));
    let schedule = what.contains(['*', ',', '(']) || model.set.iter().any(|change| change.key() == "model.layers");
    match kind {
        _ if exists(&sized) => Ok((sized, None)),
        Some(kind) => Ok((base, Some(kind.name().to_owned()))),
        None if schedule => Ok((base, Some(what.to_owned()))),
        None => Err(unknown(model)),
    }
}

fn unknown(model: &ModelSpec) -> Fault {
    let names: Vec<&str> =
        MixerKind::all_names().chain(["hybrid"]).chain(presets().iter().map(|preset| preset.name)).collect();
    let fault = Fault::usage(format!("{}there is no model `{}`", model.place, model.what));
    match nearest(&model.what, names) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault
            .hint("`percept presets` lists the presets; a mixer or a schedule such as \"llp*5, transformer\" will do"),
    }
}

/// Refuses changes in [base] of keys that are said elsewhere: `reserved` says each with what to do instead.
///
/// # Errors
/// A usage fault that names the place of the first.
pub(crate) fn check_base(base: &[Override], reserved: &[(&str, &str)]) -> Result<()> {
    for change in base {
        if let Some((key, instead)) = reserved.iter().find(|(key, _)| *key == change.key()) {
            return Err(Fault::usage(format!("{}: `{key}` is not for [base]", change.origin())).hint(*instead));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(models: &[&str], base: &[&str]) -> Spec {
        Spec {
            models: models.iter().map(|name| ModelSpec::named(name, "")).collect(),
            base: base.iter().map(|text| Override::set(text).unwrap()).collect(),
            ..Spec::default()
        }
    }

    #[test]
    fn presets_mixers_aliases_and_schedules_are_models() {
        let names = ["llp", "perceiver-ar", "s2", "hybrid", "transformer-tiny", "llp*2, transformer"];
        let all = contenders(&spec(&names, &["model.dim=64", "train.batch=3"]), 257).unwrap();
        let layers: Vec<&str> = all.iter().map(|one| one.config.model.layers.as_str()).collect();
        assert_eq!(
            layers,
            ["llp", "perceiver-ar", "longlora", "llp*3, transformer", "transformer", "llp*2, transformer"]
        );
        assert!(all.iter().all(|one| one.config.model.dim == 64 && one.config.train == all[0].config.train));
        let target = all[0].plan.parameters as f64;
        assert!(all.iter().all(|one| (one.plan.parameters as f64 / target - 1.0).abs() <= 0.02));
    }

    #[test]
    fn what_must_be_equal_is_that_of_the_first_model() {
        let mut spec = spec(&["llp-tiny", "transformer-small"], &[]);
        spec.parameters = Parameters::AsGiven;
        spec.models[1].set = vec![Override::set("train.learning_rate=0.5").unwrap()];
        let all = contenders(&spec, 257).unwrap();
        let (first, second) = (&all[0].config, &all[1].config);
        assert_eq!((second.model.dim, second.model.context), (320, first.model.context));
        assert_eq!(second.train, TrainConfig { learning_rate: 0.5, ..first.train.clone() });
        for key in ["train.batch=9", "model.context=64", "data.packing=concatenate"] {
            spec.models[1].set = vec![Override::set(key).unwrap()];
            let fault = contenders(&spec, 257).unwrap_err();
            assert!(fault.to_string().contains("must be equal for all models"), "{fault}");
        }
    }

    #[test]
    fn an_optimizer_of_its_own_is_that_of_the_preset() {
        let mut spec = spec(&["llp", "rwkv7"], &[]);
        let second = |spec: &Spec| contenders(spec, 257).map(|mut all| all.remove(1).config.train);
        let shared = second(&spec).unwrap();
        assert_eq!((shared.learning_rate, shared.beta2, shared.weight_decay), (4e-3, 0.95, 0.1));
        spec.models[1].set = vec![Override::set("train.clip=0.5").unwrap()];
        assert!(second(&spec).unwrap_err().to_string().contains("must be equal for all models"));
        spec.optimizer = Some(Optimizer::Own);
        let own = second(&spec).unwrap();
        assert_eq!((own.learning_rate, own.beta2, own.weight_decay, own.clip), (2e-3, 0.99, 1e-3, 0.5));
        assert_eq!((own.batch, own.schedule, own.warmup), (shared.batch, shared.schedule, shared.warmup));
        spec.base = vec![Override::set("train.learning_rate=0.5").unwrap()];
        assert_eq!(second(&spec).unwrap().learning_rate, 0.5);
    }

    #[test]
    fn mistakes_are_named() {
        let fault = contenders(&spec(&["llpp"], &[]), 257).unwrap_err();
        assert!(fault.to_string().contains("there is no model `llpp`"), "{fault}");
        assert_eq!(fault.hint_text(), Some("did you mean `llp`?"));
        let fault = contenders(&spec(&["llp"], &["train.steps=3"]), 257).unwrap_err();
        assert!(fault.to_string().contains("`train.steps` is not for [base]"), "{fault}");
        let fault = contenders(&Spec { size: "huge".into(), ..spec(&["llp"], &[]) }, 257).unwrap_err();
        assert!(fault.to_string().contains("no size `huge`"), "{fault}");
    }
}
