//! Clients that stop reading, one of each dialect: nobody waits for them, they cost a bounded amount,
//! and they converge in the end.

use crate::support::{
    Client, Server, data_dir,
    editor::{Editor, decoded},
    yjs::Identities,
};
use motet_ot::Delta;

/// Length of what is pasted each time, in place of what was pasted before.
const PASTE: usize = 200_000;
/// 100 MB in all, far more than sockets and queues hold.
const PASTES: usize = 500;
/// What those who do not read may cost in all: at most some queues of 1 MiB, and the frames that are on their
/// way.
const GROWTH_KIB_MAX: u64 = 32 << 10;

/// Two who edit at the same time, and keep up with one another.
struct Writers {
    pastes: Editor<Client>,
    types: Editor<Client>,
    pasted: usize,
}

impl Writers {
    async fn write(&mut self, rounds: usize) {
        for round in 0..rounds {
            let letter = char::from(b'a' + u8::try_from(round % 26).unwrap());
            let paste = String::from(letter).repeat(PASTE);
            self.pastes
                .edit(Delta::new().insert(&paste).delete(self.pasted))
                .await;
            self.pasted = PASTE;
            let end = self.types.content.len_utf16();
            self.types.edit(Delta::new().retain(end).insert("x")).await;
            let head = self.pastes.revision + 2;
            self.pastes.reach(head).await;
            self.types.reach(head).await;
        }
    }
}

#[tokio::test]
async fn slow_readers_of_every_dialect_cost_little_and_converge() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (pastes, _) = server.join(&ada, &document, "pastes").await;
    let (types, _) = server.join(&ada, &document, "types").await;
    let mut writers = Writers {
        pastes: Editor::new(pastes),
        types: Editor::new(types),
        pasted: 0,
    };
    // What the document keeps of its latest changes for those who fall behind is there before.
    writers.write(PASTES / 10).await;
    let before_kib = server.memory_kib("VmHWM");

    let (socket, state) = server.join(&ada, &document, "socket").await;
    let here = (
        state["revision"].as_u64().unwrap(),
        decoded(&state["content"]),
    );
    let mut socket = Editor::at(socket, here.0, here.1.clone());
    let (stream, _) = server.listen_in(&ada, &document, "stream").await;
    let mut stream = Editor::at(stream, here.0, here.1);
    let mut y_websocket = server.yjs(&ada, &document, Identities::new(1)).await;
    let mut hocuspocus = server.hocuspocus(&ada, &document, Identities::new(2)).await;
    writers.write(PASTES).await;
    let growth_kib = server.memory_kib("VmHWM").saturating_sub(before_kib);
    assert!(
        growth_kib < GROWTH_KIB_MAX,
        "they cost {growth_kib} KiB of memory"
    );

    let Editor {
        content, revision, ..
    } = writers.types;
    socket.reach(revision).await;
    assert_eq!(socket.content, content);
    stream.reach(revision).await;
    assert_eq!(stream.content, content);
    y_websocket.sync().await;
    assert_eq!(y_websocket.document.content(), content);
    hocuspocus.sync().await;
    assert_eq!(hocuspocus.document.content(), content);
}
