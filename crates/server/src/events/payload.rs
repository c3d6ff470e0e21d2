//! What events say. Fields are permanent; readers ignore those that they do not know (`docs/events.md`).

use bytes::Bytes;
use motet_bus::{EVENT_BYTES_MAX, Event, EventKind};
use motet_catalog::{AuditAction, TrailRow};
use motet_model::{Change, DocumentId, OrganizationId, Revision, UserId};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::clock::rfc3339;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Edit<'a> {
    document_id: DocumentId,
    revision: Revision,
    user_id: UserId,
    at: String,
    /// Unless it is larger than an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    document_id: DocumentId,
    revision: Revision,
    reason: &'static str,
    at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Audit<'a> {
    seq: u64,
    at: String,
    organization_id: OrganizationId,
    actor_id: Option<UserId>,
    action: &'a str,
    document_id: Option<DocumentId>,
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
    hash: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Share<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    document_id: DocumentId,
    organization_id: OrganizationId,
    actor_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a str>,
    role: &'a str,
    at: String,
}

/// A change of a document.
pub(super) fn edit(id: DocumentId, revision: Revision, change: &Change) -> Event {
    let mut said = Edit {
        document_id: id,
        revision,
        user_id: change.author,
        at: rfc3339(change.time_ms),
        // Written by the server.
        operation: serde_json::from_slice(&change.delta).ok(),
    };
    let mut payload = json(&said);
    if payload.len() > EVENT_BYTES_MAX {
        said.operation = None;
        payload = json(&said);
    }
    Event {
        id: format!("edit/{id}/{revision}"),
        kind: EventKind::DocumentEdit,
        key: Some(id),
        at_ms: change.time_ms,
        payload,
    }
}

/// A point in a document's history.
pub(super) fn version(id: DocumentId, revision: Revision, at_ms: u64) -> Event {
    let said = Version {
        document_id: id,
        revision,
        reason: "checkpoint",
        at: rfc3339(at_ms),
    };
    Event {
        id: format!("version/{id}/{revision}"),
        kind: EventKind::DocumentVersion,
        key: Some(id),
        at_ms,
        payload: json(&said),
    }
}

/// A row of the audit trail.
pub(super) fn audit(row: &TrailRow) -> Event {
    let mut said = Audit {
        seq: row.seq,
        at: rfc3339(row.at_ms),
        organization_id: row.organization,
        actor_id: row.actor,
        action: &row.action,
        document_id: row.document,
        user_id: row.user,
        details: Some(&row.details),
        hash: &row.hash,
    };
    let mut payload = json(&said);
    if payload.len() > EVENT_BYTES_MAX {
        said.details = None;
        payload = json(&said);
    }
    Event {
        id: format!("audit/{}", row.seq),
        kind: EventKind::AuditLog,
        key: row.document,
        at_ms: row.at_ms,
        payload,
    }
}

/// That somebody was given a role, if the row says so.
pub(super) fn share(row: &TrailRow) -> Option<Event> {
    if row.action != AuditAction::DocumentShared.as_str() {
        return None;
    }
    let document = row.document?;
    let said = Share {
        kind: "share",
        document_id: document,
        organization_id: row.organization,
        actor_id: row.actor,
        user_id: row.user,
        group_id: row.details["group"].as_str(),
        role: row.details["role"].as_str()?,
        at: rfc3339(row.at_ms),
    };
    Some(Event {
        id: format!("share/{}", row.seq),
        kind: EventKind::NotificationEvent,
        key: Some(document),
        at_ms: row.at_ms,
        payload: json(&said),
    })
}

fn json(said: &impl Serialize) -> Bytes {
    // Nothing in it can fail to be written.
    serde_json::to_vec(said).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(len: usize) -> Change {
        let text = "x".repeat(len);
        Change {
            author: UserId::from_bytes([1; 16]),
            client_id: "client".parse().unwrap(),
            seq: 1,
            merged: false,
            time_ms: 1_700_000_000_000,
            delta: Bytes::from(format!(r#"{{"ops":[{{"insert":"{text}"}}]}}"#)),
            update: Bytes::new(),
        }
    }

    #[test]
    fn an_edit_that_is_too_large_is_told_without_what_it_did() {
        let id = DocumentId::from_bytes([7; 16]);
        for (len, has_operation) in [(1, true), (EVENT_BYTES_MAX, false)] {
            let event = edit(id, Revision::new(9), &change(len));
            assert!(event.payload.len() <= EVENT_BYTES_MAX);
            let said: Value = serde_json::from_slice(&event.payload).unwrap();
            assert_eq!(said["revision"], 9);
            assert_eq!(said["at"], "2023-11-14T22:13:20.000Z");
            assert_eq!(said["operation"].is_object(), has_operation);
        }
    }

    #[test]
    fn only_who_is_given_a_role_is_told_of_it() {
        let row = |action: &str, details| TrailRow {
            seq: 3,
            at_ms: 0,
            organization: OrganizationId::DEFAULT,
            actor: None,
            action: action.to_owned(),
            document: Some(DocumentId::from_bytes([7; 16])),
            user: None,
            details,
            hash: String::new(),
        };
        let details = serde_json::json!({ "role": "viewer", "group": "a group" });
        assert_eq!(share(&row("document.unshared", details.clone())), None);
        let event = share(&row("document.shared", details)).unwrap();
        assert_eq!(event.id, "share/3");
        let said: Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(
            (&said["groupId"], &said["role"]),
            (&"a group".into(), &"viewer".into())
        );
        assert!(said["actorId"].is_null() && said.get("userId").is_none());
    }
}
