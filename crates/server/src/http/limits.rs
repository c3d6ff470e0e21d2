//! How often a client may ask: a budget for each user and each address, that fills up steadily.
//!
//! Every request under `/api/` counts for the address it comes from, and one with a valid token for
//! its user as well. Attempts to sign in have a tighter budget of the address besides. Frames of a
//! live connection (`POST …/messages`) that are taken count nowhere: how fast these are heard is the
//! connection's affair.
//!
//! # Invariants
//!
//! - **bounded**: there are at most [`KEYS_MAX`] budgets of one kind, and [`SHARED_MAX`] that strangers
//!   share while there are so many; those that are full again are forgotten every minute.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};
use motet_model::UserId;
use tokio::time::{MissedTickBehavior, interval};

use super::{ApiError, App, Remote, extract::Verified};
use crate::config::Config;

/// Most budgets of one kind that are kept apart.
const KEYS_MAX: usize = 100_000;
/// How many budgets there are for all who come when there are too many.
const SHARED_MAX: u64 = 4_096;
/// How often budgets that are full again are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What a path must begin with to count.
const COUNTED: &str = "/api/";

/// The budgets of all who ask.
#[derive(Debug)]
pub(crate) struct RequestLimits {
    users: Budgets<UserId>,
    addresses: Budgets<IpAddr>,
    sign_ins: Budgets<IpAddr>,
}

/// One budget for each key; none where there is no limit.
#[derive(Debug)]
struct Budgets<K: Hash + Eq + Clone>(Option<Kept<K>>);

#[derive(Debug)]
struct Kept<K: Hash + Eq + Clone> {
    per_minute: NonZeroU32,
    limiter:
        RateLimiter<Key<K>, DashMapStateStore<Key<K>>, DefaultClock, StateInformationMiddleware>,
    hasher: RandomState,
}

/// Whose a budget is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key<K> {
    Own(K),
    Shared(u64),
}

/// How a client stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    limit: u32,
    remaining: u32,
    /// When the budget is full again.
    reset_s: u64,
}

/// A budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UsedUp {
    standing: Standing,
    retry_after_s: u64,
}

impl RequestLimits {
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            users: Budgets::new(config.user_requests_per_minute_max),
            addresses: Budgets::new(config.address_requests_per_minute_max),
            sign_ins: Budgets::new(config.address_sign_ins_per_minute_max),
        })
    }

    /// Forgets, every minute, budgets that are full again; ends with the last hold on them.
    pub(crate) async fn sweep(limits: Weak<Self>) {
        let mut minute = interval(SWEEP_INTERVAL);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minute.tick().await;
            let Some(limits) = limits.upgrade() else {
                return;
            };
            limits.users.sweep();
            limits.addresses.sweep();
            limits.sign_ins.sweep();
        }
    }
}

impl<K: Hash + Eq + Clone> Budgets<K> {
    fn new(per_minute: u32) -> Self {
        Self(NonZeroU32::new(per_minute).map(|per_minute| Kept {
            per_minute,
            limiter: RateLimiter::dashmap(Quota::per_minute(per_minute)).with_middleware(),
            hasher: RandomState::new(),
        }))
    }

    /// Takes one request off the budget; `None` where there is no limit.
    fn take(&self, key: &K) -> Result<Option<Standing>, UsedUp> {
        self.0.as_ref().map(|kept| kept.take(key)).transpose()
    }

    fn sweep(&self) {
        if let Some(kept) = &self.0 {
            kept.limiter.retain_recent();
            kept.limiter.shrink_to_fit();
        }
    }
}

impl<K: Hash + Eq + Clone> Kept<K> {
    fn take(&self, key: &K) -> Result<Standing, UsedUp> {
        let key = if self.limiter.len() < KEYS_MAX {
            Key::Own(key.clone())
        } else {
            Key::Shared(self.hasher.hash_one(key) % SHARED_MAX)
        };
        match self.limiter.check_key(&key) {
            Ok(state) => Ok(self.standing(state.remaining_burst_capacity())),
            Err(until) => {
                let wait = until.wait_time_from(self.limiter.clock().now());
                Err(UsedUp {
                    standing: self.standing(0),
                    retry_after_s: wait.as_secs() + 1,
                })
            }
        }
    }

