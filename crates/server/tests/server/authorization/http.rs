//! Every endpoint, called by everyone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    authorization::cast::{Caller, Person, Stage, text},
    support::{Account, Client, EventClient, Heard, PASSWORD, Peer},
};

/// What everyone is answered: a row for each endpoint, and one more for each variant of it, which the
/// word behind the path names. The columns are those of [`Caller::ALL`].
const TABLE: &str = "
                                         non for own edi com vie gue str out adm gro eve rea wri dis
GET /healthz                             200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET /readyz                              200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET /.well-known/jwks.json               200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET openapi.json                         200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET auth/jwks                            200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
POST auth/register                       201 201 201 201 201 201 201 201 201 201 201 201 201 201 201
POST auth/login                          200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
POST auth/login self                     401 401 200 200 200 200 401 200 200 200 200 200 200 200 403
POST auth/refresh                        200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
POST auth/refresh self                   401 401 200 200 200 200 200 200 200 200 200 200 200 200 401
POST auth/logout                         204 204 204 204 204 204 204 204 204 204 204 204 204 204 204
GET auth/validate                        401 401 200 200 200 200 200 200 200 200 200 200 200 200 403
PUT auth/password                        401 401 200 200 200 200 403 200 200 200 200 200 403 403 403
GET auth/providers                       200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
POST auth/providers/{provider}/begin     404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
POST auth/providers/{provider}/finish    401 401 401 401 401 401 401 401 401 401 401 401 401 401 401
GET users/{id}                           401 401 200 200 200 200 404 200 404 200 200 200 200 200 403
GET users/{id} self                      401 401 200 200 200 200 200 200 200 200 200 200 200 200 403
PATCH users/{id}                         401 401 404 404 404 404 404 404 404 404 404 404 403 403 403
PATCH users/{id} self                    401 401 200 200 200 200 200 200 200 200 200 200 403 403 403
PUT users/{id}/avatar                    401 401 404 404 404 404 404 404 404 404 404 404 403 403 403
PUT users/{id}/avatar self               401 401 200 200 200 200 200 200 200 200 200 200 403 403 403
DELETE users/{id}/avatar                 401 401 404 404 404 404 404 404 404 404 404 404 403 403 403
DELETE users/{id}/avatar self            401 401 204 204 204 204 204 204 204 204 204 204 403 403 403
GET users/{id}/export                    401 401 404 404 404 404 404 404 404 200 404 404 404 404 403
GET users/{id}/export self               401 401 200 200 200 200 200 200 200 200 200 200 403 403 403
POST users/{id}/erase                    401 401 404 404 404 404 404 404 404 204 404 404 404 404 403
POST users/{id}/erase self               401 401 204 204 204 204 204 204 204 204 204 204 403 403 403
GET avatars/{id}                         200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET presence/{id}                        401 401 200 200 200 200 404 200 404 200 200 200 200 200 403
GET api-keys                             401 401 200 200 200 200 200 200 200 200 200 200 403 403 403
POST api-keys                            401 401 201 201 201 201 403 201 201 201 201 201 403 403 403
DELETE api-keys/{id}                     401 401 404 404 404 404 404 404 404 404 404 404 403 403 403
DELETE api-keys/{id} self                401 401 204 204 204 204 404 204 204 204 204 204 403 403 403
GET organization                         401 401 200 200 200 200 403 200 200 200 200 200 200 200 403
PATCH organization                       401 401 403 403 403 403 403 403 200 200 403 403 403 403 403
GET groups                               401 401 200 200 200 200 403 200 200 200 200 200 200 200 403
POST groups                              401 401 403 403 403 403 403 403 201 201 403 403 403 403 403
PATCH groups/{id}                        401 401 403 403 403 403 403 403 404 200 403 403 403 403 403
DELETE groups/{id}                       401 401 403 403 403 403 403 403 404 204 403 403 403 403 403
GET groups/{id}/members                  401 401 200 200 200 200 403 200 404 200 200 200 200 200 403
PUT groups/{id}/members/{user}           401 401 403 403 403 403 403 403 404 204 403 403 403 403 403
DELETE groups/{id}/members/{user}        401 401 403 403 403 403 403 403 404 204 403 403 403 403 403
GET admin/users                          401 401 403 403 403 403 403 403 200 200 403 403 403 403 403
POST admin/users                         401 401 403 403 403 403 403 403 201 201 403 403 403 403 403
PATCH admin/users/{id}                   401 401 403 403 403 403 403 403 404 200 403 403 403 403 403
GET admin/sessions                       401 401 403 403 403 403 403 403 200 200 403 403 403 403 403
DELETE admin/sessions/{id}               401 401 403 403 403 403 403 403 404 204 403 403 403 403 403
GET admin/limits                         401 401 403 403 403 403 403 403 200 200 403 403 403 403 403
GET audit                                401 401 403 403 403 403 403 403 200 200 403 403 403 403 403
GET documents                            401 401 200 200 200 200 200 200 200 200 200 200 200 200 403
POST documents                           401 401 201 201 201 201 403 201 201 201 201 201 403 201 403
GET documents/{id}                       401 401 200 200 200 200 200 404 404 404 200 200 200 200 403
PATCH documents/{id}                     401 401 200 200 403 403 403 404 404 404 200 403 403 200 403
PATCH documents/{id} open                401 401 200 403 403 403 403 404 404 404 403 403 403 403 403
DELETE documents/{id}                    401 401 204 403 403 403 403 404 404 404 403 403 403 403 403
DELETE documents/{id} permanent          401 401 204 403 403 403 403 404 404 404 403 403 403 403 403
DELETE documents/{id} trashed            401 401 404 404 404 404 404 404 404 404 404 404 404 404 403
DELETE documents/{id} trashed-permanent  401 401 204 404 404 404 404 404 404 404 404 404 403 403 403
GET documents/{id} trashed               401 401 404 404 404 404 404 404 404 404 404 404 404 404 403
POST documents/{id}/restore              401 401 404 404 404 404 404 404 404 404 404 404 404 404 403
POST documents/{id}/restore trashed      401 401 200 404 404 404 404 404 404 404 404 404 403 403 403
PATCH documents/{id}/edit                401 401 200 200 403 403 403 404 404 404 200 403 403 200 403
GET documents/{id}/changes               401 401 200 200 200 200 200 404 404 404 200 200 200 200 403
GET documents/{id}/audit                 401 401 200 403 403 403 403 404 404 200 403 403 403 403 403
GET documents/{id}/grants                401 401 200 403 403 403 403 404 404 404 403 403 403 403 403
POST documents/{id}/grants               401 401 201 403 403 403 403 404 404 404 403 403 403 403 403
POST documents/{id}/grants group         401 401 201 403 403 403 403 404 404 404 403 403 403 403 403
DELETE documents/{id}/grants/{whom}      401 401 204 403 403 403 403 404 404 404 403 403 403 403 403
DELETE documents/{id}/grants/{whom} self 401 401 404 204 204 204 204 404 404 404 404 404 403 404 403
GET documents/{id}/links                 401 401 200 403 403 403 403 404 404 404 403 403 403 403 403
POST documents/{id}/links                401 401 201 403 403 403 403 404 404 404 403 403 403 403 403
DELETE documents/{id}/links/{link}       401 401 204 403 403 403 403 404 404 404 403 403 403 403 403
GET links/{token}                        200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
POST links/{token}                       200 401 200 200 200 200 200 200 403 200 200 200 403 200 403
GET documents/{id}/events                200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
POST documents/{id}/messages             401 401 204 204 204 204 204 410 410 410 204 204 204 204 403
POST documents/{id}/messages other       401 401 410 410 410 410 410 410 410 410 410 410 410 410 403
POST documents/{id}/messages signed-in   401 401 204 204 204 204 204 410 410 410 204 204 410 410 403
";

