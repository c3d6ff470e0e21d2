//! A copy of all that is kept about a person: one JSON object, written piece by piece.
//!
//! What it takes to read is one document at a time, and the logs of the organization's other documents, page by
//! page, for the changes that are theirs. What others wrote is not in it, nor the addresses of others.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use motet_catalog::{AuditFilter, Catalog, CatalogError, Kind, OwnedDocument, Role, User};
use motet_document::Settings;
use motet_log::{AnyLog, DocumentLog, LogError};
use motet_model::{DocumentId, Revision, UserId, limits};
use motet_ot::{Insert, Operation};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use tokio::sync::mpsc;

use crate::{
    clock::rfc3339,
    collab::{self, RoomError},
};

/// Rows that are read at a time.
const PAGE: u32 = 500;
/// Bytes that are gathered before they are sent.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for their reader.
const PIECES_MAX: usize = 4;

/// How long a piece may wait for its reader.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);
/// Copies that are made at a time: each reads whole logs.
const CONCURRENT_MAX: usize = 2;

/// Why a copy ends before it is whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("there is no such account")]
    NoAccount,
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Document(#[from] RoomError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("nobody takes the copy")]
    Gone,
}

/// Makes copies.
#[derive(Clone)]
pub(crate) struct Exporter {
    pub(crate) catalog: Catalog,
    pub(crate) log: Arc<AnyLog>,
    /// Whether what is written in the person's documents is to be in the copy.
    pub(crate) with_texts: bool,
}

/// Whose copies a server is making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exports(Arc<Mutex<HashSet<UserId>>>);

/// As many copies are being made as may be, or one of this account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExportRefused {
    #[error("a copy of this account is being made")]
    Twice,
    #[error("too many copies are being made")]
    Busy,
}

/// A copy that may be made, for as long as this is there.
#[derive(Debug)]
pub(crate) struct ExportPlace {
    exports: Exports,
    user: UserId,
}

impl Exports {
    /// A place for the account's copy.
    ///
    /// # Errors
    ///
    /// As [`ExportRefused`] says: retry later.
    pub(crate) fn place(&self, user: UserId) -> Result<ExportPlace, ExportRefused> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains(&user) {
            return Err(ExportRefused::Twice);
        }
        if running.len() >= CONCURRENT_MAX {
            return Err(ExportRefused::Busy);
        }
        running.insert(user);
        let exports = self.clone();
        Ok(ExportPlace { exports, user })
    }
}

impl Drop for ExportPlace {
    fn drop(&mut self) {
        let running = self.exports.0.lock();
        running
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.user);
    }
}

type Pieces = mpsc::Receiver<Result<Bytes, ExportError>>;

impl Exporter {
    /// The copy, as of now. It is whole if no piece is an error.
    /// A server gives the copy's place, which is held until the work is done.
    pub(crate) fn export(self, id: UserId, place: Option<ExportPlace>, now_ms: u64) -> Pieces {
        let (pieces, taken) = mpsc::channel(PIECES_MAX);
        tokio::spawn(async move {
            let _place = place;
            let mut out = Output {
                pieces: pieces.clone(),
                text: Vec::with_capacity(PIECE_BYTES),
                comma: false,
            };
            if let Err(error) = self.write(&mut out, id, now_ms).await {
                // Who has gone needs no reason.
                let _gone = pieces.send_timeout(Err(error), PIECE_TIMEOUT).await;
            }
        });
        taken
    }

    async fn write(&self, out: &mut Output, id: UserId, now_ms: u64) -> Result<(), ExportError> {
        let catalog = &self.catalog;
        let user = catalog.user(id).await?.ok_or(ExportError::NoAccount)?;
        out.text.push(b'{');
        out.field("format", &1).await?;
        out.field("exportedAt", &rfc3339(now_ms)).await?;
        self.account(out, &user, now_ms).await?;
        out.begin("documents").await?;
        let mut after = None;
        loop {
            let owned = catalog.owned_documents(id, after, PAGE).await?;
            let Some(last) = owned.last() else { break };
            after = Some(last.id);
            for document in owned {
                out.is_wanted()?;
                self.document(out, document).await?;
            }
        }
        out.end();
        out.begin("changes").await?;
        if user.kind == Kind::Guest {
            // Anybody can be one, and they can have written only where they were let in.
            let given = catalog.given_rights(id).await?;
            let given: BTreeSet<_> = given.into_iter().map(|right| right.document).collect();
            for document in given {
                self.changes(out, id, document).await?;
            }
        } else {
            self.changes_in_organization(out, &user).await?;
        }
        out.end();
        self.trail(out, id).await?;
        out.text.push(b'}');
        out.send().await
    }

