//! The audit trail: every act that matters for security, and every act on a document.
//!
//! A row and what it tells of are stored in one transaction. Each row is hashed with the one before it,
//! so a row that is changed, removed or put in is found by [`Catalog::verify_audit`].
//!
//! # Invariants
//!
//! - **append-only**: rows are only added; `seq` is 1, 2, 3, …
//! - **chained**: `hash` is over the hash before and everything else in the row.
//! - **pseudonymous**: no name, address or text of a person is in the chain. Ids are, and a nonced hash of
//!   the network address; what they refer to can be erased.

use motet_model::{DocumentId, OrganizationId, UserId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row, Transaction, any::AnyRow};

use crate::{
    AuditAction, Catalog, CatalogError,
    database::Database,
    hex,
    holds::{self, Held},
    parsed, sought, stored, time,
};

/// Rows that a verification reads at a time.
const VERIFY_ROWS: i64 = 1_000;
/// Rows that one statement adds.
const INSERT_ROWS: usize = 256;

/// Who acts, from where, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The account; `None` if nobody is signed in, or the operator acts on the command line.
    pub user: Option<UserId>,
    /// The organization in which it happens.
    pub organization: OrganizationId,
    /// The network address, or empty.
    pub address: String,
    /// Random bytes, so that the address cannot be found from its hash.
    pub nonce: [u8; 16],
    /// When, in ms since the Unix epoch.
    pub at_ms: u64,
}

/// What is to be noted of an act.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    action: AuditAction,
    document: Option<DocumentId>,
    user: Option<UserId>,
    details: Value,
}

impl Entry {
    /// Notes the act itself.
    #[must_use]
    pub const fn new(action: AuditAction) -> Self {
        Self {
            action,
            document: None,
            user: None,
            details: Value::Null,
        }
    }

    /// On this document.
    #[must_use]
    pub const fn document(mut self, id: DocumentId) -> Self {
        self.document = Some(id);
        self
    }

    /// Upon this account.
    #[must_use]
    pub const fn user(mut self, id: UserId) -> Self {
        self.user = Some(id);
        self
    }

    /// What was done.
    #[must_use]
    pub const fn action(&self) -> AuditAction {
        self.action
    }

    /// With one more detail.
    #[must_use]
    pub fn detail(mut self, name: &str, value: Value) -> Self {
        if !self.details.is_object() {
            self.details = Value::Object(serde_json::Map::new());
        }
        self.details[name] = value;
        self
    }

    /// With these details: ids, roles and numbers, and no text of a person.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

/// A row of the trail.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// Its place: 1, 2, 3, …
    pub seq: u64,
    /// When.
    pub at_ms: u64,
    /// Who, if anybody was signed in.
    pub actor: Option<UserId>,
    /// Their name today.
    pub actor_name: Option<String>,
    /// What.
    pub action: String,
    /// On which document.
    pub document: Option<DocumentId>,
    /// Its title today.
    pub document_title: Option<String>,
    /// Upon whom.
    pub user: Option<UserId>,
    /// Their name today.
    pub user_name: Option<String>,
    /// What else there is to know.
    pub details: Value,
    /// From where, if known and not erased.
    pub address: Option<String>,
}

/// An act as far as it concerns those who were not there: what it was done to.
#[derive(Clone, Debug, PartialEq)]
pub struct PastAct {
    /// What.
    pub action: AuditAction,
    /// In which organization.
    pub organization: OrganizationId,
    /// Who, if anybody was signed in.
    pub actor: Option<UserId>,
    /// On which document.
    pub document: Option<DocumentId>,
    /// Upon whom.
    pub user: Option<UserId>,
    /// What else there is to know.
    pub details: Value,
}

impl PastAct {
    fn from_row(row: &AnyRow, actions: &[AuditAction]) -> Result<Self, CatalogError> {
        let text = |column| row.try_get::<String, _>(column);
        let name = text("action")?;
        let action = actions.iter().find(|action| action.as_str() == name);
        let action = action.ok_or_else(|| CatalogError::Unavailable("an unasked action".into()))?;
        Ok(Self {
            action: *action,
            organization: parsed(row, "organization_id")?,
            actor: text("actor_id")?.parse().ok(),
            document: text("document_id")?.parse().ok(),
            user: text("user_id")?.parse().ok(),
            details: serde_json::from_str(&text("details")?).unwrap_or_default(),
        })
    }
}

