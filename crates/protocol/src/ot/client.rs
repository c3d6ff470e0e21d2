//! What clients send.

use std::borrow::Cow;

use motet_model::{ClientId, DocumentId, Revision, limits};
use motet_ot::{DecodeError, Decoded};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::{Number, error::Category, value::RawValue};

use crate::ErrorCode;

/// A message of a frame, and what of it matters whatever it says.
#[derive(Debug)]
pub struct Incoming {
    /// The document that it names, on a connection that holds several.
    pub document: Option<DocumentId>,
    /// What it says, or why it was refused.
    pub message: Result<ClientMessage, Refused>,
}

/// A message that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The code to answer with.
    pub code: ErrorCode,
    /// For the person who reads it.
    pub message: String,
    /// The submission that it was, where that is known.
    pub seq: Option<u64>,
}

impl Refused {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            seq: None,
        }
    }
}

/// What a client can say. Positions and lengths are UTF-16 units.
#[derive(Debug)]
pub enum ClientMessage {
    /// Authenticates, or renews the token.
    Auth {
        /// A JWT.
        token: String,
    },
    /// Joins a document.
    Join {
        /// Which.
        document: DocumentId,
        /// The name under which the client numbers its submissions.
        client_id: Option<ClientId>,
        /// The revision to go on from.
        revision: Option<Revision>,
        /// With a revision: the client has a submission on it, and sends that next.
        pending: bool,
        /// It takes `operations`.
        batches: bool,
    },
    /// Leaves it.
    Leave,
    /// A numbered submission.
    Edit {
        /// The client's number.
        seq: u64,
        /// The base.
        revision: Revision,
        /// The delta.
        operation: Decoded,
    },
    /// A short form: the base is what the connection was last sent, the server counts.
    ShortEdit {
        /// The edit as a delta.
        operation: Decoded,
    },
    /// Shows, moves or removes the cursor.
    Select {
        /// Anchor and head.
        selection: Option<(usize, usize)>,
        /// The revision that they count in, if not what the connection was last sent.
        revision: Option<Revision>,
    },
    /// Replaces the free-form presence data: the JSON text of an object.
    Describe {
        /// `None` clears it.
        data: Option<String>,
    },
    /// Wants a `pong`.
    Ping,
}

/// All fields of all messages. One pass over the text, whatever the order of its fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    document_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
    seq: Option<u64>,
    revision: Option<Revision>,
    pending: Option<bool>,
    batches: Option<bool>,
    #[serde(borrow)]
    operation: Option<&'a RawValue>,
    pos: Option<Number>,
    len: Option<Number>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    position: Option<Number>,
    anchor: Option<Number>,
    head: Option<Number>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// What an error can name, whatever is wrong with the rest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    document_id: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
}

/// The texts of the messages of a frame: as many as a frame may hold.
struct Texts<'a>(Vec<&'a str>);

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at most {} messages", limits::MESSAGES_PER_FRAME_MAX)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            if texts.len() == limits::MESSAGES_PER_FRAME_MAX {
                return Err(serde::de::Error::invalid_length(texts.len() + 1, &self));
            }
            texts.push(raw.get());
        }
        Ok(Texts(texts))
    }
}

/// Reads a text frame: each of its messages, understood or refused. A message is read when it is
/// asked for, so a frame costs little more than its text.
///
/// # Errors
///
/// `InvalidJson`: the frame as a whole is not JSON, or neither an object nor an array. `TooLarge`: it
/// holds more than [`limits::MESSAGES_PER_FRAME_MAX`] messages.
pub fn decode(text: &str) -> Result<impl Iterator<Item = Incoming>, Refused> {
    let invalid = |error: serde_json::Error| match error.classify() {
        Category::Data => Refused::new(ErrorCode::TooLarge, error.to_string()),
        _ => Refused::new(
            ErrorCode::InvalidJson,
            format!("the frame is not JSON: {error}"),
        ),
    };
    let texts = match text.trim_ascii_start().as_bytes().first() {
        // The common case, without a second pass to find the end of each message.
        Some(b'{') => Ok(vec![text]),
        Some(b'[') => serde_json::from_str::<Texts<'_>>(text)
            .map(|texts| texts.0)
            .map_err(invalid),
        _ => {
            serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(invalid)?;
            Err(Refused::new(
                ErrorCode::InvalidJson,
                "a frame holds a JSON object, or an array of objects",
            ))
        }
    };
    Ok(texts?.into_iter().map(message))
}

