//! The team that all of a process shares.

use std::sync::OnceLock;

use super::Team;

impl Team {
    /// The team of this process: as many threads as the current rayon pool has, but no more than there are cores.
    pub fn global() -> &'static Self {
        static TEAM: OnceLock<Team> = OnceLock::new();
        TEAM.get_or_init(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            Self::new(rayon::current_num_threads().min(cores) - 1)
        })
    }
}