/// Which rows to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this organization.
    pub organization: Option<OrganizationId>,
    /// On this document.
    pub document: Option<DocumentId>,
    /// By this account, or upon it.
    pub user: Option<UserId>,
    /// With an action that begins so.
    pub action: String,
    /// From before this `seq`.
    pub before: Option<u64>,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Every row is as it was written. The hash is that of the last: whoever keeps it elsewhere can tell
    /// later that none was removed at the end.
    Intact {
        /// How many.
        rows: u64,
        /// The last row's.
        hash: String,
    },
    /// This row, or one at its place, was changed, removed or put in.
    Broken {
        /// The first such place.
        seq: u64,
        /// What is wrong there.
        why: &'static str,
    },
}

/// An act under way: a transaction, and what is to be noted of it. Dropped, it changes nothing.
pub(crate) struct Act<'a> {
    transaction: Transaction<'static, Any>,
    database: Database,
    actor: &'a Actor,
    noted: Vec<(&'a Actor, Entry)>,
    head: Option<Head>,
}

/// The end of the trail.
pub(crate) struct Head {
    seq: i64,
    hash: String,
}

impl Act<'_> {
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    pub(crate) fn actor(&self) -> &Actor {
        self.actor
    }

    /// Holds a row until the act ends.
    pub(crate) async fn hold(&mut self, row: Held, by: impl ToString) -> Result<(), CatalogError> {
        holds::hold(&mut self.transaction, row, by).await
    }

    /// Holds a name until the act ends.
    pub(crate) async fn hold_name(&mut self, name: &str) -> Result<(), CatalogError> {
        holds::hold_name(&mut self.transaction, name).await
    }

    /// Takes the end of the trail: all other acts wait before theirs until this one is stored. Committing
    /// does so, as late as can be; earlier does only who has to come between others' rows.
    pub(crate) async fn take_head(&mut self) -> Result<&mut Head, CatalogError> {
        let taken = match self.head.take() {
            Some(head) => head,
            None => {
                let row = sqlx::query(holds::head(self.database))
                    .fetch_one(&mut *self.transaction)
                    .await?;
                let (seq, hash) = (row.try_get("seq")?, row.try_get("hash")?);
                Head { seq, hash }
            }
        };
        Ok(self.head.insert(taken))
    }

    /// Notes the act, and stores everything.
    pub(crate) async fn commit(mut self, entry: Entry) -> Result<(), CatalogError> {
        self.noted.push((self.actor, entry));
        self.commit_noted().await
    }

    /// Stores everything that was noted.
    async fn commit_noted(mut self) -> Result<(), CatalogError> {
        let noted = std::mem::take(&mut self.noted);
        let head = self.take_head().await?;
        let mut rows = Vec::with_capacity(noted.len());
        for (actor, entry) in &noted {
            let row = Link::after(head, actor, entry);
            head.seq = row.seq;
            head.hash.clone_from(&row.hash);
            rows.push((row, *actor));
        }
        let (seq, hash) = (head.seq, head.hash.clone());
        for rows in rows.chunks(INSERT_ROWS) {
            insert(&mut self.transaction, rows).await?;
        }
        sqlx::query("UPDATE audit_head SET seq = $1, hash = $2 WHERE id = 1")
            .bind(seq)
            .bind(hash)
            .execute(&mut *self.transaction)
            .await?;
        Ok(self.transaction.commit().await?)
    }
}

/// Adds rows and the addresses that they came from: two statements, since all others wait meanwhile.
async fn insert(
    connection: &mut AnyConnection,
    rows: &[(Link, &Actor)],
) -> Result<(), CatalogError> {
    // Statements of many rows come in many lengths, which are not worth remembering.
    let remembered = rows.len() == 1;
    let audit = format!(
        "INSERT INTO audit (seq, at_ms, organization_id, actor_id, action, document_id, user_id,
                            details, address_hash, hash)
         VALUES {}",
        places(rows.len(), 10)
    );
    let mut query = sqlx::query(AssertSqlSafe(audit)).persistent(remembered);
    for (row, _) in rows {
        query = query.bind(row.seq).bind(row.at_ms);
        query = query.bind(&row.organization).bind(&row.actor);
        query = query.bind(&row.action).bind(&row.document).bind(&row.user);
        query = query.bind(&row.details).bind(&row.address_hash);
        query = query.bind(&row.hash);
    }
    query.execute(&mut *connection).await?;
    let with_address = rows.iter().filter(|(row, _)| !row.address_hash.is_empty());
    let with_address: Vec<_> = with_address.collect();
    if with_address.is_empty() {
        return Ok(());
    }
    // What is noted late of a person who was erased meanwhile must not bring their address back.
    let addresses = format!(
        "INSERT INTO audit_addresses (seq, nonce, address)
         SELECT a.column1, a.column2, a.column3 FROM (VALUES {}) AS a
         WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = a.column4 AND u.kind = 'erased')",
        places(with_address.len(), 4)
    );
    let mut query = sqlx::query(AssertSqlSafe(addresses)).persistent(remembered);
    for (row, actor) in with_address {
        let person = if row.actor.is_empty() {
            &row.user
        } else {
            &row.actor
        };
        query = query.bind(row.seq).bind(hex(&actor.nonce));
        query = query.bind(&actor.address).bind(person);
    }
    query.execute(connection).await?;
    Ok(())
}

