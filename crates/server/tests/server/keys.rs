//! `motet keys` beside a running server.

use std::{path::Path, process::Command, thread, time::Duration};

use crate::support::{PATIENCE, Server};
use serde_json::Value;

/// What the command prints, or its complaint.
fn keys(data: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_motet"))
        .arg("keys")
        .args(args)
        .arg("--data-dir")
        .arg(data)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout).trim().to_owned())
    } else {
        Err(text(output.stderr))
    }
}

#[test]
fn a_key_may_begin_with_a_hyphen() {
    let data = tempfile::tempdir().unwrap();
    drop(Server::start(data.path(), &[]));
    let refused = keys(data.path(), &["remove", "-5pGsrsYvzC9F"]).unwrap_err();
    assert!(refused.contains("no key -5pGsrsYvzC9F"), "{refused}");
}

fn published(server: &Server, path: &str) -> Vec<String> {
    let (status, headers, text) = server.raw("GET", path, &[], None);
    assert_eq!(status, 200);
    assert_eq!(headers["cache-control"], "public, max-age=300");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let keys = answer["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn keys_rotate_beside_a_running_server() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let listed = keys(data.path(), &["list"]).unwrap();
    let (first, state) = listed.split_once('\t').unwrap();
    assert_eq!(state, "signs");
    let path = "/.well-known/jwks.json";
    assert_eq!(published(&server, path), [first]);
    assert_eq!(published(&server, "/api/v1/auth/jwks"), [first]);

    let second = keys(data.path(), &["rotate"]).unwrap();
    let listed = keys(data.path(), &["list"]).unwrap();
    let [one, two] = listed.lines().collect::<Vec<_>>()[..] else {
        panic!("{listed}");
    };
    assert_eq!(one, format!("{first}\tsigns"));
    assert!(two.starts_with(&format!("{second}\tsigns from ")), "{two}");

    // One that signs at once: the server meets its token, and looks the key up.
    let third = keys(data.path(), &["rotate", "--after", "0s"]).unwrap();
    let refused = keys(data.path(), &["remove", &third]).unwrap_err();
    assert!(refused.contains("signs new tokens"), "{refused}");
    let output = Command::new(env!("CARGO_BIN_EXE_motet"))
        .args(["token", "--user", "ada@example.com", "--data-dir"])
        .arg(data.path())
        .output()
        .unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    let valid = |token: &str| {
        let (status, _) = server.call("GET", "/api/v1/auth/validate", Some(token), None);
        status == 200
    };
    // Within the second in which unknown keys are looked up once.
    let deadline = PATIENCE.as_millis() / 50;
    let noticed = (0..deadline).any(|_| {
        let valid = valid(token.trim());
        if !valid {
            thread::sleep(Duration::from_millis(50));
        }
        valid
    });
    assert!(noticed);
    assert!(valid(&ada.token), "what the first one signed stays valid");
    let mut ids = published(&server, path);
    ids.sort();
    let mut all = [first.to_owned(), second, third];
    all.sort();
    assert_eq!(ids, all);

    keys(data.path(), &["remove", first]).unwrap();
    let unknown = keys(data.path(), &["remove", first]).unwrap_err();
    assert!(unknown.contains("there is no key"), "{unknown}");
}
