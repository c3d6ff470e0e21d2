//! Two replicas: one takes what comes, and the other what the first says was new of it.

use motet_crdt::{Options, Received, Replica, Shape, StateVector, Version, clients_of_update};
use motet_ot::Delta;

pub(crate) struct Twins {
    pub(crate) first: Replica,
    pub(crate) second: Replica,
    steps: usize,
}

impl Twins {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            first: Replica::new(options),
            second: Replica::new(options),
            steps: 0,
        }
    }

    /// Takes an update, and checks the law: what was new leads the second to the same, and the same again
    /// brings nothing.
    pub(crate) fn receive(&mut self, update: &[u8], version: Version) -> Received {
        let before = self.first.state_vector();
        let received = self
            .first
            .receive_update(update, version, "content")
            .unwrap();
        if received.update.is_empty() {
            assert_eq!(received.delta, Delta::new());
        } else {
            self.check_news(&before, &received.update);
        }
        self.assert_same();
        self.steps += 1;
        if self.steps.is_multiple_of(4) {
            self.assert_same_in_all();
        }
        let again = self.first.receive_update(update, version, "content");
        assert_eq!(again, Ok(Received::default()), "a repeat brings nothing");
        received
    }

    /// What was new begins where the first was, and the second takes it and has it.
    fn check_news(&mut self, before: &StateVector, update: &[u8]) {
        for (client, clocks) in clients_of_update(update, Version::V1).unwrap() {
            assert!(clocks.start >= before.get(client), "it was here before");
        }
        let news = self.second.receive_update(update, Version::V1, "content");
        assert_eq!(news.unwrap().update, update, "all of it was new");
    }

    fn assert_same(&self) {
        let (first, second) = (&self.first, &self.second);
        assert_eq!(second.state_vector(), first.state_vector());
        assert_eq!(second.to_delta("content"), first.to_delta("content"));
        assert_eq!(second.has_pending(), first.has_pending());
        assert_eq!(second.deleted(), first.deleted());
    }

    fn assert_same_in_all(&self) {
        let (first, second) = (&self.first, &self.second);
        first.assert_invariants();
        second.assert_invariants();
        for (root, shape) in [
            ("array", Shape::Array),
            ("map", Shape::Map),
            ("xml", Shape::Xml),
        ] {
            assert_eq!(second.to_json(root, shape), first.to_json(root, shape));
        }
        // With what waits.
        let nothing = StateVector::default();
        let whole = first.encode_update(&nothing, Version::V1);
        assert_eq!(second.encode_update(&nothing, Version::V1), whole);
    }
}