/// An endpoint, or a variant of one, and what everyone is answered.
struct Row {
    method: &'static str,
    /// As the row says it.
    template: &'static str,
    /// What is special about it, if anything.
    variant: &'static str,
    statuses: Vec<u16>,
}

/// A call that is ready to be made.
#[derive(Default)]
struct Call {
    path: String,
    body: Option<String>,
    /// What must be there until the call is over.
    _live: Option<Live>,
}

/// A connection that somebody holds.
enum Live {
    Socket(#[expect(dead_code, reason = "it is only held")] Client),
    Events(#[expect(dead_code, reason = "it is only held")] EventClient),
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().filter(|line| !line.is_empty()).skip(1);
    let row = |line: &'static str| {
        let mut words = line.split_whitespace().peekable();
        let (method, template) = (words.next().unwrap(), words.next().unwrap());
        let is_status = |word: &&str| word.starts_with(|char: char| char.is_ascii_digit());
        let variant = words.next_if(|word| !is_status(word)).unwrap_or_default();
        let statuses: Vec<_> = words.map(|word| word.parse().unwrap()).collect();
        assert_eq!(statuses.len(), Caller::ALL.len(), "{line}");
        Row {
            method,
            template,
            variant,
            statuses,
        }
    };
    lines.map(row).collect()
}

impl Row {
    /// The path as the description of the API has it.
    fn full_template(&self) -> String {
        match self.template.starts_with('/') {
            true => self.template.to_owned(),
            false => format!("/api/v1/{}", self.template),
        }
    }