    fn standing(&self, remaining: u32) -> Standing {
        let limit = self.per_minute.get();
        let used = u64::from(limit - remaining.min(limit));
        Standing {
            limit,
            remaining,
            reset_s: (used * 60).div_ceil(u64::from(limit)),
        }
    }
}

/// Counts a request, and answers in place of the server when there were too many.
pub(super) async fn limit(
    State(app): State<Arc<App>>,
    remote: Remote,
    mut request: Request,
    next: Next,
) -> Response {
    if !request.uri().path().starts_with(COUNTED) {
        return next.run(request).await;
    }
    let (verified, mut standing) = match verify(&app, &remote, &mut request).await {
        Ok(counted) => counted,
        Err(used_up) => return used_up.into_response(),
    };
    let frame_of = verified.0.as_ref().ok().filter(|_| is_frame(&request));
    let frame_of = frame_of.map(|principal| principal.user);
    request.extensions_mut().insert(verified);
    let mut response = next.run(request).await;
    if let Some(user) = frame_of
        && !response.status().is_success()
    {
        standing = match app.limits.users.take(&user) {
            Ok(standing) => standing,
            Err(used_up) => return used_up.into_response(),
        };
    }
    if let Some(standing) = standing {
        standing.write(&mut response);
    }
    response
}

/// Takes the request off every budget that it counts for, before its token is looked at or after;
/// returns also how the budget stands that is nearest to its end.
async fn verify(
    app: &App,
    remote: &Remote,
    request: &mut Request,
) -> Result<(Verified, Option<Standing>), UsedUp> {
    let limits = &app.limits;
    let network = remote.network();
    let is_frame = is_frame(request);
    let sign_in = if is_sign_in(request) {
        limits.sign_ins.take(&network)?
    } else {
        None
    };
    // To look at a token costs something, so a flood is to end before.
    let of_address = if is_frame {
        None
    } else {
        limits.addresses.take(&network)?
    };
    let verified = Verified::of(app, request.headers()).await;
    let of_sender = match &verified.0 {
        Ok(_) if is_frame => None,
        Ok(principal) => limits.users.take(&principal.user)?,
        Err(_) if is_frame => limits.addresses.take(&network)?,
        Err(_) => None,
    };
    let standings = [sign_in, of_address, of_sender];
    let nearest = standings.into_iter().flatten();
    Ok((verified, nearest.min_by_key(|standing| standing.remaining)))
}

/// A try to become someone, that costs the hash of a password.
fn is_sign_in(request: &Request) -> bool {
    let path = request.uri().path();
    let tries = path.strip_prefix("/api/v1/").is_some_and(|path| {
        matches!(path, "auth/login" | "auth/register") || path.starts_with("links/")
    });
    tries && request.method() == Method::POST
}

fn is_frame(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == Method::POST
        && path.starts_with("/api/v1/documents/")
        && path.ends_with("/messages")
}

impl Standing {
    fn write(self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert("ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(self.reset_s));
    }
}

impl IntoResponse for UsedUp {
    fn into_response(self) -> Response {
        let mut response = ApiError::rate_limited().into_response();
        self.standing.write(&mut response);
        let retry_after = HeaderValue::from(self.retry_after_s);
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, retry_after);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_for_its_own_key_only() {
        let budgets = Budgets::new(60);
        for used in 1..=60 {
            let standing = budgets.take(&"a").unwrap().unwrap();
            // A slow machine may have got some of it back meanwhile.
            assert!(standing.remaining >= 60 - used, "{standing:?}");
            assert!(standing.reset_s <= 60);
        }
        let refused = (0..60).find_map(|_| budgets.take(&"a").err()).unwrap();
        assert_eq!(refused.standing.remaining, 0);
        assert!((1..=2).contains(&refused.retry_after_s), "{refused:?}");
        assert!(budgets.take(&"b").unwrap().unwrap().remaining >= 59);
        assert_eq!(Budgets::new(0).take(&"a"), Ok(None));
    }

    #[test]
    fn bounded() {
        let budgets = Budgets::new(60);
        for key in 0..2 * KEYS_MAX {
            // Those that share a budget use it up.
            let _used_up = budgets.take(&key);
        }
        let len = budgets.0.as_ref().unwrap().limiter.len();
        assert!(len <= KEYS_MAX + 4_096, "{len}");
    }
}
