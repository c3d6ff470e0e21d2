//! How many sessions each user has on this node, so that one account cannot take all there is room for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use motet_model::UserId;

/// The sessions of each user, counted.
#[derive(Debug)]
pub(super) struct Places {
    /// How many one user may have; 0 for as many as it likes.
    each_max: usize,
    taken: Mutex<HashMap<UserId, usize>>,
}

/// One session's place. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    user: UserId,
}

impl Places {
    pub(super) fn new(each_max: usize) -> Arc<Self> {
        Arc::new(Self {
            each_max,
            taken: Mutex::default(),
        })
    }

    /// A place for one more session of the user, if it may have one.
    pub(super) fn take(self: &Arc<Self>, user: UserId) -> Option<Place> {
        let mut taken = self.taken();
        let count = taken.entry(user).or_default();
        // One who may have no more has some, so the entry is no new one.
        if self.each_max > 0 && *count >= self.each_max {
            return None;
        }
        *count += 1;
        Some(Place {
            places: Arc::clone(self),
            user,
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
    }
}
