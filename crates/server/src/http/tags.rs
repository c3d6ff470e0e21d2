//! What a client says of the state in which it has seen a document: `ETag`, `If-Match`,
//! `If-None-Match` (RFC 9110).
//!
//! A tag stands for all that a person can change about a document, as the caller sees it: title,
//! openness, owner, content, and the caller's role. `updatedAt` follows these with a delay, and is no
//! part of it. So a tag is strong, and one that was read is good for a change as long as nobody made
//! another one.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use motet_catalog::{Document, Role};
use motet_model::{DocumentId, Revision};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard};
use utoipa::IntoParams;

use super::{ApiError, App};
use crate::{
    auth::hex,
    jobs::{Claim, Job, Jobs},
};

/// Of how many documents changes can be made at a time that depend on a tag.
const TURNS: usize = 64;

/// The tag of a document that is at `revision`.
pub(super) fn tag(document: &Document, revision: Revision) -> String {
    let openness = document.organization_role.map_or("", Role::as_str);
    let state = serde_json::json!([
        document.title,
        openness,
        document.owner,
        document.owner_name,
        document.role.as_str(),
        document.deleted_at_ms,
        revision,
    ]);
    let digest = hex(&Sha256::digest(state.to_string()));
    format!("\"{}\"", &digest[..32])
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "Conditions reads it")]
pub(super) struct IfMatch {
    /// Only if the document is as this tag says.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "Conditions reads it")]
pub(super) struct IfNoneMatch {
    /// Only if the document is not as this tag says.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// What the caller says about the document as it is.
pub(super) struct Conditions {
    matches: Option<String>,
    none_match: Option<String>,
}

impl Conditions {
    /// Whether it says under which circumstances only the document may be changed.
    pub(super) const fn are_given(&self) -> bool {
        self.matches.is_some()
    }

    /// The document is as the caller believes.
    pub(super) fn hold(&self, tag: &str) -> Result<(), ApiError> {
        match &self.matches {
            Some(tags) if !listed(tags, |listed| listed == tag) => {
                Err(ApiError::precondition_failed())
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller has the document as it is.
    pub(super) fn is_known(&self, tag: &str) -> bool {
        let same = |listed: &str| listed.strip_prefix("W/").unwrap_or(listed) == tag;
        self.none_match
            .as_deref()
            .is_some_and(|tags| listed(tags, same))
    }
}

/// Our tags have no commas in them, so others' that have are not ours however they are cut.
fn listed(tags: &str, is_it: impl Fn(&str) -> bool) -> bool {
    tags.trim() == "*" || tags.split(',').any(|tag| is_it(tag.trim()))
}

impl FromRequestParts<Arc<App>> for Conditions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Self {
            matches: joined(&parts.headers, header::IF_MATCH),
            none_match: joined(&parts.headers, header::IF_NONE_MATCH),
        })
    }
}

fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values.map(|it| it.to_str().unwrap_or_default()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Changes of one document, one after the other, on all nodes: so that what was looked at is what is changed.
pub(crate) struct Turns {
    here: Vec<Mutex<()>>,
    jobs: Jobs,
}

/// One's turn, until it is dropped.
pub(super) struct Turn<'a> {
    _everywhere: Claim,
    _here: MutexGuard<'a, ()>,
}

impl Turns {
    pub(crate) fn new(jobs: Jobs) -> Self {
        Self {
            here: (0..TURNS).map(|_| Mutex::default()).collect(),
            jobs,
        }
    }

    /// Waits for those before.
    pub(super) async fn take(&self, id: DocumentId) -> Result<Turn<'_>, ApiError> {
        // The last byte is random.
        let [.., last] = id.to_bytes();
        let here = self.here[usize::from(last) % TURNS].lock().await;
        Ok(Turn {
            _everywhere: self.jobs.wait_for(Job::Change(id)).await?,
            _here: here,
        })
    }
}