/// `($1, $2), ($3, $4)`: the places of so many rows of so many values.
pub(crate) fn places(rows: usize, values: usize) -> String {
    let row = |row: usize| {
        let places = (1..=values).map(|value| format!("${}", row * values + value));
        format!("({})", places.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

impl Catalog {
    /// Begins an act. What it reads and goes by it has to hold (see `holds`).
    pub(crate) async fn act<'a>(&self, actor: &'a Actor) -> Result<Act<'a>, CatalogError> {
        Ok(Act {
            transaction: self.begin().await?,
            database: self.database,
            actor,
            noted: Vec::new(),
            head: None,
        })
    }

    /// Notes what changed nothing here, all in one transaction.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn note(&self, acts: &[(Actor, Entry)]) -> Result<(), CatalogError> {
        let Some((first, _)) = acts.first() else {
            return Ok(());
        };
        let mut act = self.act(first).await?;
        let noted = acts.iter().map(|(actor, entry)| (actor, entry.clone()));
        act.noted.extend(noted);
        act.commit_noted().await
    }

    /// The rows that pass the filter, the latest first.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditRow>, CatalogError> {
        // Only what is asked for, so that each question finds its index.
        let mut conditions = String::new();
        let mut asked = Vec::new();
        for (condition, id) in [
            (
                "a.organization_id = $",
                filter.organization.map(|id| id.to_string()),
            ),
            (
                "a.document_id = $",
                filter.document.map(|id| id.to_string()),
            ),
            (
                "a.seq IN (SELECT seq FROM audit WHERE actor_id = $
                           UNION SELECT seq FROM audit WHERE user_id = $)",
                filter.user.map(|id| id.to_string()),
            ),
        ] {
            if let Some(id) = id {
                asked.push(id);
                let place = format!("${}", asked.len() + 3);
                conditions.push_str(" AND ");
                conditions.push_str(&condition.replace('$', &place));
            }
        }
        // What rows of an organization name, but is another's, stays without a name.
        let query = sqlx::query(AssertSqlSafe(format!(
            "SELECT a.seq, a.at_ms, a.actor_id, a.action, a.document_id, a.user_id, a.details,
                    COALESCE(p.address, '') AS address, COALESCE(actor.name, '') AS actor_name,
                    COALESCE(person.name, '') AS user_name, COALESCE(d.title, '') AS title
             FROM audit a
             LEFT JOIN audit_addresses p ON p.seq = a.seq
             LEFT JOIN users actor ON actor.id = a.actor_id
               AND actor.organization_id = a.organization_id
             LEFT JOIN users person ON person.id = a.user_id
               AND person.organization_id = a.organization_id
             LEFT JOIN documents d ON d.id = a.document_id
               AND d.organization_id = a.organization_id
             WHERE a.seq < $1 AND ($2 = '' OR substr(a.action, 1, length($2)) = $2){conditions}
             ORDER BY a.seq DESC LIMIT $3"
        )))
        .bind(filter.before.map_or(i64::MAX, stored))
        .bind(sought(&filter.action))
        .bind(i64::from(limit));
        let query = asked.into_iter().fold(query, |query, id| query.bind(id));
        let rows = query.fetch_all(&mut *self.pool.connection().await?).await?;
        rows.iter().map(AuditRow::from_row).collect()
    }

    /// How far the trail goes.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn audit_seq(&self) -> Result<u64, CatalogError> {
        let head = sqlx::query("SELECT seq FROM audit_head WHERE id = 1")
            .fetch_one(&mut *self.pool.connection().await?)
            .await?;
        time(&head, "seq")
    }

    /// The acts of these kinds that were noted after the row `after`, in order; and how far the trail goes.
    /// Rows become visible in their order, so whoever asks again from there misses none.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn acts_after(
        &self,
        after: u64,
        actions: &[AuditAction],
    ) -> Result<(Vec<PastAct>, u64), CatalogError> {
        let seq = self.audit_seq().await?;
        if seq <= after {
            return Ok((Vec::new(), seq));
        }
        let places: Vec<_> = (3..3 + actions.len()).map(|at| format!("${at}")).collect();
        let sql = format!(
            "SELECT action, organization_id, actor_id, document_id, user_id, details FROM audit
             WHERE seq > $1 AND seq <= $2 AND action IN ({}) ORDER BY seq",
            places.join(", ")
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(stored(after));
        let query = actions
            .iter()
            .fold(query.bind(stored(seq)), |query, action| {
                query.bind(action.as_str())
            });
        let rows = query.fetch_all(&mut *self.pool.connection().await?).await?;
        let acts = rows.iter().map(|row| PastAct::from_row(row, actions));
        Ok((acts.collect::<Result<_, _>>()?, seq))
    }

    /// Checks every row of the chain, oldest first.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn verify_audit(&self) -> Result<Verification, CatalogError> {
        let mut expected = 1;
        let mut before = String::new();
        loop {
            let rows = sqlx::query(
                "SELECT a.*, COALESCE(p.nonce, '') AS nonce, COALESCE(p.address, '') AS address
                 FROM audit a LEFT JOIN audit_addresses p ON p.seq = a.seq
                 WHERE a.seq >= $1 ORDER BY a.seq LIMIT $2",
            )
            .bind(expected)
            .bind(VERIFY_ROWS)
            .fetch_all(&mut *self.pool.connection().await?)
            .await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let link = Link::from_row(row)?;
                if let Some(why) = link.fault(row, expected, &before)? {
                    let seq = u64::try_from(expected).unwrap_or_default();
                    return Ok(Verification::Broken { seq, why });
                }
                before = link.hash;
                expected += 1;
            }
        }
        let head = sqlx::query("SELECT seq, hash FROM audit_head WHERE id = 1")
            .fetch_one(&mut *self.pool.connection().await?)
            .await?;
        let (seq, hash): (i64, String) = (head.try_get("seq")?, head.try_get("hash")?);
        // Acts may have been noted since the last page; a row that is gone makes the chain shorter.
        if seq < expected - 1 || (seq == expected - 1 && hash != before) {
            let seq = u64::try_from(seq).unwrap_or_default();
            let why = "the end of the chain is not what was noted last";
            return Ok(Verification::Broken { seq, why });
        }
        if seq > expected - 1 && !self.has_audit_row(expected).await? {
            let seq = u64::try_from(expected).unwrap_or_default();
            let why = "rows are missing at the end";
            return Ok(Verification::Broken { seq, why });
        }
        Ok(Verification::Intact {
            rows: u64::try_from(expected - 1).unwrap_or_default(),
            hash: before,
        })
    }

    /// From where the account acted, and from where somebody tried to sign in to it; each address once.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn audit_addresses(&self, user: UserId) -> Result<Vec<String>, CatalogError> {
        let rows = sqlx::query(
            "SELECT DISTINCT p.address FROM audit_addresses p JOIN audit a ON a.seq = p.seq
             WHERE a.seq IN (SELECT seq FROM audit WHERE actor_id = $1 UNION
                             SELECT seq FROM audit WHERE user_id = $1 AND actor_id = '')",
        )
        .bind(user.to_string())
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let addresses = rows.iter().map(|row| Ok(row.try_get("address")?));
        addresses.collect()
    }

    /// Forgets the network addresses of acts from before this time that belong to no organization. Their
    /// rows stay.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_strangers_addresses_before(
        &self,
        before_ms: u64,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.begin().await?;
        // An erasure removes some of the same in another order: of the two, one waits here.
        sqlx::query(holds::head(self.database))
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query(
            "DELETE FROM audit_addresses WHERE seq IN
               (SELECT seq FROM audit WHERE organization_id = $1 AND at_ms < $2)",
        )
        .bind(OrganizationId::NONE.to_string())
        .bind(stored(before_ms))
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// The hash of the row at this place.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn audit_hash(&self, seq: u64) -> Result<Option<String>, CatalogError> {
        let row = sqlx::query("SELECT hash FROM audit WHERE seq = $1")
            .bind(stored(seq))
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        Ok(row.map(|row| row.try_get("hash")).transpose()?)
    }

    async fn has_audit_row(&self, seq: i64) -> Result<bool, CatalogError> {
        let row = sqlx::query("SELECT seq FROM audit WHERE seq = $1")
            .bind(seq)
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        Ok(row.is_some())
    }
}

