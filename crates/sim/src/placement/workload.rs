//! What people do: how many there are at which time of day, how they share documents, and how they write.
//!
//! People write in bursts. Those of different sessions are independent of one another.

use super::{
    figures::{Basis, Figure, table},
    hash::mix,
};
use crate::random::Random;

table! {
    /// What people do.
    Workload {
        daily_users = 10_000_000.0, Required, "people who open at least one document a day";
        minutes_open = 90.0, Assumed, "that one of them has a document open, all sessions together";
        peak = 2.5, Assumed, "the busiest moment of the day over the mean";
        joins_a_day = 12.0, Assumed, "sessions of one of them: tabs, reloads, networks that change";
        submissions_a_day = 346.0, Required, "submissions of one of them: 100,000/s at the peak of 10 million";
        typing_rate = 4.0, Assumed, "submissions a second of somebody who types";
        burst_s = 10.0, Assumed, "for how long they type at a time";
        cursor_rate = 0.05, Assumed, "carets a second that a session moves without typing";
        requests_a_day = 60.0, Assumed, "requests of the API by one of them";
        audited_requests = 0.2, Assumed, "of these, those that leave a row in the audit trail";
        zipf = 2.5, Assumed, "documents with n sessions at a time are as many as n to the power of minus this";
        sessions_most = 200.0, Assumed, "sessions of the most popular ordinary document";
        documents_each = 50.0, Assumed, "stored documents for each daily user";
        document_kb = 30.0, Assumed, "checkpoints of a stored document, all that are kept";
    }
}

impl Workload {
    /// The same people, but so many.
    #[must_use]
    pub fn of(daily_users: f64) -> Self {
        Self {
            daily_users,
            ..Self::USUAL
        }
    }

    fn per_second_at_peak(&self, a_day: f64) -> f64 {
        self.daily_users * a_day / 86_400.0 * self.peak
    }

    /// Sessions at the busiest moment.
    pub(super) fn sessions(&self) -> f64 {
        self.daily_users * self.minutes_open / 1_440.0 * self.peak
    }

    pub(super) fn submissions(&self) -> f64 {
        self.per_second_at_peak(self.submissions_a_day)
    }

    pub(super) fn joins(&self) -> f64 {
        self.per_second_at_peak(self.joins_a_day)
    }

    pub(super) fn requests(&self) -> f64 {
        self.per_second_at_peak(self.requests_a_day)
    }

    /// Submissions a second of one session, in the mean.
    pub(super) fn session_rate(&self) -> f64 {
        self.submissions() / self.sessions()
    }

    /// Bursts a second that one session begins.
    pub(super) fn burst_rate(&self) -> f64 {
        self.typing_share() / self.burst_s
    }

    /// How likely it is that a session types at a given moment.
    pub(super) fn typing_share(&self) -> f64 {
        self.session_rate() / self.typing_rate
    }

    /// How many are there at an hour of the day, over the peak: a bell on the circle (von Mises), as steep as
    /// `peak` says.
    pub(super) fn at_hour(&self, hour: f64) -> f64 {
        let steepness = steepness(self.peak);
        let angle = (hour - 14.0) / 24.0 * std::f64::consts::TAU;
        (steepness * (angle.cos() - 1.0)).exp()
    }
}

/// How steep a bell on the circle is whose top is `peak` times its mean.
fn steepness(peak: f64) -> f64 {
    let over_mean = |steepness: f64| {
        let angles = (0..720).map(|at| f64::from(at) / 720.0 * std::f64::consts::TAU);
        let sum: f64 = angles
            .map(|angle| (steepness * (angle.cos() - 1.0)).exp())
            .sum();
        720.0 / sum
    };
    let (mut low, mut high) = (0.0, 100.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if over_mean(middle) < peak {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The documents that are open at a moment, and how many sessions each has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Population {
    /// Of each document, by which it is placed.
    pub(super) keys: Vec<u64>,
    /// Of each session, its document; those of one document stand side by side.
    pub(super) documents: Vec<u32>,
}

impl Population {
    /// So many sessions on documents by chance.
    pub(super) fn draw(workload: &Workload, sessions: usize, random: &mut Random) -> Self {
        let most = whole(workload.sessions_most).max(1);
        let mut sum = 0.0;
        let shares: Vec<f64> = (1..=most)
            .map(|n| {
                sum += (n as f64).powf(-workload.zipf);
                sum
            })
            .collect();
        let (mut keys, mut documents) = (Vec::new(), Vec::with_capacity(sessions));
        while documents.len() < sessions {
            let at = random.unit() * sum;
            let here = shares.partition_point(|share| *share < at) + 1;
            let here = here.min(most).min(sessions - documents.len());
            let number = u32::try_from(keys.len()).unwrap_or(u32::MAX);
            documents.extend(std::iter::repeat_n(number, here));
            keys.push(mix(random.next()));
        }
        Self { keys, documents }
    }

    /// The sessions of each document, as ranges.
    pub(super) fn rooms(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let mut start = 0;
        self.documents.chunk_by(|a, b| a == b).map(move |sessions| {
            let range = start..start + sessions.len();
            start = range.end;
            range
        })
    }
}

/// The whole part of a number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates, and nothing here is so large"
)]
pub(super) fn whole(number: f64) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_has_its_peak_and_its_mean() {
        let workload = Workload::USUAL;
        let hours = (0..240).map(|at| workload.at_hour(f64::from(at) / 10.0));
        let mean = hours.clone().sum::<f64>() / 240.0;
        assert!((mean * workload.peak - 1.0).abs() < 0.01, "{mean}");
        assert!(hours.fold(0.0, f64::max) <= 1.0);
    }

    #[test]
    fn the_requirement_is_met_at_the_peak() {
        let writes = Workload::USUAL.submissions();
        assert!((writes / 100_000.0 - 1.0).abs() < 0.01, "{writes}");
    }

    #[test]
    fn no_session_is_lost() {
        let workload = Workload::of(20_000.0);
        let population = Population::draw(&workload, 3_000, &mut Random::new(1));
        assert_eq!(population.documents.len(), 3_000);
        let rooms: Vec<_> = population.rooms().collect();
        assert_eq!(rooms.len(), population.keys.len());
        assert_eq!(
            rooms.iter().map(ExactSizeIterator::len).sum::<usize>(),
            3_000
        );
        let most = rooms.iter().map(ExactSizeIterator::len).max();
        assert!((2..=200).contains(&most.unwrap()));
        let again = Population::draw(&workload, 3_000, &mut Random::new(1));
        assert_eq!(population, again);
    }
}
