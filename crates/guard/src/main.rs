//! `motet-guard`: the hot paths, one at a time, for `scripts/guard` to count their instructions.
//!
//! Instructions are counted instead of time taken, since they are nearly the same on a machine that is busy: so a
//! hot path that has become a tenth slower fails the tests, whoever runs them where. What is measured is in
//! [`scenarios`], what is expected in `counts.txt`.
//!
//! # Not here
//!
//! How long anything takes (`benches` of each crate), or what a server bears (`motet-bench`).

mod scenarios;

use std::{env, process::ExitCode};

use scenarios::SCENARIOS;

/// The work of a scenario, once everything is prepared.
type Work = Box<dyn FnMut()>;

/// Does it. `scripts/guard` has Valgrind count what happens in the function of this name, and nothing else.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

/// With the name of a scenario runs it, without one says which there are.
fn main() -> ExitCode {
    let Some(name) = env::args().nth(1) else {
        #[allow(clippy::print_stdout, reason = "what it was asked for")]
        for (name, _) in SCENARIOS {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, prepare)) = SCENARIOS.iter().find(|(known, _)| *known == name) else {
        return ExitCode::FAILURE;
    };
    measured(&mut *prepare());
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They go on working, also where nobody counts.
    #[test]
    fn each_scenario_runs() {
        for (_, prepare) in SCENARIOS {
            measured(&mut *prepare());
        }
    }

    #[test]
    fn each_scenario_has_a_count() {
        let lines = include_str!("../counts.txt").lines();
        let lines = lines.filter(|line| !line.starts_with('#'));
        let counted = lines.filter_map(|line| line.split_once(' '));
        assert!(
            counted
                .map(|(name, _)| name)
                .eq(SCENARIOS.map(|(name, _)| name))
        );
    }
}
