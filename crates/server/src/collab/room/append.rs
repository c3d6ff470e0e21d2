//! Plan, append, commit, publish: on a log that others append to as well, and that may fail for a while.
//!
//! The log is fenced: a plan's changes stand directly after their base, or never will. So whatever an append
//! says, the changes after the base tell what has become of it, and as long as there are none the very same
//! changes may be appended once more.
//!
//! # Invariants
//!
//! - **durable before visible**: a plan is committed only when the log has its changes.
//! - **not held up**: however long the log takes, who is to go is sent away at once, and a room that is to end
//!   ends.

use std::{pin::pin, sync::atomic::Ordering, time::Duration};

use motet_document::{Command, Plan};
use motet_log::{DocumentLog, LogError};
use motet_model::{Change, Revision, limits};
use tokio::{
    select,
    time::{Instant, sleep},
};

use super::{
    Room, RoomError,
    replay::{STEPS_PER_REPLAY, off_async_threads},
};
use crate::{
    collab::{hints::Hint, outbox::Feed, registry::Registry},
    entropy,
};

/// How long a log may fail before the document is closed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest pause between two attempts.
const PAUSE_MS_MAX: u64 = 2_000;

/// How often in a row others may append first before the document is closed.
const RACES_MAX: u32 = 50;

/// The longest pause after a race that was lost.
const RACE_PAUSE_MS_MAX: u64 = 64;

/// What has become of a plan's changes.
enum Appended {
    /// They are stored, and lead to this revision.
    Durable(Revision),
    /// They will never be: these changes of others follow the base, with more perhaps after them.
    Missed(Vec<Change>),
    /// They are not, as far as is known, and the plan may not be what it should be any more.
    Overruled,
}

/// Waits between attempts while a log fails, but not for ever.
#[derive(Default)]
struct Patience {
    since: Option<Instant>,
    pauses: u32,
}

impl Patience {
    /// A pause after an attempt that began then; or the error, when it has lasted too long.
    fn bear(&mut self, began: Instant, error: LogError) -> Result<Duration, LogError> {
        let since = *self.since.get_or_insert(began);
        if since.elapsed() >= PATIENCE {
            return Err(error);
        }
        if self.pauses == 0 {
            tracing::warn!(%error, "the log fails; its documents wait");
        }
        self.pauses += 1;
        Ok(pause(self.pauses, PAUSE_MS_MAX))
    }
}

/// The races that one batch of edits has lost.
#[derive(Default)]
struct Races {
    lost: u32,
}

impl Races {
    /// A pause by chance, so that each node has its turn; or an error, after too many.
    fn lose(&mut self, head: Revision) -> Result<Duration, LogError> {
        self.lost += 1;
        if self.lost >= RACES_MAX {
            return Err(LogError::Conflict { head });
        }
        Ok(pause(self.lost, RACE_PAUSE_MS_MAX))
    }
}

/// Longer each time, and another one for everybody.
fn pause(attempt: u32, ms_max: u64) -> Duration {
    let most_ms = (1_u64 << attempt.min(16)).min(ms_max);
    let random = u64::from_be_bytes(entropy::bytes());
    Duration::from_millis(random % (most_ms + 1))
}

