//! The numbers that the model takes for granted, in one table, each with where it comes from.
//!
//! Rates are per second, and of one core where they say so. [`Basis`] tells what was measured from what is
//! assumed; `docs/scaling.md` prints both.

use std::fmt;

/// How much a number is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A command of this project prints it.
    Measured,
    /// It is a constant of the software.
    Code,
    /// It is a requirement of whom the model is for.
    Required,
    /// Nobody measured it: a guess that others may replace by theirs.
    Assumed,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Measured => "measured",
            Self::Code => "code",
            Self::Required => "required",
            Self::Assumed => "assumed",
        })
    }
}

/// One number of a table.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// What it is called in the code.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// How much it is worth.
    pub basis: Basis,
    /// What it is, and where it comes from.
    pub source: &'static str,
}

/// Makes a struct of numbers, its usual values, and the list of them.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($field:ident = $value:expr, $basis:ident, $source:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name {
            $(#[doc = $source] pub $field: f64,)*
        }

        impl $name {
            /// The values that the documentation uses.
            pub const USUAL: Self = Self { $($field: $value,)* };

            /// All of them, in order.
            #[must_use]
            pub fn list(&self) -> Vec<Figure> {
                vec![$(Figure {
                    name: stringify!($field),
                    value: self.$field,
                    basis: Basis::$basis,
                    source: $source,
                },)*]
            }
        }
    };
}
pub(super) use table;

table! {
    /// What machines can do.
    Figures {
        node_cores = 4.0, Assumed, "cores of a node";
        node_memory_gb = 16.0, Assumed, "memory of a node";
        scaling = 0.7, Assumed, "what each core of a larger machine does of what one did alone";
        submissions = 4_000.0, Measured, "submissions a core takes, acknowledges and appends: 0.25 ms each with 3 deliveries (`motet-bench run --database --bus nats://… --scenario documents --each 2`, time of the process)";
        deliveries = 225_000.0, Measured, "changes or presence that a core sends to sessions: 4.4 µs each, submissions included (`--editors 100 --each 10`)";
        follows = 20_000.0, Assumed, "changes of other nodes that a core takes over";
        hints = 150_000.0, Assumed, "messages of the bus that a core sends or hears";
        joins = 1_000.0, Assumed, "joins that a core answers";
        opens = 2_000.0, Assumed, "documents that a core makes of checkpoint and log";
        requests = 2_000.0, Assumed, "requests of the API that a core answers";
        sessions_most = 20_000.0, Assumed, "sessions that a node is given, whatever its cores could do";
        connection_kb = 50.0, Measured, "memory of a connection with its session (1,000 of them; to be measured again)";
        room_kb = 300.0, Assumed, "memory of an open document of ordinary size; at most 700 (242 MB of a node with 250 of them)";
        append_ms = 4.0, Assumed, "an append, seen from the room: on loopback 2.4 from send to arrival, and a network and a standby";
        hint_ms = 2.0, Assumed, "from an append until the others have heard of it";
        round_trip_ms = 1.0, Assumed, "a statement that reads one row";
        database_cores = 16.0, Assumed, "cores of a database";
        appends = 10_000.0, Assumed, "appends that a core of the log's database stores, hundreds in a statement";
        append_statements = 2_100.0, Measured, "appends that it stores, one in a statement: 0.47 ms (`--editors 100 --each 10`, time of all its processes)";
        tells = 4_000.0, Assumed, "edits that it lets tell outside: a row of the outbox, a read, and its end";
        head_rows = 150_000.0, Assumed, "heads that it looks up, thousands in a statement";
        log_reads = 6_000.0, Assumed, "reads of a checkpoint or of changes that it answers";
        catalog_reads = 8_000.0, Assumed, "statements that a core of the catalog's database answers";
        catalog_touches = 3_000.0, Assumed, "times of the last change that it stores";
        catalog_indexings = 200.0, Assumed, "texts of 8 kB that it puts into the index of search";
        audit_rows = 10_000.0, Assumed, "rows that the one chain of the audit trail takes in all, 256 at a time";
        chains = 16.0, Assumed, "chains of the audit trail once it is mended, each as fast as the one";
        audit_scans = 1_500_000.0, Assumed, "rows of the trail that a core looks through";
        bus_cores = 16.0, Assumed, "cores of the bus, one server";
        bus_in = 14_000.0, Measured, "messages that a core of the bus takes, each confirmed alone: 0.07 ms (NATS, as submissions)";
        bus_out = 100_000.0, Assumed, "messages that it hands out";
        connections_max = 1_000.0, Assumed, "connections that a database bears";
        heads_s = 3.0, Code, "between two comparisons of the heads of all open documents (`collab/heads.rs`)";
        life_s = 10.0, Code, "between two reports of who is in a room (`session/nodes.rs`)";
        lanes = 4.0, Code, "connections of a node that append (`PostgresSettings`)";
        node_connections = 28.0, Code, "most connections of a node: lanes, 8 readers, 16 of the catalog";
        watch_s = 0.5, Code, "between two looks of each node into the audit trail (`watch.rs`)";
        touch_s = 10.0, Code, "between two stored times of the last change (`upkeep.rs`)";
        index_s = 30.0, Code, "between two indexings of a text (`indexing.rs`)";
        outbox_shards = 16.0, Code, "parts of the outbox, each told by one worker at a time";
        patience_s = 30.0, Code, "how long a room bears a log that is away (`room/append.rs`)";
        races_max = 50.0, Code, "races in a row that a room loses before it closes (`room/append.rs`)";
        sessions_per_document = 2_000.0, Code, "sessions of a document on one node (a setting)";
        presence_nodes = 64.0, Code, "other nodes whose people are shown (`session/nodes.rs`)";
        join_timeout_s = 5.0, Code, "how long a client waits to be let in (`transport.ts`)";
        back_off_first_s = 0.25, Code, "the longest first pause of a client";
        back_off_most_s = 30.0, Code, "its longest pause";
        silence_least_s = 10.0, Code, "when a client finds out that its host is gone, at the earliest";
        silence_most_s = 25.0, Code, "and at the latest";
        restart_s = 5.0, Assumed, "until a node that is restarted takes connections";
        bytes_stored = 700.0, Assumed, "disk of a change: row, index, outbox; without write-ahead log";
        bytes_logged = 2_000.0, Assumed, "write-ahead log of an append";
        bytes_sent = 200.0, Assumed, "of a change on its way to one session";
    }
}

impl Figures {
    /// Core-seconds that a node has in a second.
    pub(super) fn node_capacity(&self) -> f64 {
        self.node_cores * self.scaling
    }

    /// Core-seconds that the bus has in a second.
    pub(super) fn bus_capacity(&self) -> f64 {
        self.bus_cores * self.scaling
    }

    /// Core-seconds that a database has in a second.
    pub(super) fn database_capacity(&self) -> f64 {
        self.database_cores * self.scaling
    }
}
