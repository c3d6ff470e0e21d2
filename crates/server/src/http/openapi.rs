//! The description of the REST API for programs, in OpenAPI 3.1, made from the routes themselves.
//!
//! A handler declares its parameters, its body and its own answers. What any request can meet on its
//! way, [`complete`] adds to all of them: nobody has to repeat it, or can forget it.

use axum::{Extension, body::Bytes, http::header, response::IntoResponse};
use motet_catalog::{Kind, Role as CatalogRole};
use motet_model::limits::INTEGER_MAX;
use serde::de::DeserializeOwned;
use serde_json::json;
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{
        self, Components, ContentBuilder, Ref, RefOr, ResponseBuilder,
        path::{Operation, ParameterIn, PathItem},
        schema::Schema,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use crate::auth::Scope as CredentialScope;

/// The name of the one way to say who one is.
const BEARER: &str = "bearer";

/// What the document says beside what its routes say.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Motet",
        description = "Documents that many people write at the same time. docs/protocol.md says more.",
        license(name = "MIT", identifier = "MIT"),
    ),
    components(schemas(Error))
)]
struct Outline;

/// Every refusal.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the body is written by http::error")]
pub(super) struct Error {
    error: Refused,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "as above")]
struct Refused {
    /// Permanent: docs/protocol.md lists them.
    code: String,
    /// For people who write programs.
    message: String,
    /// The same as in the header x-request-id.
    request_id: String,
}

/// The document before any route is in it.
pub(super) fn outline() -> openapi::OpenApi {
    let mut document = Outline::openapi();
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some("An access token or an API key.".to_owned());
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    add_schemas(components);
    for Refusal {
        name, description, ..
    } in REFUSALS
    {
        let error = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error")));
        let response = ResponseBuilder::new().description(description);
        let response = response.content("application/json", error.build()).build();
        components
            .responses
            .insert(name.to_owned(), response.into());
    }
    document.security = Some(vec![SecurityRequirement::new(BEARER, [""; 0])]);
    document
}

/// The finished document, as it is sent.
#[derive(Clone)]
pub(super) struct Published(Bytes);

impl Published {
    pub(super) fn new(mut document: openapi::OpenApi) -> Self {
        for (path, item) in &mut document.paths.paths {
            for operation in operations(item) {
                complete(path, operation);
            }
            if let Some(post) = &mut item.post {
                take_key(post);
            }
        }
        let json = document.to_json();
        Self(json.expect("a document has a JSON form").into())
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "describe",
    tag = "probes",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(super) async fn show(
    Extension(Published(json)): Extension<Published>,
) -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "application/json")], json)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        delete,
        patch,
        ..
    } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// Adds the refusals that do not depend on what the handler does, unless it declares them itself.
fn complete(path: &str, operation: &mut Operation) {
    let has = |place: ParameterIn| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| match parameter {
            RefOr::T(parameter) => parameter.parameter_in == place,
            RefOr::Ref(_) => false,
        })
    };
    let has_body = operation.request_body.is_some();
    let needs_token = operation.security.is_none();
    let is_api = path.starts_with("/api/");
    let met = [
        (has_body || has(ParameterIn::Query), INVALID),
        (needs_token, UNAUTHENTICATED),
        (needs_token, FORBIDDEN),
        (has(ParameterIn::Path), NOT_FOUND),
        (has_body, TOO_LARGE),
        (has_body, UNSUPPORTED),
        (is_api, TOO_MANY),
        (is_api, UNAVAILABLE),
    ];
    for (_, refusal) in met.into_iter().filter(|(met, _)| *met) {
        let responses = &mut operation.responses.responses;
        let response = || Ref::from_response_name(refusal.name).into();
        responses
            .entry(refusal.status.to_owned())
            .or_insert_with(response);
    }
}

/// Every POST with a token may have a key.
fn take_key(operation: &mut Operation) {
    let is_public = operation.security.as_deref() == Some(&[SecurityRequirement::default()]);
    let is_frame = operation.operation_id.as_deref() == Some("say");
    if is_public || is_frame {
        return;
    }
    let key = written(json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "Sent again with the same key, the request is answered again, and not done again",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    }));
    operation.parameters.get_or_insert_default().push(key);
    for refusal in [INVALID, KEY_BUSY, KEY_REUSED] {
        let responses = &mut operation.responses.responses;
        let response = || Ref::from_response_name(refusal.name).into();
        responses
            .entry(refusal.status.to_owned())
            .or_insert_with(response);
    }
}

