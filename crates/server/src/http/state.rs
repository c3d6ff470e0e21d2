//! What the server's answers are made from.

use std::sync::{Arc, atomic::AtomicBool};

use motet_catalog::{AuditAction, Catalog, Entry, Rights};
use motet_model::{Clock, DocumentId};
use serde_json::json;

use super::{ApiError, Needs, RequestLimits, extract::Caller, tags::Turns};
use crate::{
    audit::Auditor,
    auth::{Action, Authority, AuthorizationError, Passwords, Providers, Tokens},
    collab::Collab,
    erasure::Eraser,
    export::Exports,
    jobs::Jobs,
    limits::Limit,
    nodes::Nodes,
    refusals::{Refusals, Who},
};

/// What every request may need.
pub(crate) struct App {
    pub(crate) catalog: Catalog,
    pub(crate) auditor: Auditor,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) eraser: Arc<Eraser>,
    pub(crate) exports: Exports,
    pub(crate) collab: Arc<Collab>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) jobs: Jobs,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) authority: Authority,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) passwords: Passwords,
    pub(crate) providers: Providers,
    /// By what people call this server, if it is said.
    pub(crate) public_url: Option<String>,
    pub(crate) registration: bool,
    pub(crate) access_token_ms: u64,
    pub(crate) refresh_token_ms: u64,
    pub(crate) limits: Arc<RequestLimits>,
    /// All limits, for administrators to see.
    pub(crate) listed_limits: Vec<Limit>,
    pub(crate) documents_per_user_max: u64,
    /// 0: any number.
    pub(crate) guests_per_link_max: u32,
    pub(crate) turns: Turns,
    /// How long documents stay in the trash; `None`: as long as their owners like.
    pub(crate) trash_ms: Option<u64>,
    /// How long guests are kept who may do nothing any more; `None`: for good.
    pub(crate) guest_ms: Option<u64>,
    pub(crate) draining: AtomicBool,
    pub(crate) needs: Needs,
}

impl App {
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// What the caller may do with the document, if that includes `action`.
    pub(super) async fn may(
        &self,
        caller: &Caller,
        action: Action,
        document: DocumentId,
    ) -> Result<Rights, ApiError> {
        let rights = self
            .authority
            .authorize(&caller.principal, action, document);
        match rights.await {
            Ok(rights) => Ok(rights),
            Err(error) => {
                self.note_refused(caller, action, document, &error).await?;
                Err(error.into())
            }
        }
    }

    /// The trail tells of what a caller may not do with a document, if there is one.
    async fn note_refused(
        &self,
        caller: &Caller,
        action: Action,
        document: DocumentId,
        error: &AuthorizationError,
    ) -> Result<(), ApiError> {
        let reason = match error {
            AuthorizationError::NotFound => "not_found",
            AuthorizationError::Forbidden { .. } => "forbidden",
            AuthorizationError::Scope { .. } => "missing_scope",
            AuthorizationError::Unavailable(_) => return Ok(()),
        };
        if self.catalog.organization_of(document).await?.is_none() {
            return Ok(());
        }
        let details = json!({ "dialect": "http", "act": action.as_str(), "reason": reason });
        let entry = Entry::new(AuditAction::DocumentRefused).document(document);
        let (who, actor) = (Who::User(caller.user()), caller.actor.clone());
        Ok(self
            .refusals
            .note(who, actor, entry.details(details))
            .await?)
    }
}
