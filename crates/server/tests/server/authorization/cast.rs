//! Who calls: one caller for each way to have a right, or none, and the documents on which they
//! have it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{self, Account, Server};

/// The columns of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Shows nothing.
    Nobody,
    /// Shows a token whose signature is not the server's.
    Forged,
    Owner,
    Editor,
    Commenter,
    Viewer,
    /// Without an account, by a link for viewers.
    Guest,
    /// Of the same organization, without any right.
    Stranger,
    /// Administers another organization.
    Outsider,
    /// Administers the organization, and has no right on the document.
    Administrator,
    /// An editor by a group.
    Grouped,
    /// A viewer as everyone in the organization is.
    Everyone,
    /// A key of the owner, for reading.
    ReadKey,
    /// A key of the owner, for reading and writing.
    WriteKey,
    /// An editor whose account is disabled.
    Disabled,
}

/// What somebody may do with the content of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Read,
    /// Not even that; the code with which a connection to the document closes.
    Refused(u16),
}

impl Caller {
    /// In the order of the columns.
    pub(crate) const ALL: [Self; 15] = [
        Self::Nobody,
        Self::Forged,
        Self::Owner,
        Self::Editor,
        Self::Commenter,
        Self::Viewer,
        Self::Guest,
        Self::Stranger,
        Self::Outsider,
        Self::Administrator,
        Self::Grouped,
        Self::Everyone,
        Self::ReadKey,
        Self::WriteKey,
        Self::Disabled,
    ];

    pub(crate) const fn access(self) -> Access {
        match self {
            Self::Owner | Self::Editor | Self::Grouped | Self::WriteKey => Access::Write,
            Self::Commenter | Self::Viewer | Self::Guest | Self::Everyone | Self::ReadKey => {
                Access::Read
            }
            Self::Nobody | Self::Forged => Access::Refused(4401),
            Self::Disabled => Access::Refused(4403),
            Self::Stranger | Self::Outsider | Self::Administrator => Access::Refused(4404),
        }
    }

    /// Whether it is the document's owner, whatever it shows.
    const fn owns(self) -> bool {
        matches!(self, Self::Owner | Self::ReadKey | Self::WriteKey)
    }
}

/// A caller in person.
pub(crate) struct Person {
    pub(crate) caller: Caller,
    /// The account, if there is one.
    pub(crate) account: Option<Account>,
    pub(crate) email: Option<String>,
    /// What it shows.
    pub(crate) bearer: Option<String>,
}

/// A document, and who owns it.
pub(crate) struct Document<'s> {
    pub(crate) id: String,
    pub(crate) owner: &'s Account,
}

/// A server with two organizations and those who are needed to set up everything else.
pub(crate) struct Stage {
    pub(crate) server: Server,
    /// Administers the default organization.
    pub(crate) root: Account,
    /// Administers the other one.
    foreign_root: Account,
    /// Owns whatever the caller does not.
    pub(crate) host: Account,
    /// Somebody of the organization, whom calls are about.
    pub(crate) bystander: Account,
    group: String,
    count: AtomicU64,
    _folder: TempDir,
}

impl Stage {
    pub(crate) fn new(flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        support::administrator(folder.path(), "root");
        let other = support::motet(folder.path(), &["organization", "create", "Other"]);
        let flagged = ["--administrator", "--organization", &other];
        support::make_user(folder.path(), "foreign-root", &flagged);
        let server = Server::start(folder.path(), flags);
        let root = server.sign_in("root");
        let foreign_root = server.sign_in("foreign-root");
        let [host, bystander] = ["host", "bystander"].map(|name| server.register(name));
        let mut stage = Self {
            server,
            root,
            foreign_root,
            host,
            bystander,
            group: String::new(),
            count: AtomicU64::new(0),
            _folder: folder,
        };
        stage.group = stage.fresh_group();
        stage
    }

    /// The whole cast.
    pub(crate) fn cast(&self) -> Vec<Person> {
        let person = |caller| self.person(caller);
        Caller::ALL.into_iter().map(person).collect()
    }

