//! Where a server listens, who may use it, and its limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use percept_fault::{Fault, Result};

use crate::access::Access;

/// The longest time that anything may have: clocks end somewhere.
const MOST_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a server is told.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may use it.
    pub access: Access,
    /// How much of it.
    pub limits: Limits,
    /// The folder that keeps states; without one they are kept as long as the server runs.
    pub states: Option<PathBuf>,
}

impl ServerConfig {
    /// # Errors
    /// Usage: it would listen to other machines and ask nobody who they are, unless that was said, or a limit is zero, or a time
    /// above a year.
    ///
    /// ```
    /// use percept_serve::{Access, Limits, ServerConfig};
    /// let config = |listen: &str, access: Access| {
    ///     let (listen, limits) = (listen.parse().unwrap(), Limits::default());
    ///     let config = ServerConfig { listen, access, limits, states: None };
    ///     config.validate()
    /// };
    /// assert!(config("127.0.0.1:8080", Access::Loopback).is_ok());
    /// assert_eq!(config("0.0.0.0:8080", Access::Loopback).unwrap_err().exit_code(), 2);
    /// assert!(config("0.0.0.0:8080", Access::Anonymous).is_ok());
    /// ```
    pub fn validate(&self) -> Result<()> {
        if !self.listen.ip().is_loopback() && matches!(self.access, Access::Loopback) {
            return Err(Fault::usage(format!(
                "{} can be reached from other machines, and anybody there could use the server",
                self.listen
            ))
            .hint("give --tokens FILE or PERCEPT_TOKENS, or --allow-anonymous if that is meant"));
        }
        let limits = &self.limits;
        let sizes = [
            ("body", limits.body_bytes),
            ("prompt", limits.prompt_tokens),
            ("prompts", limits.prompts),
            ("logprobs", limits.logprobs),
            ("streams", limits.streams),
            ("queue", limits.queue),
            ("streams of each client", limits.streams_each.unwrap_or(1)),
            ("queue of each client", limits.queue_each.unwrap_or(1)),
            ("connections", limits.connections),
            ("piece", limits.piece),
            ("state", limits.state_bytes),
        ];
        let times = [
            ("receive", limits.receive),
            ("send", limits.send),
            ("request", limits.request),
            ("grace", limits.grace),
            ("states-ttl", limits.states_ttl.unwrap_or_default()),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| *time > MOST_TIME) {
            return Err(Fault::usage(format!("the time of {name} is above a year")).hint("use fewer seconds"));
        }
        match sizes.iter().find(|(_, size)| *size == 0) {
            Some((name, _)) => Err(Fault::usage(format!("the limit of {name} is 0")).hint("use at least 1")),
            None => Ok(()),
        }
    }
}

/// How much may be asked for at once. Whatever is above is refused with a reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Bytes of a request.
    pub body_bytes: usize,
    /// Bytes of all requests that are answered at the same time; one of the largest size is always taken.
    pub bodies_bytes: usize,
    /// Tokens of one prompt, the document token included.
    pub prompt_tokens: usize,
    /// Tokens that are written after one prompt.
    pub max_tokens: usize,
    /// Prompts of one request.
    pub prompts: usize,
    /// Log-probabilities that an answer may hold at once: of its tokens, those of the prompts with `echo`, and their alternatives.
    pub logprobs: usize,
    /// Texts of one model that are read or written at once; what each costs in memory is the model's state.
    pub streams: usize,
    /// Of them, texts of one client; `None` for no limit of its own.
    pub streams_each: Option<usize>,
    /// Prompts of one model that wait for a place.
    pub queue: usize,
    /// Of them, prompts of one client; `None` for no limit of its own.
    pub queue_each: Option<usize>,
    /// Connections that are open at once.
    pub connections: usize,
    /// Tokens of a prompt that are read between two rounds of writing. Prompts are cut at its multiples, so another value is
    /// another rounding.
    pub piece: usize,
    /// Bytes of the file of one state.
    pub state_bytes: usize,
    /// Bytes of the files of all states: those that were not used for longest go first, unless they are pinned.
    pub states_bytes: u64,
    /// Bytes of the files of the states of one client, in the same way.
    pub states_bytes_each: Option<u64>,
    /// How long a state is kept that nobody uses.
    pub states_ttl: Option<Duration>,
    /// Bytes of memory for states of the beginnings of prompts, of each model; 0 for none.
    pub prefix_bytes: usize,
    /// Characters of each prompt that stand in the log; 0 for none.
    pub logged: usize,
    /// How long a client may take to send the head of a request, and then its body.
    pub receive: Duration,
    /// How long a client may take nothing of its answer, while there is more.
    pub send: Duration,
    /// How long a request may take in all.
    pub request: Duration,
    /// How long texts may still be written once the server was asked to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            bodies_bytes: 128 << 20,
            prompt_tokens: 1 << 20,
            max_tokens: 1 << 16,
            prompts: 64,
            logprobs: 1 << 19,
            streams: 64,
            streams_each: None,
            queue: 256,
            queue_each: None,
            connections: 512,
            piece: 256,
            state_bytes: 256 << 20,
            states_bytes: 4 << 30,
            states_bytes_each: None,
            states_ttl: None,
            prefix_bytes: 256 << 20,
            logged: 0,
            receive: Duration::from_secs(20),
            send: Duration::from_secs(60),
            request: Duration::from_secs(600),
            grace: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why a server with these limits is refused.
    fn refused(limits: Limits) -> Option<String> {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = ServerConfig { listen, access: Access::Loopback, limits, states: None };
        config.validate().err().map(|fault| fault.to_string())
    }

    #[test]
    fn a_time_that_no_clock_reaches_is_refused() {
        let (year, more) = (MOST_TIME, MOST_TIME + Duration::from_secs(1));
        let all = |time| Limits {
            receive: time,
            send: time,
            request: time,
            grace: time,
            states_ttl: Some(time),
            ..Limits::default()
        };
        assert_eq!(refused(all(year)), None);
        for (name, limits) in [
            ("receive", Limits { receive: more, ..all(year) }),
            ("send", Limits { send: more, ..all(year) }),
            ("request", Limits { request: more, ..all(year) }),
            ("grace", Limits { grace: more, ..all(year) }),
            ("states-ttl", Limits { states_ttl: Some(Duration::MAX), ..all(year) }),
        ] {
            assert_eq!(refused(limits), Some(format!("the time of {name} is above a year")));
        }
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        for (name, limits) in [
            ("streams", Limits { streams: 0, ..Limits::default() }),
            ("streams of each client", Limits { streams_each: Some(0), ..Limits::default() }),
            ("queue of each client", Limits { queue_each: Some(0), ..Limits::default() }),
        ] {
            assert_eq!(refused(limits), Some(format!("the limit of {name} is 0")));
        }
    }
}
