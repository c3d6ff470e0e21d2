//! Who may do what: every endpoint and every message of every dialect, by everyone.
//!
//! What somebody may do follows from one column of a table, so that a new endpoint or message that is
//! not in the tables fails here, and has to say who may use it.

#![allow(
    clippy::disallowed_methods,
    reason = "a test against a real server runs in real time"
)]

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

mod cast;
mod http;
mod live;
mod raw;
mod sockets;

/// Whether there is an account can be told neither by what is answered nor by how long that takes.
#[test]
fn an_unknown_address_looks_like_a_wrong_password() {
    const ROUNDS: usize = 15;
    let folder = TempDir::new().unwrap();
    let server = crate::support::Server::start(folder.path(), &[]);
    let names: Vec<_> = (0..ROUNDS).map(|round| format!("user{round}")).collect();
    for name in &names {
        server.register(name);
    }
    let attempt = |name: &str| {
        let body = json!({ "email": format!("{name}@example.com"), "password": "a wrong one" });
        let json = [("content-type", "application/json".to_owned())];
        let begun = Instant::now();
        let (status, _, text) =
            server.raw("POST", "/api/v1/auth/login", &json, Some(&body.to_string()));
        let elapsed = begun.elapsed();
        let answer: Value = serde_json::from_str(&text).unwrap();
        let request = answer["error"]["requestId"].as_str().unwrap().to_owned();
        (status, text.replace(&request, ""), elapsed)
    };
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for name in &names {
        // In turn, so that whatever else this machine does slows both down.
        let (status, answer, elapsed) = attempt(name);
        known.push(elapsed);
        let (unknown_status, unknown_answer, elapsed) = attempt(&format!("no-{name}"));
        unknown.push(elapsed);
        assert_eq!((status, &answer), (401, &unknown_answer));
        assert_eq!(unknown_status, status);
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[ROUNDS / 2]
    };
    let (known, unknown) = (median(&mut known), median(&mut unknown));
    // No benchmark: a password takes tens of milliseconds to check and everything else a few, so that
    // one which was not checked would be faster by far more than this.
    let (short, long) = (known.min(unknown), known.max(unknown));
    assert!(
        long < short * 2,
        "{known:?} if there is an account, {unknown:?} if not"
    );
}