    /// A number that nobody has had.
    pub(crate) fn number(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls as somebody who may.
    pub(crate) fn must(&self, who: &Account, method: &str, path: &str, body: Value) -> Value {
        let path = format!("/api/v1/{path}");
        let body = Some(body).filter(|body| !body.is_null());
        let (status, answer) = self
            .server
            .call(method, &path, Some(&who.token), body.as_ref());
        assert!((200..300).contains(&status), "{method} {path}: {answer}");
        answer
    }

    /// Somebody new for this column.
    pub(crate) fn person(&self, caller: Caller) -> Person {
        let name = format!("{caller:?}{}", self.number()).to_lowercase();
        let nameless = |account, bearer| Person {
            caller,
            account,
            email: None,
            bearer,
        };
        match caller {
            Caller::Nobody => return nameless(None, None),
            Caller::Forged => return nameless(None, Some(forged(&self.host.token))),
            Caller::Guest => {
                let guest = self.fresh_guest();
                let bearer = Some(guest.token.clone());
                return nameless(Some(guest), bearer);
            }
            _ => {}
        }
        let account = self.member(caller, &name);
        let bearer = match caller {
            Caller::ReadKey => self.key(&account, &["read"]),
            Caller::WriteKey => self.key(&account, &["read", "write"]),
            _ => account.token.clone(),
        };
        Person {
            caller,
            account: Some(account),
            email: Some(format!("{name}@example.com")),
            bearer: Some(bearer),
        }
    }

    fn member(&self, caller: Caller, name: &str) -> Account {
        if caller == Caller::Outsider {
            let wanted = json!({
                "email": format!("{name}@example.com"), "password": support::PASSWORD,
                "administrator": true,
            });
            self.must(&self.foreign_root, "POST", "admin/users", wanted);
            return self.server.sign_in(name);
        }
        let account = self.server.register(name);
        let managed = format!("admin/users/{}", account.id);
        let change = |change| self.must(&self.root, "PATCH", &managed, change);
        match caller {
            Caller::Administrator => drop(change(json!({ "administrator": true }))),
            Caller::Disabled => drop(change(json!({ "disabled": true }))),
            Caller::Grouped => {
                let path = format!("groups/{}/members/{}", self.group, account.id);
                self.must(&self.root, "PUT", &path, Value::Null);
            }
            _ => {}
        }
        account
    }

    fn key(&self, account: &Account, scopes: &[&str]) -> String {
        let wanted = json!({ "name": "Robot", "scopes": scopes });
        let key = self.must(account, "POST", "api-keys", wanted);
        key["key"].as_str().unwrap().to_owned()
    }

    /// A new document on which the person has the right of its column.
    pub(crate) fn document<'s>(&'s self, person: &'s Person) -> Document<'s> {
        let caller = person.caller;
        let owner = match &person.account {
            Some(account) if caller.owns() => account,
            _ => &self.host,
        };
        let document = Document {
            id: self.server.create(owner),
            owner,
        };
        let grant = |role: &str| {
            let account = person.account.as_ref().unwrap();
            self.grant(&document, json!({ "userId": account.id, "role": role }));
        };
        match caller {
            Caller::Editor | Caller::Disabled => grant("editor"),
            Caller::Commenter => grant("commenter"),
            Caller::Viewer => grant("viewer"),
            Caller::Grouped => {
                self.grant(
                    &document,
                    json!({ "groupId": self.group, "role": "editor" }),
                );
            }
            Caller::Everyone => {
                let path = format!("documents/{}", document.id);
                let open = json!({ "organizationRole": "viewer" });
                self.must(owner, "PATCH", &path, open);
            }
            Caller::Guest => {
                let path = format!("links/{}", text(&self.link(&document), "token"));
                self.must(person.account.as_ref().unwrap(), "POST", &path, json!({}));
            }
            _ => {}
        }
        document
    }

    pub(crate) fn grant(&self, document: &Document<'_>, grant: Value) {
        let path = format!("documents/{}/grants", document.id);
        self.must(document.owner, "POST", &path, grant);
    }

    /// A new link for viewers.
    pub(crate) fn link(&self, document: &Document<'_>) -> Value {
        let path = format!("documents/{}/links", document.id);
        self.must(document.owner, "POST", &path, json!({ "role": "viewer" }))
    }

    /// A document that is the host's alone.
    pub(crate) fn host_document(&self) -> Document<'_> {
        Document {
            id: self.server.create(&self.host),
            owner: &self.host,
        }
    }

    pub(crate) fn fresh_group(&self) -> String {
        let name = json!({ "name": format!("Group {}", self.number()) });
        text(&self.must(&self.root, "POST", "groups", name), "groupId")
    }

    pub(crate) fn fresh_guest(&self) -> Account {
        let link = self.link(&self.host_document());
        let path = format!("/api/v1/links/{}", text(&link, "token"));
        let (status, opened) = self.server.call("POST", &path, None, Some(&json!({})));
        assert_eq!(status, 200, "{opened}");
        Account::of(&opened["guest"])
    }
}

/// A field of an answer.
pub(crate) fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap().to_owned()
}

/// A token with a changed signature.
pub(crate) fn forged(token: &str) -> String {
    let (front, back) = token.split_at(token.len() - 10);
    let other = if back.starts_with('A') { "B" } else { "A" };
    format!("{front}{other}{}", &back[1..])
}
