//! The texts of a request, from its plan to their ends.

use std::sync::Arc;
use std::time::Instant;

use percept_fault::Kind;
use percept_model::{InferenceModel, Session};
use tokio::sync::OwnedSemaphorePermit;

use super::asker::Asker;
use crate::app::{App, RequestId};
use crate::body::Received;
use crate::choices::ChoiceBuilder;
use crate::clock::now;
use crate::engine::{Event, Events, Failure, NotTaken, Start};
use crate::error::{ApiError, ApiResult};
use crate::log::Notes;
use crate::plan::{Begin, Plan};
use crate::states::{NewState, State, StateId};
use crate::types::{Choice, CompletionRequest, Usage};

/// What all answers of a request begin with.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) fingerprint: String,
}

/// The texts of a request, as they come.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) app: Arc<App>,
    deadline: Instant,
    events: Events,
    pub(super) choices: Vec<ChoiceBuilder>,
    /// Texts that are not at their end.
    open: usize,
    pub(super) usage: Usage,
    pub(super) head: Head,
    /// What is kept at the end, where something is; its position is not known yet.
    pub(super) keep: NewState,
    /// Whether they go on from a state.
    is_from_state: bool,
    notes: Notes,
    pub(super) id: RequestId,
    /// What it asked for is held for as long.
    _room: OwnedSemaphorePermit,
}

impl Texts {
    /// Plans a request, and puts its texts into the queue.
    pub(super) async fn begin(
        app: Arc<App>,
        asker: Asker,
        Received { asked: request, room }: Received<CompletionRequest>,
        deadline: Instant,
    ) -> ApiResult<Self> {
        let Asker { client, id, notes } = asker;
        let served = app.model(request.model.as_deref())?;
        let (name, model) = (served.name.clone(), served.model.clone());
        let fingerprint = model.fingerprint().to_owned();
        let owner = app.config.access.owner(client);
        let begin = match &request.state {
            None => Begin { owner: owner.clone(), ..Begin::default() },
            Some(state) => {
                let state = StateId::parse(state).ok_or_else(ApiError::unknown_state)?;
                let wait = deadline.saturating_duration_since(Instant::now());
                let room = tokio::time::timeout(wait, app.loaded.clone().acquire_owned()).await;
                let room = room.map_err(|_| ApiError::late())?.map_err(|_| ApiError::internal())?;
                let owner = owner.clone();
                app.aside(&id, move |app| load(app, &state, owner, model, room)).await?
            }
        };
        let (drawn, is_from_state) = (begin.drawn, begin.start.is_some());
        // Long prompts take a while to become tokens.
        let of = name.clone();
        let plan = move |app: &App| Plan::new(request, &begin, app.model(Some(&of))?, &app.config.limits);
        let Plan { texts, choices, prompt_tokens, logged } = app.aside(&id, plan).await?;
        notes.model(&name);
        notes.prompt_tokens(prompt_tokens);
        notes.prompts(logged);
        let served = app.model(Some(&name))?;
        let events = served.engine.submit(client, texts, deadline).map_err(|reason| match reason {
            NotTaken::Full => ApiError::busy(),
            NotTaken::Share => ApiError::share(),
            NotTaken::Stopping => ApiError::stopping(),
        })?;
        let head = Head {
            id: format!("cmpl-{}", id.0),
            created: now().as_secs(),
            model: name.clone(),
            fingerprint: fingerprint.clone(),
        };
        let keep = NewState { owner, fingerprint, model: name, name: None, pinned: false, position: 0, drawn };
        let usage = Usage { prompt_tokens, completion_tokens: 0, total_tokens: prompt_tokens };
        let open = choices.len();
        Ok(Self { app, deadline, events, choices, open, usage, head, keep, is_from_state, notes, id, _room: room })
    }

    /// The next piece of any text; `None` once all have ended.
    pub(super) async fn next(&mut self) -> ApiResult<Option<Choice>> {
        if self.open == 0 {
            return Ok(None);
        }
        let Some((index, event)) = self.events.recv().await else { return Err(self.cut()) };
        let Some(choice) = self.choices.get_mut(index) else { return Err(ApiError::internal()) };
        match event {
            Event::Piece(piece) => Ok(Some(choice.piece(piece))),
            Event::Ended { tokens, stopped, state_bytes, session } => {
                self.open -= 1;
                self.usage.completion_tokens += tokens;
                self.usage.total_tokens += tokens;
                self.notes.completion_tokens(tokens);
                let mut end = choice.end(stopped, state_bytes);
                if let Some(session) = session {
                    end.state = Some(Box::new(self.kept(session, tokens).await?));
                }
                Ok(Some(end))
            }
            Event::Failed(failure) => Err(match failure {
                Failure::Late => ApiError::late(),
                Failure::Stopping => ApiError::stopping(),
                Failure::Fault(fault) if self.is_from_state && fault.kind() == Kind::Check => {
                    ApiError::no_distribution(&fault)
                }
                Failure::Fault(fault) => ApiError::of(&fault, "prompt"),
            }),
        }
    }

    /// Keeps the state at the end of a text of so many tokens.
    async fn kept(&self, session: Box<Session>, tokens: usize) -> ApiResult<State> {
        let drawn = self.keep.drawn + tokens as u64;
        let new = NewState { position: session.position(), drawn, ..self.keep.clone() };
        let most = self.app.config.limits.state_bytes;
        let kept = self.app.aside(&self.id, move |app| {
            let file = session.to_bytes().map_err(|fault| ApiError::of(&fault, "keep_state"))?;
            match file.len() > most {
                true => Err(ApiError::too_large(file.len(), most)),
                false => Ok(app.states.insert(new, &file, now())?),
            }
        });
        Ok(self.app.state(&kept.await?))
    }

    /// Why there are no more events: a text that ends while its reader has no room can't say it.
    fn cut(&self) -> ApiError {
        match Instant::now() >= self.deadline {
            true => ApiError::late(),
            false if self.app.is_stopping() => ApiError::stopping(),
            false => ApiError::internal(),
        }
    }
}

/// What a request goes on from.
fn load(
    app: &App,
    id: &StateId,
    owner: String,
    model: Arc<InferenceModel>,
    room: OwnedSemaphorePermit,
) -> ApiResult<Begin> {
    if app.states.get(id, &owner, now())?.fingerprint != model.fingerprint() {
        return Err(ApiError::other_model());
    }
    let (record, file) = app.states.load(id, &owner, now())?;
    let session = Session::restore(&file, model).map_err(|fault| ApiError::of(&fault, "state"))?;
    Ok(Begin { owner, start: Some(Arc::new(Start::new(session, room))), drawn: record.drawn })
}