/// A refusal that many requests can meet.
#[derive(Clone, Copy)]
struct Refusal {
    status: &'static str,
    name: &'static str,
    description: &'static str,
}

const fn refusal(status: &'static str, name: &'static str, description: &'static str) -> Refusal {
    Refusal {
        status,
        name,
        description,
    }
}

const INVALID: Refusal = refusal("400", "Invalid", "Something is missing or wrong");
const UNAUTHENTICATED: Refusal = refusal("401", "Unauthenticated", "No valid token");
const FORBIDDEN: Refusal = refusal(
    "403",
    "Forbidden",
    "The account, role or key does not allow it",
);
const NOT_FOUND: Refusal = refusal("404", "NotFound", "No such thing, or not for this caller");
const TOO_LARGE: Refusal = refusal("413", "TooLarge", "The body is over its limit");
const UNSUPPORTED: Refusal = refusal(
    "415",
    "Unsupported",
    "The body is not of a type it may have",
);
const TOO_MANY: Refusal = refusal("429", "TooMany", "Come back after Retry-After seconds");
const UNAVAILABLE: Refusal = refusal("503", "Unavailable", "Come back after Retry-After seconds");
const KEY_BUSY: Refusal = refusal("409", "Conflict", "Not as things are, or the key is in use");
const KEY_REUSED: Refusal = refusal("422", "Reused", "Another request had this key");
const REFUSALS: [Refusal; 10] = [
    KEY_BUSY,
    KEY_REUSED,
    INVALID,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    TOO_LARGE,
    UNSUPPORTED,
    TOO_MANY,
    UNAVAILABLE,
];

/// A part of the document, written as it will be read.
fn written<T: DeserializeOwned>(part: serde_json::Value) -> T {
    serde_json::from_value(part).expect("a part of a document")
}

/// A text that is one of a few words.
fn word<const N: usize>(words: [&str; N]) -> RefOr<Schema> {
    written(json!({"type": "string", "enum": words.as_slice()}))
}

/// Types of which others know what they are, and this module only how they look.
macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident = $schema:expr;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema
            }
        }

        impl ToSchema for $name {}
    )*

        /// Parameters only refer to them.
        fn add_schemas(components: &mut Components) {
            $(components.schemas.insert($name::name().into_owned(), $name::schema());)*
        }
    };
}

schemas! {
    /// A UUID of version 7.
    Id = written(json!({"type": "string", "format": "uuid"}));
    /// What somebody may do with a document.
    Role = word(CatalogRole::ALL.map(CatalogRole::as_str));
    /// A role that can be given.
    GivenRole = word(["viewer", "commenter", "editor"]);
    /// Which documents to list.
    DocumentFilter = word(["all", "owned", "shared", "trash"]);
    /// What an account is.
    AccountKind = word([Kind::Member, Kind::Guest].map(Kind::as_str));
    /// What a credential may be used for.
    Scope = word(CredentialScope::ALL.map(CredentialScope::as_str));
    /// A change of a text, or a text as the change that makes it of nothing, as quill-delta has it.
    Delta = delta();
}

fn delta() -> RefOr<Schema> {
    let len_utf16 = json!({"type": "integer", "minimum": 1, "maximum": INTEGER_MAX});
    let attributes = json!({"type": "object", "description": "null takes a format away"});
    let insert = json!({"oneOf": [{"type": "string", "minLength": 1}, {"type": "object"}]});
    written(json!({
        "type": "object",
        "required": ["ops"],
        "properties": {"ops": {"type": "array", "items": {"oneOf": [
            {
                "type": "object",
                "required": ["insert"],
                "properties": {"insert": insert, "attributes": attributes},
            },
            {
                "type": "object",
                "required": ["retain"],
                "properties": {"retain": len_utf16, "attributes": attributes},
            },
            {"type": "object", "required": ["delete"], "properties": {"delete": len_utf16}},
        ]}}},
    }))
}
