//! Very many clients that come at once.

use crate::support::{Server, data_dir, editor::Editor, yjs::Identities};
use futures_util::future::join_all;
use motet_ot::Delta;

/// How many come.
const CLIENTS: u64 = 100;
/// Length of the document.
const TEXT: usize = 1 << 20;
/// What each may cost: what it lacks, as an update and as a frame, and its sockets and queues.
const CLIENT_KIB_MAX: u64 = 3 << 10;

#[tokio::test]
async fn many_clients_of_yjs_join_a_large_document_at_once() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (writer, _) = server.join(&ada, &document, "writer").await;
    let mut writer = Editor::new(writer);
    writer
        .edit(Delta::new().insert(&"0123456789abcdef".repeat(TEXT / 16)))
        .await;
    writer.settle().await;
    let before_kib = server.memory_kib("VmHWM");

    let joining = (1..=CLIENTS).map(|n| server.yjs(&ada, &document, Identities::new(n)));
    let (clients, ()) = tokio::join!(join_all(joining), async {
        writer.edit(Delta::new().insert("meanwhile ")).await;
        writer.settle().await;
    });
    let growth_kib = server.memory_kib("VmHWM").saturating_sub(before_kib);
    assert!(
        growth_kib < CLIENTS * CLIENT_KIB_MAX,
        "they cost {growth_kib} KiB of memory"
    );
    for mut client in clients {
        client.sync().await;
        assert_eq!(client.document.content(), writer.content);
    }
}