fn message(text: &str) -> Incoming {
    // Derived structs can also be read from arrays, which are no messages.
    if !text.trim_ascii_start().starts_with('{') {
        let refused = Refused::new(ErrorCode::InvalidMessage, "a message is an object");
        return Incoming {
            document: None,
            message: Err(refused),
        };
    }
    let fields = match serde_json::from_str::<Fields<'_>>(text) {
        Ok(fields) => fields,
        Err(error) => return malformed(text, &error),
    };
    let seq = fields.seq;
    let document = match fields
        .document_id
        .as_deref()
        .map(str::parse::<DocumentId>)
        .transpose()
    {
        Ok(document) => document,
        Err(error) => {
            // There can be no document of that name.
            let refused = Refused::new(ErrorCode::NotFound, error.to_string());
            return Incoming {
                document: None,
                message: Err(Refused { seq, ..refused }),
            };
        }
    };
    let message = understand(document, fields).map_err(|refused| Refused { seq, ..refused });
    Incoming { document, message }
}

/// A message of which some field is not what it should be. The sender must still learn which of its
/// submissions that was.
fn malformed(text: &str, error: &serde_json::Error) -> Incoming {
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) else {
        let code = match error.classify() {
            Category::Data => ErrorCode::InvalidMessage,
            _ => ErrorCode::InvalidJson,
        };
        return Incoming {
            document: None,
            message: Err(Refused::new(code, error.to_string())),
        };
    };
    let refused = invalid(error.to_string());
    let seq = envelope.seq.and_then(|raw| raw.get().parse().ok());
    let document = envelope.document_id.map(RawValue::get);
    let document = document.and_then(|raw| serde_json::from_str::<Cow<'_, str>>(raw).ok());
    Incoming {
        document: document.and_then(|name| name.parse().ok()),
        message: Err(Refused { seq, ..refused }),
    }
}