    async fn changes_in_organization(
        &self,
        out: &mut Output,
        user: &User,
    ) -> Result<(), ExportError> {
        let mut after = None;
        loop {
            let others = self
                .catalog
                .documents_of_others(user.organization, user.id, after, PAGE);
            let others = others.await?;
            let Some(last) = others.last() else {
                return Ok(());
            };
            after = Some(*last);
            for document in others {
                self.changes(out, user.id, document).await?;
            }
        }
    }

    async fn account(&self, out: &mut Output, user: &User, now_ms: u64) -> Result<(), ExportError> {
        let (catalog, id) = (&self.catalog, user.id);
        let avatar = match &user.avatar {
            Some(avatar) => Some(catalog.avatar(avatar).await?),
            None => None,
        };
        let profile = json!({
            "userId": id, "email": user.email, "name": user.name, "color": user.color,
            "avatar": avatar.map(|it| json!({ "mediaType": it.media_type, "base64": it.image })),
            "kind": user.kind.as_str(), "administrator": user.administrator,
            "hasPassword": user.password_hash.is_some(), "createdAt": rfc3339(user.created_at_ms),
            "disabledAt": user.disabled_at_ms.map(rfc3339),
            "lastSeenAt": user.last_seen_at_ms.map(rfc3339),
        });
        out.field("profile", &profile).await?;
        let organization = catalog.organization(user.organization).await?;
        let organization = json!({ "organizationId": organization.id, "name": organization.name });
        out.field("organization", &organization).await?;
        let groups = catalog.groups_of(id).await?.into_iter();
        let groups = groups.map(|(id, name)| json!({ "groupId": id.to_string(), "name": name }));
        out.field("groups", &groups.collect::<Vec<_>>()).await?;
        let identities = catalog.identities(id).await?.into_iter();
        let identities = identities.map(|it| json!({ "issuer": it.issuer, "subject": it.subject }));
        out.field("identities", &identities.collect::<Vec<_>>())
            .await?;
        let keys = catalog.api_keys(id).await?.into_iter().map(|key| {
            json!({
                "apiKeyId": key.id.to_string(), "name": key.name, "scopes": key.scopes,
                "createdAt": rfc3339(key.created_at_ms),
                "expiresAt": key.expires_at_ms.map(rfc3339),
                "lastUsedAt": key.last_used_at_ms.map(rfc3339),
            })
        });
        out.field("apiKeys", &keys.collect::<Vec<_>>()).await?;
        let sign_ins = catalog.sign_ins(id, now_ms).await?.into_iter();
        let sign_ins = sign_ins.map(|expires_at_ms| json!({ "expiresAt": rfc3339(expires_at_ms) }));
        out.field("signIns", &sign_ins.collect::<Vec<_>>()).await?;
        let rights = catalog.given_rights(id).await?.into_iter().map(|right| {
            json!({
                "documentId": right.document, "title": right.title, "role": right.role.as_str(),
                "linkId": right.link.map(|link| link.to_string()),
            })
        });
        out.field("grants", &rights.collect::<Vec<_>>()).await
    }