/// A row as it is hashed.
struct Link {
    seq: i64,
    at_ms: i64,
    organization: String,
    actor: String,
    action: String,
    document: String,
    user: String,
    details: String,
    address_hash: String,
    hash: String,
}

impl Link {
    /// The row that comes after the last one.
    fn after(head: &Head, actor: &Actor, entry: &Entry) -> Self {
        let text = |id: Option<String>| id.unwrap_or_default();
        let address_hash = if actor.address.is_empty() {
            String::new()
        } else {
            address_hash(&hex(&actor.nonce), &actor.address)
        };
        let mut row = Self {
            seq: head.seq + 1,
            at_ms: stored(actor.at_ms),
            organization: actor.organization.to_string(),
            actor: text(actor.user.map(|id| id.to_string())),
            action: entry.action.as_str().to_owned(),
            document: text(entry.document.map(|id| id.to_string())),
            user: text(entry.user.map(|id| id.to_string())),
            details: match &entry.details {
                Value::Null => String::new(),
                details => details.to_string(),
            },
            address_hash,
            hash: String::new(),
        };
        row.hash = row.hashed(&head.hash);
        row
    }

    fn from_row(row: &AnyRow) -> Result<Self, CatalogError> {
        Ok(Self {
            seq: row.try_get("seq")?,
            at_ms: row.try_get("at_ms")?,
            organization: row.try_get("organization_id")?,
            actor: row.try_get("actor_id")?,
            action: row.try_get("action")?,
            document: row.try_get("document_id")?,
            user: row.try_get("user_id")?,
            details: row.try_get("details")?,
            address_hash: row.try_get("address_hash")?,
            hash: row.try_get("hash")?,
        })
    }