    /// Sets up what the call is about, anew, and makes it ready for the person.
    async fn prepare(&self, stage: &Stage, person: &Person) -> Call {
        let mut call = Call {
            path: self.full_template(),
            body: self.body(stage, person),
            _live: None,
        };
        let (kind, _) = self.template.split_once('/').unwrap_or((self.template, ""));
        match kind {
            "documents" if self.template.contains("{id}") => {
                self.about_document(stage, person, &mut call).await;
            }
            "links" => call.fill(
                "{token}",
                &text(&stage.link(&stage.host_document()), "token"),
            ),
            "groups" => self.about_group(stage, &mut call),
            "auth" => call.fill("{provider}", "nowhere"),
            "avatars" => call.fill("{id}", &picture(stage)),
            "api-keys" => {
                let own = person.account.as_ref().filter(|_| {
                    self.variant == "self"
                        && !matches!(person.caller, Caller::Guest | Caller::Disabled)
                });
                let wanted = json!({ "name": "Robot", "scopes": ["read"] });
                let key = || stage.must(own.unwrap_or(&stage.host), "POST", "api-keys", wanted);
                if self.template.contains("{id}") {
                    call.fill("{id}", &text(&key(), "apiKeyId"));
                }
            }
            "admin" if self.template == "admin/sessions/{id}" => {
                let document = stage.server.create(&stage.host);
                let (client, state) = stage.server.join(&stage.host, &document, "c").await;
                call.fill("{id}", &text(&state, "sessionId"));
                call._live = Some(Live::Socket(client));
            }
            "admin" | "users" | "presence" => {
                let own = person.account.as_ref().filter(|_| self.variant == "self");
                let is_lost = matches!(self.template, "admin/users/{id}" | "users/{id}/erase");
                let id = match own {
                    Some(account) => account.id.clone(),
                    None if is_lost => stage.fresh_guest().id,
                    None => stage.bystander.id.clone(),
                };
                call.fill("{id}", &id);
            }
            _ => {}
        }
        assert!(!call.path.contains('{'), "{}", call.path);
        call
    }

