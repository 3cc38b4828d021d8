//! Logits, loss and gradients.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device};
use percept_model::order_agnostic::{Lesson, OrderAgnosticBatch};
use percept_model::{Mode, OrderAgnostic, Recompute, Trainable, parameters};

use crate::fixture::{Fixture, check, fixtures, values};
use crate::reference::Reference;

/// Of logits and losses in f32, relative to their norm.
const OUTPUT: f64 = 2e-6;
/// Of gradients in f32.
const GRADIENT: f64 = 1e-5;

/// Rows of the authors' logits.
fn logits_at(fixture: &Fixture, places: &[usize]) -> Vec<f32> {
    let (vocab, (_, logits)) = (fixture.number::<usize>("vocab"), fixture.floats("logits"));
    places.iter().flat_map(|place| &logits[place * vocab..][..vocab]).copied().collect()
}

#[test]
fn the_reference_is_the_authors_head_padding_included() {
    for fixture in fixtures("head") {
        let labels = fixture.integers("labels").1;
        let places: Vec<usize> = (0..labels.len()).filter(|&place| labels[place] >= 0).collect();
        let reference = Reference::new(&fixture, &places);
        check(&fixture, "logits", (&reference.logits, &logits_at(&fixture, &places)), 2e-7);
        let (loss, gradients) = reference.learn();
        check(&fixture, "loss", (&[loss], &fixture.floats("loss").1), 2e-7);
        for (name, gradient) in gradients {
            check(&fixture, &name, (&gradient, &fixture.floats(&format!("grad.{name}")).1), 2e-6);
        }
    }
}

#[test]
fn logits_of_every_pair_are_the_authors() {
    for fixture in fixtures("head") {
        let (lesson, places) = fixture.lesson();
        let theirs = logits_at(&fixture, &places);
        let device = Device::flex();
        for (model, limit) in [(fixture.model(&device), OUTPUT), (fixture.model(&device).with_dtype(DType::F64), 2e-7)]
        {
            let logits = model.answer_logits(&lesson);
            check(&fixture, "logits", (&values(logits), &theirs), limit);
        }
    }
}

#[test]
fn loss_and_gradients_are_the_authors() {
    for fixture in fixtures("head") {
        let (lesson, mut places) = fixture.lesson();
        places.sort_unstable();
        let (loss, reference) = Reference::new(&fixture, &places).learn();
        for recompute in [Recompute::Keep, Recompute::Blocks] {
            let model = OrderAgnostic::from(fixture.model(&Device::flex().autodiff()));
            // Alone, a lesson counts half.
            let nothing = Lesson { asked: Vec::new(), labels: Vec::new(), ..lesson.clone() };
            let batch = OrderAgnosticBatch { forward: lesson.clone(), backward: nothing, samples: None };
            let scale = 2.0 / batch.forward.pairs() as f32;
            let learned = model.loss_and_gradients(&batch, Mode::Evaluation, recompute, scale).expect("gradients");
            check(&fixture, "loss", (&[learned.loss as f32 * scale], &[loss]), OUTPUT);
            let gradients: BTreeMap<_, _> = learned.gradients.0;
            assert_eq!(gradients.len(), parameters::collect(&model).len(), "{}", fixture.name);
            for (path, gradient) in gradients {
                let theirs = fixture.transposed(&path, &reference[&fixture.theirs(&path)]);
                check(&fixture, &path, (&values(gradient), &theirs), GRADIENT);
            }
        }
    }
}