fn understand(document: Option<DocumentId>, fields: Fields<'_>) -> Result<ClientMessage, Refused> {
    Ok(match fields.r#type.as_ref() {
        "auth" => ClientMessage::Auth {
            token: required("token", fields.token)?.into_owned(),
        },
        "join_document" => ClientMessage::Join {
            document: required("documentId", document)?,
            client_id: fields
                .client_id
                .map(|id| id.parse())
                .transpose()
                .map_err(|error: motet_model::IdError| invalid(error.to_string()))?,
            revision: fields.revision.map(revision).transpose()?,
            pending: fields.pending.unwrap_or(false),
            batches: fields.batches.unwrap_or(false),
        },
        "leave_document" => ClientMessage::Leave,
        "edit_operation" => ClientMessage::Edit {
            seq: integer("seq", required("seq", fields.seq)?)?,
            revision: revision(required("revision", fields.revision)?)?,
            operation: decode_delta(required("operation", fields.operation)?.get())?,
        },
        "insert" => {
            let text = required("text", fields.text)?.get();
            if !text.starts_with('"') {
                return Err(invalid("text is not a string"));
            }
            short(fields.pos, format!(r#""insert":{text}"#), fields.attributes)?
        }
        "delete" => {
            let len = position("len", required("len", fields.len)?)?;
            short(fields.pos, format!(r#""delete":{len}"#), None)?
        }
        "format" => {
            let len = position("len", required("len", fields.len)?)?;
            let attributes = required("attributes", fields.attributes)?;
            short(fields.pos, format!(r#""retain":{len}"#), Some(attributes))?
        }
        "cursor_update" => {
            let at = position("position", required("position", fields.position)?)?;
            ClientMessage::Select {
                selection: Some((at, at)),
                revision: fields.revision.map(revision).transpose()?,
            }
        }
        "selection_update" => {
            let selection = match (fields.anchor, fields.head) {
                (None, None) => None,
                (anchor, head) => Some((
                    position("anchor", required("anchor", anchor)?)?,
                    position("head", required("head", head)?)?,
                )),
            };
            ClientMessage::Select {
                selection,
                revision: fields.revision.map(revision).transpose()?,
            }
        }
        "presence_update" => ClientMessage::Describe {
            data: presence_data(fields.data)?,
        },
        "ping" => ClientMessage::Ping,
        unknown => {
            let shown: String = unknown.chars().take(64).collect();
            return Err(Refused::new(
                ErrorCode::UnknownType,
                format!("there is no message type {shown:?}"),
            ));
        }
    })
}

fn required<T>(name: &str, field: Option<T>) -> Result<T, Refused> {
    field.ok_or_else(|| invalid(format!("{name} is missing")))
}

fn invalid(message: impl Into<String>) -> Refused {
    Refused::new(ErrorCode::InvalidMessage, message)
}

/// Counting on from a number must not overflow, here or where it is a double.
fn integer(name: &str, value: u64) -> Result<u64, Refused> {
    if value <= limits::INTEGER_MAX {
        Ok(value)
    } else {
        Err(invalid(format!("{name} is past 2^53 - 1: {value}")))
    }
}

fn revision(value: Revision) -> Result<Revision, Refused> {
    integer("revision", value.get()).map(Revision::new)
}

/// A position or length: one that no document has deserves a clearer answer than "not a number".
fn position(name: &str, value: Number) -> Result<usize, Refused> {
    let exact = value.as_u64().filter(|at| *at <= limits::INTEGER_MAX);
    if let Some(position) = exact.and_then(|at| usize::try_from(at).ok()) {
        return Ok(position);
    }
    let double = value.as_f64().filter(|_| value.is_f64());
    if double.is_some_and(|at| at.abs() < limits::INTEGER_MAX as f64) {
        return Err(invalid(format!("{name} is not a whole number: {value}")));
    }
    Err(Refused::new(
        ErrorCode::OutOfRange,
        format!("{name} is negative, or past the end of any document: {value}"),
    ))
}

/// A short form is spelled out as a delta and read as one, so that both obey the same rules.
fn short(
    pos: Option<Number>,
    edit: String,
    attributes: Option<&RawValue>,
) -> Result<ClientMessage, Refused> {
    let retain = match position("pos", required("pos", pos)?)? {
        0 => String::new(),
        pos => format!(r#"{{"retain":{pos}}},"#),
    };
    let attributes = attributes
        .map(|raw| format!(r#","attributes":{raw}"#))
        .unwrap_or_default();
    let delta = format!(r#"{{"ops":[{retain}{{{edit}{attributes}}}]}}"#);
    Ok(ClientMessage::ShortEdit {
        operation: decode_delta(&delta)?,
    })
}

fn decode_delta(json: &str) -> Result<Decoded, Refused> {
    motet_ot::decode(json.as_bytes()).map_err(|error| {
        let code = match error {
            DecodeError::SplitSurrogate { .. } => ErrorCode::SplitSurrogate,
            _ => ErrorCode::InvalidOperation,
        };
        Refused::new(code, error.to_string())
    })
}

fn presence_data(data: Option<&RawValue>) -> Result<Option<String>, Refused> {
    let json = required("data", data)?.get();
    if json == "null" {
        return Ok(None);
    }
    if !json.starts_with('{') {
        return Err(invalid("data is not an object"));
    }
    if json.len() > limits::PRESENCE_DATA_BYTES_MAX {
        let max = limits::PRESENCE_DATA_BYTES_MAX;
        return Err(invalid(format!("data is longer than {max} bytes")));
    }
    // A raw value may hold text that no decoder accepts: it must not reach the other clients.
    serde_json::from_str::<serde_json::Value>(json).map_err(|error| invalid(error.to_string()))?;
    Ok(Some(json.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_an_object() {
        let messages: Vec<_> =
            decode(r#"[["ping",null,null,null,null,null,null],{"type":"ping"}]"#)
                .unwrap()
                .collect();
        let [wrong, right] = messages.as_slice() else {
            panic!("two messages")
        };
        assert_eq!(
            wrong.message.as_ref().unwrap_err().code,
            ErrorCode::InvalidMessage
        );
        assert!(matches!(right.message, Ok(ClientMessage::Ping)));
    }

    #[test]
    fn a_frame_holds_only_so_many_messages() {
        let frame = |messages: usize| format!("[{}]", vec!["0"; messages].join(","));
        let most = limits::MESSAGES_PER_FRAME_MAX;
        assert_eq!(decode(&frame(most)).unwrap().count(), most);
        let refused = decode(&frame(most + 1)).map(drop).unwrap_err();
        assert_eq!(refused.code, ErrorCode::TooLarge);
        // Where it ends does not matter any more.
        let refused = decode(&frame(most + 1)[..2 * most + 2]).map(drop);
        assert_eq!(refused.unwrap_err().code, ErrorCode::TooLarge);
    }

    #[test]
    fn an_error_names_the_document_and_the_submission_whatever_else_is_wrong() {
        let document = "01890a5d-ac96-774b-bcce-b302099a8057";
        let cases = [
            (
                r#""revision":"one","operation":{"ops":[]}"#,
                ErrorCode::InvalidMessage,
            ),
            (
                r#""revision":-1,"operation":{"ops":[]}"#,
                ErrorCode::InvalidMessage,
            ),
            (
                r#""revision":1e999,"operation":{"ops":[]}"#,
                ErrorCode::InvalidMessage,
            ),
            (
                r#""revision":9007199254740992,"operation":{"ops":[]}"#,
                ErrorCode::InvalidMessage,
            ),
            (r#""revision":1"#, ErrorCode::InvalidMessage),
            (r#""revision":1,"operation":7"#, ErrorCode::InvalidOperation),
        ];
        for (rest, code) in cases {
            let text =
                format!(r#"{{"type":"edit_operation","documentId":"{document}","seq":7,{rest}}}"#);
            let incoming = decode(&text).unwrap().next().unwrap();
            assert_eq!(incoming.document, document.parse().ok(), "{rest}");
            let refused = incoming.message.unwrap_err();
            assert_eq!((refused.code, refused.seq), (code, Some(7)), "{rest}");
        }
    }

    #[test]
    fn numbers_and_positions_have_an_end() {
        let cases = [
            (
                r#"{"type":"cursor_update","position":9223372036854775808}"#,
                ErrorCode::OutOfRange,
            ),
            (
                r#"{"type":"cursor_update","position":18446744073709551616}"#,
                ErrorCode::OutOfRange,
            ),
            (
                r#"{"type":"cursor_update","position":-1}"#,
                ErrorCode::OutOfRange,
            ),
            (
                r#"{"type":"cursor_update","position":1.5}"#,
                ErrorCode::InvalidMessage,
            ),
            (
                r#"{"type":"cursor_update","position":"1"}"#,
                ErrorCode::InvalidMessage,
            ),
            (
                r#"{"type":"edit_operation","seq":9007199254740992,"revision":1,"operation":{"ops":[]}}"#,
                ErrorCode::InvalidMessage,
            ),
            (
                r#"{"type":"edit_operation","seq":18446744073709551615,"revision":1,"operation":{"ops":[]}}"#,
                ErrorCode::InvalidMessage,
            ),
        ];
        for (text, code) in cases {
            let incoming = decode(text).unwrap().next().unwrap();
            assert_eq!(incoming.message.unwrap_err().code, code, "{text}");
        }
        let most = r#"{"type":"cursor_update","position":9007199254740991}"#;
        assert!(decode(most).unwrap().next().unwrap().message.is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in ".{0,200}") {
            if let Ok(messages) = decode(&text) {
                let bracketed = text.contains(['{', '[']);
                prop_assert!(messages.count() == 0 || bracketed);
            }
        }

        #[test]
        fn mutated_messages_are_taken(at in any::<prop::sample::Index>(), with in any::<char>(), which in 0..4_usize) {
            let message = [
                r#"{"type":"edit_operation","seq":1,"revision":7,"operation":{"ops":[{"insert":"a"}]}}"#,
                r#"[{"type":"insert","pos":1,"text":"x\u00e9"},{"type":"delete","pos":0,"len":2}]"#,
                r#"{"type":"selection_update","anchor":1,"head":3,"revision":2}"#,
                r#"{"type":"presence_update","data":{"a":[1,2,{"b":null}]}}"#,
            ][which];
            let mut chars: Vec<char> = message.chars().collect();
            let at = at.index(chars.len());
            chars[at] = with;
            let text: String = chars.into_iter().collect();
            for incoming in decode(&text).into_iter().flatten() {
                if let Err(refused) = incoming.message {
                    prop_assert!(!refused.message.is_empty());
                }
            }
        }
    }
}