    async fn about_document(&self, stage: &Stage, person: &Person, call: &mut Call) {
        let document = stage.document(person);
        call.fill("{id}", &document.id);
        let path = format!("documents/{}", document.id);
        match self.template {
            "documents/{id}/grants/{whom}" => {
                let own = person.account.as_ref().filter(|_| self.variant == "self");
                let bystander = json!({ "userId": stage.bystander.id, "role": "viewer" });
                stage.grant(&document, bystander);
                call.fill("{whom}", &own.unwrap_or(&stage.bystander).id);
            }
            "documents/{id}/links/{link}" => {
                call.fill("{link}", &text(&stage.link(&document), "linkId"));
            }
            "documents/{id}/messages" => {
                // Whoever cannot open a connection knows of one by chance.
                let token = match self.variant {
                    "other" => &stage.bystander.token,
                    "signed-in" if let Some(account) = &person.account => &account.token,
                    _ if person.account.is_none() => &document.owner.token,
                    _ => person.bearer.as_ref().unwrap(),
                };
                if self.variant == "other" {
                    let bystander = json!({ "userId": stage.bystander.id, "role": "editor" });
                    stage.grant(&document, bystander);
                }
                let mut client = stage.server.listen(&document.id, "clientId=c", token).await;
                loop {
                    match client.next().await {
                        Heard::Message(message) if message["type"] == "document_state" => break,
                        Heard::Message(_) => {}
                        Heard::Closed(_) => break,
                    }
                }
                let connection = client.connection.clone().unwrap_or_default();
                call.path += &format!("?connection={connection}&frame=1");
                call._live = Some(Live::Events(client));
            }
            _ => {}
        }
        if self.variant.starts_with("trashed") {
            stage.must(document.owner, "DELETE", &path, Value::Null);
        }
        if self.variant.ends_with("permanent") {
            call.path += "?permanent=true";
        }
    }

    fn about_group(&self, stage: &Stage, call: &mut Call) {
        if !self.template.contains("{id}") {
            return;
        }
        let group = stage.fresh_group();
        call.fill("{id}", &group);
        if self.template.ends_with("{user}") {
            let member = format!("groups/{group}/members/{}", stage.bystander.id);
            if self.method == "DELETE" {
                stage.must(&stage.root, "PUT", &member, Value::Null);
            }
            call.fill("{user}", &stage.bystander.id);
        }
    }

    /// A body with which the call succeeds.
    fn body(&self, stage: &Stage, person: &Person) -> Option<String> {
        let refresh = |account: &Account| json!({ "refreshToken": account.refresh });
        let own = person.account.as_ref().filter(|_| self.variant == "self");
        let body = match (self.method, self.template) {
            ("POST", "auth/register" | "admin/users") => {
                let email = format!("new{}@example.com", stage.number());
                json!({ "email": email, "password": PASSWORD })
            }
            ("POST", "auth/login") => {
                let email = match (self.variant, &person.email) {
                    ("self", Some(email)) => email.as_str(),
                    ("self", None) => "nobody@example.com",
                    _ => "bystander@example.com",
                };
                json!({ "email": email, "password": PASSWORD })
            }
            ("POST", "auth/refresh") if self.variant == "self" => match own {
                Some(account) => refresh(account),
                None => json!({ "refreshToken": "guess" }),
            },
            ("POST", "auth/refresh" | "auth/logout") => refresh(&stage.fresh_guest()),
            ("PUT", "auth/password") => {
                json!({ "password": PASSWORD, "newPassword": "a better password" })
            }
            ("POST", "auth/providers/{provider}/finish") => json!({ "code": "c", "state": "s" }),
            ("PATCH", "users/{id}") => json!({ "color": 7 }),
            ("PUT", "users/{id}/avatar") => return Some(PICTURE.to_owned()),
            ("POST", "users/{id}/erase") if self.variant == "self" => {
                json!({ "password": PASSWORD })
            }
            ("POST", "api-keys") => json!({ "name": "Robot", "scopes": ["read"] }),
            ("PATCH", "organization" | "groups/{id}") | ("POST", "groups") => {
                json!({ "name": "New name" })
            }
            ("PATCH", "admin/users/{id}") => json!({ "disabled": true }),
            ("PATCH", "documents/{id}") if self.variant == "open" => {
                json!({ "organizationRole": "commenter" })
            }
            ("PATCH", "documents/{id}") | ("POST", "documents") => json!({ "title": "New" }),
            ("PATCH", "documents/{id}/edit") => {
                json!({ "changes": { "ops": [{ "insert": "x" }] }, "clientVersion": 0 })
            }
            ("POST", "documents/{id}/grants") if self.variant == "group" => {
                json!({ "groupId": stage.fresh_group(), "role": "viewer" })
            }
            ("POST", "documents/{id}/grants") => {
                json!({ "userId": stage.bystander.id, "role": "viewer" })
            }
            ("POST", "documents/{id}/links") => json!({ "role": "viewer" }),
            ("POST", "documents/{id}/messages") => json!({ "type": "ping" }),
            ("POST", "documents/{id}/restore") | ("GET" | "DELETE", _) => return None,
            ("PUT", "groups/{id}/members/{user}") => return None,
            ("POST", _) => json!({}),
            _ => panic!("what is the body of {} {}?", self.method, self.template),
        };
        Some(body.to_string())
    }

