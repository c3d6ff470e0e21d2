//! Loads on the server that was built beside this program: that they come to an end and miss nothing. How long
//! anything takes is not looked at.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

/// What the program reports when it is called like this.
fn report(arguments: &str) -> Value {
    let bench = env!("CARGO_BIN_EXE_motet-bench");
    let folder = TempDir::new().unwrap();
    let (json, html) = (folder.path().join("r.json"), folder.path().join("r.html"));
    let output = Command::new(bench)
        .arg("run")
        .args(arguments.split(' '))
        .args("--runs 1 --seconds 1 --pin false --server".split(' '))
        .arg(Path::new(bench).with_file_name("motet"))
        .args([Path::new("--json"), &json, Path::new("--html"), &html])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let page = std::fs::read_to_string(html).unwrap();
    assert!(page.contains("<svg"), "{said}");
    serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap()
}

#[test]
fn all_edits_arrive_in_each_dialect() {
    // What is too slow for this machine is no failure here.
    let report = report(
        "--against motet,motet-yjs,motet-hocuspocus --editors 4 --readers 2 --documents 2 \
         --rate 100 --witness --p99-max-ms 60000",
    );
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    for run in runs {
        let measured = &run["measured"];
        assert_eq!(measured["edits"], 100, "{run}");
        // Two seconds of 100 edits, each to five others; those of the first document to the witness as well.
        assert_eq!(measured["expected"], 2 * (100 * 5 + 50), "{run}");
        assert_eq!(measured["delivered"], measured["expected"], "{run}");
        assert_eq!(measured["sameText"], true, "{run}");
    }
}

#[test]
fn the_broadcaster_passes_everything_on() {
    let report = report("--against broadcaster --editors 5 --rate 200 --p99-max-ms 60000");
    let measured = &report["runs"][0]["measured"];
    assert_eq!(measured["delivered"], 2 * 200 * 4);
    assert_eq!(measured["expected"], measured["delivered"]);
}

#[test]
fn each_scenario_comes_to_an_end() {
    for scenario in [
        "presence --editors 4 --edits 5",
        "join-storm --editors 3 --characters 100000",
        "idle --editors 20",
        "connect --editors 20",
        "cold-open --edits 300",
        "paste --editors 3 --edits 2 --characters 100000",
        "slow-readers --editors 6 --edits 50",
    ] {
        let report = report(&format!(
            "--scenario {scenario} --against motet,motet-yjs --documents 1"
        ));
        for scene in report["scenes"].as_array().unwrap() {
            let facts = scene["facts"].as_array().unwrap();
            assert!(!facts.is_empty(), "{scene}");
        }
    }
}
