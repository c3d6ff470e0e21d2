//! `motet-placement`: a fleet at the size of millions of people, as `docs/scaling.md` has it.

use clap::{Parser, ValueEnum};
use motet_sim::placement::{Figures, Part, Workload, report, tables};

/// Models a fleet: who is where, what that takes, and what becomes of them when machines fail.
#[derive(Parser)]
struct Arguments {
    /// What to report; everything unless it is said
    #[arg(value_enum)]
    parts: Vec<Chosen>,
    /// People who open at least one document a day
    #[arg(long, default_value_t = 10_000_000.0)]
    daily_users: f64,
    /// The same seed gives the same report
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Chosen {
    /// What is taken for granted
    Tables,
    Fleets,
    Ends,
    Policies,
    Day,
    Storms,
    Outages,
    Races,
    Hot,
    Moves,
}

impl Chosen {
    fn part(self) -> Option<(&'static str, Part)> {
        Some(match self {
            Self::Tables => return None,
            Self::Fleets => ("Fleets", Part::Fleets),
            Self::Ends => ("What ends where, as it is today", Part::Ends),
            Self::Policies => ("Placement", Part::Policies),
            Self::Day => ("A day", Part::Day),
            Self::Storms => ("Nodes that fail", Part::Storms),
            Self::Outages => ("A database that fails over", Part::Outages),
            Self::Races => ("Documents that many write", Part::Races),
            Self::Hot => ("A document that everybody watches", Part::Hot),
            Self::Moves => ("Machines that are added", Part::Moves),
        })
    }
}

fn main() {
    let mut arguments = Arguments::parse();
    if arguments.parts.is_empty() {
        arguments.parts = Chosen::value_variants().to_vec();
    }
    for chosen in arguments.parts {
        let (title, text) = match chosen.part() {
            None => {
                let workload = Workload::of(arguments.daily_users);
                ("Taken for granted", tables(&Figures::USUAL, &workload))
            }
            Some((title, part)) => {
                let (daily_users, seed) = (arguments.daily_users, arguments.seed);
                (title, report(part, daily_users, &Figures::USUAL, seed))
            }
        };
        print(&format!("## {title}\n\n{text}"));
    }
}

#[expect(clippy::print_stdout, reason = "what the program has to say")]
fn print(text: &str) {
    println!("{text}");
}