    /// Each part with its length before it, so that no two rows are hashed as the same bytes.
    fn hashed(&self, before: &str) -> String {
        let numbers = [self.seq.to_string(), self.at_ms.to_string()];
        let mut digest = Sha256::new();
        for part in [
            before,
            &numbers[0],
            &numbers[1],
            &self.organization,
            &self.actor,
            &self.action,
            &self.document,
            &self.user,
            &self.details,
            &self.address_hash,
        ] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hex(&digest.finalize())
    }

    /// What is wrong with the row, if anything is.
    fn fault(
        &self,
        row: &AnyRow,
        expected: i64,
        before: &str,
    ) -> Result<Option<&'static str>, CatalogError> {
        if self.seq != expected {
            return Ok(Some("a row is missing"));
        }
        if self.hash != self.hashed(before) {
            return Ok(Some("the row is not as it was written"));
        }
        let (nonce, address): (String, String) = (row.try_get("nonce")?, row.try_get("address")?);
        // An address that is gone was erased with the person.
        if !nonce.is_empty() && self.address_hash != address_hash(&nonce, &address) {
            return Ok(Some("the row's address is not as it was written"));
        }
        Ok(None)
    }
}

fn address_hash(nonce: &str, address: &str) -> String {
    hex(&Sha256::digest(format!("{nonce} {address}")))
}

impl AuditRow {
    fn from_row(row: &AnyRow) -> Result<Self, CatalogError> {
        let text = |column: &str| -> Result<Option<String>, CatalogError> {
            let text: String = row.try_get(column)?;
            Ok(Some(text).filter(|text| !text.is_empty()))
        };
        let id = |column: &str| -> Result<Option<UserId>, CatalogError> {
            text(column)?.map(|_| parsed(row, column)).transpose()
        };
        let details = text("details")?.unwrap_or_default();
        Ok(Self {
            seq: time(row, "seq")?,
            at_ms: time(row, "at_ms")?,
            actor: id("actor_id")?,
            actor_name: text("actor_name")?,
            action: row.try_get("action")?,
            document: text("document_id")?
                .map(|_| parsed(row, "document_id"))
                .transpose()?,
            document_title: text("title")?,
            user: id("user_id")?,
            user_name: text("user_name")?,
            details: serde_json::from_str(&details).unwrap_or(Value::Null),
            address: text("address")?,
        })
    }
}