    /// The status that the person is answered.
    async fn status(&self, stage: &Stage, person: &Person) -> u16 {
        let fresh;
        let person = if self.spends_caller() {
            fresh = stage.person(person.caller);
            &fresh
        } else {
            person
        };
        let call = self.prepare(stage, person).await;
        let bearer = person.bearer.as_deref();
        if self.template == "documents/{id}/events" {
            // The stream of one who is let in does not end: `listen` looks at the status.
            let id = call.path.split('/').nth(4).unwrap();
            let token = bearer.unwrap_or_default();
            let _stream = stage.server.listen(id, "clientId=c", token).await;
            return 200;
        }
        let authorization = bearer.map(|bearer| ("authorization", format!("Bearer {bearer}")));
        let mut headers: Vec<_> = authorization.into_iter().collect();
        if self.template == "users/{id}/avatar" {
            headers.push(("content-type", "image/webp".to_owned()));
        }
        let body = call.body.as_deref();
        let answer = stage.server.raw(self.method, &call.path, &headers, body);
        answer.0
    }

    /// Whether a caller for whom it succeeds is another one afterwards.
    fn spends_caller(&self) -> bool {
        let spends = ["auth/password", "auth/refresh", "users/{id}/erase"];
        spends.contains(&self.template) && (self.variant == "self" || self.method == "PUT")
    }
}

impl Call {
    fn fill(&mut self, name: &str, value: &str) {
        self.path = self.path.replace(name, value);
    }
}

/// A picture of the host's.
fn picture(stage: &Stage) -> String {
    let path = format!("/api/v1/users/{}/avatar", stage.host.id);
    let headers = [
        ("authorization", format!("Bearer {}", stage.host.token)),
        ("content-type", "image/webp".to_owned()),
    ];
    let (status, _, answer) = stage.server.raw("PUT", &path, &headers, Some(PICTURE));
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let url = text(&answer, "avatarUrl");
    url.rsplit('/').next().unwrap().to_owned()
}

/// What looks like a picture from its beginning.
const PICTURE: &str = "RIFF\0\0\0\0WEBPVP8 ";

#[test]
fn the_table_has_every_endpoint() {
    let stage = Stage::new(&[]);
    let (_, described) = stage.server.call("GET", "/api/v1/openapi.json", None, None);
    let mut endpoints = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            endpoints.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let rows = rows().into_iter();
    let rows: BTreeSet<_> = rows
        .map(|row| format!("{} {}", row.method, row.full_template()))
        .collect();
    let untested: Vec<_> = endpoints.difference(&rows).collect();
    assert!(untested.is_empty(), "not in the table: {untested:?}");
    let gone: Vec<_> = rows.difference(&endpoints).collect();
    assert!(gone.is_empty(), "not in the API: {gone:?}");
}

/// All wrong cells are told at once: which of them are wrong often says why.
#[tokio::test]
async fn everyone_is_answered_as_the_table_says() {
    let stage = Stage::new(&[]);
    let cast = stage.cast();
    let mut wrong = String::new();
    for row in rows() {
        for (person, expected) in cast.iter().zip(&row.statuses) {
            let status = row.status(&stage, person).await;
            if status != *expected {
                let Row {
                    method,
                    template,
                    variant,
                    ..
                } = row;
                let who = person.caller;
                wrong += &format!(
                    "\n{method} {template} {variant}: {who:?} gets {status}, not {expected}"
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