impl<L: DocumentLog + Clone> Room<'_, L> {
    /// Does what the commands ask. When others have appended first, the same is done again after what they
    /// did.
    pub(super) async fn commit(
        &mut self,
        registry: &Registry<L>,
        mut commands: Vec<Command>,
    ) -> Result<(), RoomError> {
        let (mut races, mut patience) = (Races::default(), Patience::default());
        let mut has_looked = false;
        loop {
            if self.shared.settings.shared {
                commands.retain(|command| !self.is_deserted(command));
            }
            let now_ms = self.shared.clock.now_ms();
            let steps = commands.iter().map(|command| self.steps(command));
            let steps = steps.fold(0, u64::saturating_add);
            let (events, plan) = off_async_threads(steps, || self.document.plan(now_ms, commands));
            self.deliver(events);
            if plan.is_behind() && !has_looked {
                // Before anybody is refused.
                has_looked = true;
                let aborted = off_async_threads(steps, || self.document.abort(plan));
                self.look().await?;
                commands = self.plan_again(registry, aborted).await?;
                continue;
            }
            let began = Instant::now();
            let missed = match self.append(&plan, &mut patience).await? {
                Appended::Durable(head) => {
                    if head > plan.base() {
                        self.turn.appended(began.elapsed());
                    }
                    self.publish(plan, head, now_ms);
                    return Ok(());
                }
                Appended::Missed(missed) => Some(missed),
                Appended::Overruled => None,
            };
            let aborted = off_async_threads(steps, || self.document.abort(plan));
            if let Some(missed) = missed {
                self.shared.tally.races_lost.fetch_add(1, Ordering::Relaxed);
                let document = self.document.id();
                tracing::debug!(%document, "another node was first");
                self.follow(missed)?;
                let pause = races.lose(self.document.head())?;
                self.wait_for(sleep(pause)).await?;
                self.look().await?;
                patience = Patience::default();
            }
            commands = self.plan_again(registry, aborted).await?;
        }
    }

    /// Whether somebody asks to join who has gone since, perhaps to another node: the session there would end,
    /// as that of somebody who is here now.
    fn is_deserted(&self, command: &Command) -> bool {
        matches!(command, Command::Join { session, .. }
            if self.feeds.get(session).is_some_and(Feed::is_deserted))
    }

    /// What a plan that was taken back was made of, and before it what has become of sessions meanwhile.
    async fn plan_again(
        &mut self,
        registry: &Registry<L>,
        aborted: Vec<Command>,
    ) -> Result<Vec<Command>, RoomError> {
        let verdicts = self.carry_out().into_iter();
        // Those on sessions whose joins are to be planned again come behind these.
        let (mut commands, behind): (Vec<_>, Vec<_>) =
            verdicts.partition(|command| self.document.has_session(command.session()));
        for command in aborted {
            // What it stands on may have left memory.
            commands.extend(self.prepare(registry, command).await?);
        }
        commands.extend(behind);
        Ok(commands)
    }

    /// Appends a plan's changes, or finds that others were first. The pauses of a log that fails are within.
    ///
    /// # Errors
    ///
    /// Whatever the log says for long, or for good. What has become of the changes is not known then.
    async fn append(
        &mut self,
        plan: &Plan,
        patience: &mut Patience,
    ) -> Result<Appended, RoomError> {
        let (log, id, base) = (&self.shared.log, self.document.id(), plan.base());
        if plan.is_empty() {
            return Ok(Appended::Durable(base));
        }
        let mut is_certain = true;
        loop {
            let began = Instant::now();
            let error = match self.wait_for(log.append(id, base, plan.changes())).await? {
                Ok(head) => return Ok(Appended::Durable(head)),
                Err(error) => error,
            };
            match error {
                LogError::Unavailable { .. } => {}
                LogError::Unknown { .. } | LogError::Conflict { .. } => {
                    let changes = plan.changes();
                    let found = self.read_as_many(base, changes.len(), patience).await?;
                    if found.starts_with(&changes) {
                        // By an attempt of which it was not known.
                        return Ok(Appended::Durable(base.plus(changes.len() as u64)));
                    }
                    if !found.is_empty() {
                        return Ok(Appended::Missed(found));
                    }
                    is_certain = false;
                }
                error => return Err(error.into()),
            }
            self.bear(patience, began, error).await?;
            // What may still arrive late is asked for until it does: it is not to be taken for another's.
            if is_certain && self.is_overruled() {
                return Ok(Appended::Overruled);
            }
        }
    }

    /// The plan's changes are durable up to `head`: now everybody is told.
    fn publish(&mut self, plan: Plan, head: Revision, now_ms: u64) {
        let (base, changed) = (plan.base(), head > plan.base());
        for (session, revision) in plan.authors() {
            if let Some(feed) = self.feeds.get_mut(&session) {
                feed.changed(revision);
            }
        }
        let changes = self.link.is_shared().then(|| plan.changes());
        let events = self.document.commit(plan, head);
        self.deliver(events);
        if changed {
            let pause = self.shared.load.pause();
            self.pace.committed(head.since(base), pause);
            self.signals.reached(head);
            self.shared.tally.appends.fetch_add(1, Ordering::Relaxed);
            if let Some(changes) = changes {
                self.link.say(&Hint::Changes(base, changes));
            }
            self.touch(now_ms);
            self.unindexed_since_ms.get_or_insert(now_ms);
            self.is_last = true;
            // Of all nodes one passes it.
            let passes =
                head.get() / limits::CHECKPOINT_CHANGES > base.get() / limits::CHECKPOINT_CHANGES;
            if passes && now_ms >= self.checkpoint_ms + limits::CHECKPOINT_INTERVAL_MS {
                self.checkpoint_ms = now_ms;
                tokio::spawn(self.store_checkpoint());
            }
        }
    }

    /// Follows all that others have appended.
    pub(super) async fn look(&mut self) -> Result<(), RoomError> {
        loop {
            let changes = self.read_on(self.document.head()).await?;
            if changes.is_empty() {
                return Ok(());
            }
            self.follow(changes)?;
        }
    }

    /// Others say that these changes stand after `base`. Returns whether there are some before that are not
    /// known here.
    pub(super) fn overhear(
        &mut self,
        base: Revision,
        mut changes: Vec<Change>,
    ) -> Result<bool, RoomError> {
        let head = self.document.head();
        if base > head {
            return Ok(true);
        }
        let known = usize::try_from(head.since(base)).unwrap_or(usize::MAX);
        changes.drain(..known.min(changes.len()));
        if !changes.is_empty() {
            self.follow(changes)?;
        }
        Ok(false)
    }

    /// Takes over what others have appended after the head, and sends it to those who are here. They tell
    /// the catalog.
    fn follow(&mut self, changes: Vec<Change>) -> Result<(), RoomError> {
        let work = changes.len() as u64 * STEPS_PER_REPLAY;
        let events = off_async_threads(work, || self.document.follow(changes))?;
        self.signals.reached(self.document.head());
        self.turn.missed();
        self.is_last = false;
        self.deliver(events);
        Ok(())
    }

    /// At least so many changes after a revision, or all that there are.
    async fn read_as_many(
        &mut self,
        after: Revision,
        count: usize,
        patience: &mut Patience,
    ) -> Result<Vec<Change>, RoomError> {
        let mut found = Vec::new();
        while found.len() < count {
            let read = after.plus(found.len() as u64);
            let more = self.read_patiently(read, patience).await?;
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        Ok(found)
    }

    /// Some of the changes after a revision, once the log is available.
    pub(super) async fn read_on(&mut self, after: Revision) -> Result<Vec<Change>, RoomError> {
        self.read_patiently(after, &mut Patience::default()).await
    }

    async fn read_patiently(
        &mut self,
        after: Revision,
        patience: &mut Patience,
    ) -> Result<Vec<Change>, RoomError> {
        let (log, id) = (&self.shared.log, self.document.id());
        loop {
            let began = Instant::now();
            let read = log.read(id, after, limits::WINDOW_BYTES_MAX);
            match self.wait_for(read).await? {
                Err(error @ LogError::Unavailable { .. }) => {
                    self.bear(patience, began, error).await?;
                }
                read => return Ok(read?),
            }
        }
    }

    /// A pause after an attempt that began then, unless it has lasted too long, or the room is to end.
    async fn bear(
        &mut self,
        patience: &mut Patience,
        began: Instant,
        error: LogError,
    ) -> Result<(), RoomError> {
        if self.signals.is_ending() {
            return Err(error.into());
        }
        let pause = patience.bear(began, error)?;
        self.wait_for(sleep(pause)).await
    }

    /// **not held up**: waits for the log, and does beside it what does not wait.
    async fn wait_for<T>(&mut self, waiting: impl Future<Output = T>) -> Result<T, RoomError> {
        let signals = self.signals;
        let (mut waiting, mut given_up) = (pin!(waiting), pin!(signals.given_up()));
        let mut judged = false;
        let result = loop {
            select! {
                biased;
                answer = &mut waiting => break Ok(answer),
                () = &mut given_up => break Err(RoomError::GivenUp),
                () = self.verdicts.more() => {
                    judged = true;
                    self.send_away();
                }
            }
        };
        if judged {
            // They are still to be carried out.
            self.verdicts.remind();
        }
        result
    }

    /// Tells those who are to leave; the document is told when it may be.
    fn send_away(&mut self) {
        let known = |session| self.feeds.contains_key(&session);
        for (session, code) in self.verdicts.ends(known) {
            if let Some(feed) = self.feeds.get_mut(&session) {
                feed.close(code);
            }
        }
    }

    /// Whether somebody here has other rights than when the plan was made.
    fn is_overruled(&self) -> bool {
        let known = |session| self.feeds.contains_key(&session);
        self.verdicts.concern(known)
    }
}

#[cfg(test)]
mod tests;