    async fn document(&self, out: &mut Output, document: OwnedDocument) -> Result<(), ExportError> {
        let id = document.id;
        let links = self.catalog.links(id).await?.into_iter().map(|link| {
            json!({
                "linkId": link.id.to_string(), "role": link.role.as_str(),
                "hasPassword": link.password_hash.is_some(),
                "expiresAt": link.expires_at_ms.map(rfc3339),
                "createdAt": rfc3339(link.created_at_ms),
            })
        });
        let links: Vec<_> = links.collect();
        // Deleted since the list was read: then there is nothing to copy.
        let snapshot = match collab::read(id, &self.log, &Settings::default()).await {
            Err(RoomError::Log(LogError::Deleted { .. })) => return Ok(()),
            snapshot => snapshot?,
        };
        let delta = snapshot.content.to_delta();
        let mut text = String::new();
        for operation in delta.ops() {
            match operation {
                Operation::Insert {
                    insert: Insert::Text(part),
                    ..
                } => text.push_str(part.as_str()),
                Operation::Insert { .. } => text.push('\u{fffc}'),
                Operation::Retain { .. } | Operation::Delete { .. } => {}
            }
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Copy {
            document_id: DocumentId,
            title: String,
            organization_role: Option<&'static str>,
            created_at: String,
            updated_at: String,
            deleted_at: Option<String>,
            links: Vec<serde_json::Value>,
            revision: Revision,
            #[serde(skip_serializing_if = "Option::is_none")]
            text: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            content: Option<Box<RawValue>>,
        }
        let content = match self.with_texts {
            true => Some(serde_json::from_slice(delta.to_json().as_ref())?),
            false => None,
        };
        let copy = Copy {
            document_id: id,
            title: document.title,
            organization_role: document.organization_role.map(Role::as_str),
            created_at: rfc3339(document.created_at_ms),
            updated_at: rfc3339(document.updated_at_ms),
            deleted_at: document.deleted_at_ms.map(rfc3339),
            links,
            revision: snapshot.revision,
            text: self.with_texts.then_some(text),
            content,
        };
        out.item(&copy).await
    }

    /// Which changes of a document are this person's; not what they are: the text is its owner's.
    async fn changes(
        &self,
        out: &mut Output,
        id: UserId,
        document: DocumentId,
    ) -> Result<(), ExportError> {
        let mut revision = Revision::ZERO;
        loop {
            out.is_wanted()?;
            let read = self
                .log
                .read(document, revision, limits::CATCH_UP_BYTES_MAX);
            let changes = match read.await {
                Err(LogError::Deleted { .. }) => break,
                changes => changes?,
            };
            if changes.is_empty() {
                break;
            }
            for change in changes {
                revision = revision.next();
                if change.author == id {
                    let at = rfc3339(change.time_ms);
                    let change = json!({ "documentId": document, "revision": revision, "at": at });
                    out.item(&change).await?;
                }
            }
        }
        Ok(())
    }

    /// What they did and what was done upon them; addresses only of what they did, or nobody knows who.
    async fn trail(&self, out: &mut Output, id: UserId) -> Result<(), ExportError> {
        out.begin("audit").await?;
        let mut filter = AuditFilter {
            user: Some(id),
            ..AuditFilter::default()
        };
        loop {
            out.is_wanted()?;
            let rows = self.catalog.audit(&filter, PAGE).await?;
            let Some(last) = rows.last() else { break };
            filter.before = Some(last.seq);
            for row in rows {
                let own = row.actor.is_none_or(|actor| actor == id);
                out.item(&json!({
                    "seq": row.seq, "at": rfc3339(row.at_ms), "actorId": row.actor,
                    "action": row.action, "documentId": row.document, "userId": row.user,
                    "details": row.details, "address": row.address.filter(|_| own),
                }))
                .await?;
            }
        }
        out.end();
        Ok(())
    }
}

/// A JSON object on its way out.
struct Output {
    pieces: mpsc::Sender<Result<Bytes, ExportError>>,
    text: Vec<u8>,
    /// Something stands before in the same object or list.
    comma: bool,
}

impl Output {
    async fn field(&mut self, name: &str, value: &impl Serialize) -> Result<(), ExportError> {
        self.name(name)?;
        serde_json::to_writer(&mut self.text, value)?;
        self.send_if_full().await
    }

    /// Begins a field that is a list.
    async fn begin(&mut self, name: &str) -> Result<(), ExportError> {
        self.name(name)?;
        self.text.push(b'[');
        self.comma = false;
        self.send_if_full().await
    }

    async fn item(&mut self, value: &impl Serialize) -> Result<(), ExportError> {
        self.separate();
        serde_json::to_writer(&mut self.text, value)?;
        self.send_if_full().await
    }

    fn end(&mut self) {
        self.text.push(b']');
        self.comma = true;
    }

    fn name(&mut self, name: &str) -> Result<(), ExportError> {
        self.separate();
        serde_json::to_writer(&mut self.text, name)?;
        self.text.push(b':');
        Ok(())
    }

    fn separate(&mut self) {
        if std::mem::replace(&mut self.comma, true) {
            self.text.extend_from_slice(b",\n");
        }
    }

    /// Reading takes long, and may find nothing to send: who takes the copy may have gone meanwhile.
    fn is_wanted(&self) -> Result<(), ExportError> {
        if self.pieces.is_closed() {
            Err(ExportError::Gone)
        } else {
            Ok(())
        }
    }

    async fn send_if_full(&mut self) -> Result<(), ExportError> {
        if self.text.len() < PIECE_BYTES {
            return Ok(());
        }
        self.send().await
    }

    async fn send(&mut self) -> Result<(), ExportError> {
        let text = Bytes::from(std::mem::take(&mut self.text));
        // Who takes nothing would keep others from their copies.
        let sent = self.pieces.send_timeout(Ok(text), PIECE_TIMEOUT).await;
        sent.map_err(|_| ExportError::Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_copies_at_a_time_and_one_of_an_account() {
        let exports = Exports::default();
        let [one, two, three] = [1, 2, 3].map(|n| UserId::from_bytes([n; 16]));
        let first = exports.place(one).unwrap();
        assert_eq!(exports.place(one).unwrap_err(), ExportRefused::Twice);
        let _second = exports.place(two).unwrap();
        assert_eq!(exports.place(three).unwrap_err(), ExportRefused::Busy);
        drop(first);
        exports.place(three).unwrap();
    }
}
