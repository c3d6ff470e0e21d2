//! What documents say, for search.
//!
//! A room tells its text a moment after an edit, then at most every [`INTERVAL_MS`], and when it is
//! unloaded. What a crash or a busy catalog keeps from being told is found by [`sweep`], when a server starts
//! and, where there are several nodes, every hour: documents whose log is past the revision that is indexed.

use std::{collections::HashMap, time::Duration};

use motet_catalog::INDEXED_BYTES_MAX;
use motet_document::Snapshot;
use motet_log::DocumentLog;
use motet_model::{DocumentId, Revision};
use motet_ot::{Delta, Insert, Operation};
use tokio::time::sleep;

use super::room::{RoomError, Shared, open};

/// How long after an edit the text is indexed: whoever types is mostly not done.
pub(super) const DELAY_MS: u64 = 1_000;

/// How often a document that is edited all the time is indexed.
pub(super) const INTERVAL_MS: u64 = 30_000;

/// Documents that the sweep asks the catalog for at a time.
const PAGE: u32 = 500;

/// How long the sweep rests after a document that it had to read.
const REST: Duration = Duration::from_millis(20);

/// Indexes the text of a document at a revision, one document at a time.
pub(super) async fn index<L: DocumentLog>(
    shared: &Shared<L>,
    id: DocumentId,
    Snapshot { revision, content }: Snapshot,
) {
    // Nobody closes it.
    let _permit = shared.indexing.acquire().await;
    let Ok(text) = tokio::task::spawn_blocking(move || plain_text(&content.to_delta())).await
    else {
        return;
    };
    if let Err(error) = shared.catalog.index_content(id, revision, &text).await {
        tracing::warn!(document = %id, %error, "a text was not indexed");
    }
}

/// Indexes what was not when the server stopped. Returns how many documents that were.
pub(super) async fn sweep<L: DocumentLog>(shared: &Shared<L>) -> u64 {
    let (mut after, mut count) = (None, 0);
    loop {
        let page = match shared.catalog.indexed(after, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "the index of texts could not be read");
                return count;
            }
        };
        let Some((last, _)) = page.last() else {
            return count;
        };
        after = Some(*last);
        let ids: Vec<_> = page.iter().map(|(id, _)| *id).collect();
        let heads: HashMap<_, _> = match shared.log.heads(&ids).await {
            Ok(heads) => heads.into_iter().collect(),
            Err(error) => {
                tracing::warn!(%error, "it could not be read what search misses");
                return count;
            }
        };
        for (id, indexed) in page {
            if heads.get(&id).is_none_or(|head| *head <= indexed) {
                continue;
            }
            match catch_up(shared, id).await {
                Ok(()) => {
                    count += 1;
                    sleep(REST).await;
                }
                Err(error) => {
                    tracing::warn!(document = %id, %error, "a document could not be indexed");
                }
            }
        }
    }
}

async fn catch_up<L: DocumentLog>(shared: &Shared<L>, id: DocumentId) -> Result<(), RoomError> {
    let (document, _) = open(
        id,
        &shared.log,
        &shared.settings,
        Revision::new(u64::MAX >> 1),
    )
    .await?;
    index(shared, id, document.snapshot()).await;
    Ok(())
}

/// The text, as much of it as is indexed. An embed separates words.
fn plain_text(content: &Delta) -> String {
    let mut text = String::new();
    for operation in content.ops() {
        match operation {
            Operation::Insert {
                insert: Insert::Text(insert),
                ..
            } => text.push_str(insert.as_str()),
            _ => text.push(' '),
        }
        if text.len() > INDEXED_BYTES_MAX {
            break;
        }
    }
    text
}
