//! Recorded keystrokes.

use std::{fs::File, path::Path};

use flate2::read::GzDecoder;
use serde::Deserialize;

pub const NAMES: [&str; 4] = ["automerge-paper", "rustcode", "seph-blog1", "sveltecomponent"];

#[derive(Deserialize)]
struct Recorded {
    #[serde(rename = "endContent")]
    end: String,
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    patches: Vec<(usize, usize, String)>,
}

pub struct Trace {
    /// Position, deleted, inserted.
    pub patches: Vec<(usize, usize, String)>,
    pub end: String,
}

/// Characters outside the basic plane count differently in different engines: each is replaced.
fn plain(text: &str) -> String {
    text.chars()
        .map(|char| if char.len_utf16() == 2 { '*' } else { char })
        .collect()
}

pub fn load(folder: &Path, name: &str) -> anyhow::Result<Trace> {
    let file = File::open(folder.join(format!("{name}.json.gz")))?;
    let recorded: Recorded = serde_json::from_reader(GzDecoder::new(file))?;
    let patches = recorded.txns.into_iter().flat_map(|txn| txn.patches);
    Ok(Trace {
        patches: patches
            .map(|(at, deleted, inserted)| (at, deleted, plain(&inserted)))
            .collect(),
        end: plain(&recorded.end),
    })
}
