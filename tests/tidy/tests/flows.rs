//! The flow matrix against the sources: whoever opens a socket, a wire version or a kind of message that it
//! does not know is told here.

use std::collections::{BTreeMap, BTreeSet};

use guitai_flow::{Protocol, Word as _, messages};
use guitai_tidy::{read, tracked};

/// What a node runs: sources of `nodes/`, without tests and without what only commands do.
fn sources() -> impl Iterator<Item = (String, String)> {
    let is_source = |path: &String| {
        let runs = path.starts_with("nodes/") && path.contains("/src/") && path.ends_with(".rs");
        let commands = path.starts_with("nodes/cli/") || path.starts_with("nodes/flow/");
        let tests = path.contains("/tests/") || path.ends_with("tests.rs");
        runs && !commands && !tests
    };
    tracked().into_iter().filter(is_source).map(|path| {
        let text = read(&path);
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        (path, text.to_owned())
    })
}

/// How often any of the words stands in code, by file.
fn found(words: &[&str]) -> BTreeMap<String, usize> {
    let count = |text: &str| {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        code.filter(|line| words.iter().any(|word| line.contains(word)))
            .count()
    };
    sources()
        .map(|(path, text)| (path, count(&text)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn places<const N: usize>(list: [(&str, usize); N]) -> BTreeMap<String, usize> {
    list.map(|(path, count)| (path.to_owned(), count)).into()
}

/// Whoever adds one adds it to `guitai_flow::deployment` and to the matrix as well.
#[test]
fn sockets_are_opened_where_the_matrix_knows_them() {
    let listening = [
        "TcpListener::bind(",
        "UdpSocket::bind(",
        "UnixListener::bind(",
        "Mesh::bind(",
        "Door::bind(",
        "Door::bind_national(",
    ];
    let known = places([
        ("nodes/net/src/door.rs", 1),
        ("nodes/net/src/mesh.rs", 1),
        ("nodes/node/src/ports.rs", 2),
        ("nodes/node/src/run/doorway.rs", 3),
        ("nodes/node/src/run/edge.rs", 1),
        ("nodes/node/src/run/inner.rs", 1),
    ]);
    assert_eq!(found(&listening), known);
}

#[test]
fn connections_are_opened_where_the_matrix_knows_them() {
    let dialling = [
        "esh.dial(",
        "self.dial_beside(alpn, to, Some(",
        "TcpStream::connect(",
        "UnixStream::connect(",
        "reqwest::Client",
        "connect_with(",
    ];
    let known = places([
        ("nodes/net/src/mesh.rs", 1),
        ("nodes/net/src/pool.rs", 1),
        // `guitai up` waits until its doors answer, trusting their certificates: an operator's questions.
        ("nodes/node/src/deployment.rs", 2),
        ("nodes/node/src/ready.rs", 3),
        ("nodes/relay/src/client/mod.rs", 1),
        // The object store: a node that has one asks the matrix before it starts.
        ("nodes/sink/src/http_client.rs", 2),
        ("nodes/relay/src/guard/inside.rs", 1),
        ("nodes/relay/src/mesh.rs", 1),
    ]);
    assert_eq!(found(&dialling), known);
}

#[test]
fn every_wire_version_is_a_protocol_of_the_matrix() {
    let net = read("nodes/net/src/lib.rs");
    let named: BTreeSet<&str> = net
        .lines()
        .filter(|line| line.contains("_ALPN: &str"))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    let known: BTreeSet<&str> = Protocol::ALL.iter().filter_map(|it| it.alpn()).collect();
    assert_eq!(named, known);
}

#[test]
fn every_call_and_question_is_a_message_of_the_matrix() {
    let families = [
        "api.",
        "dr.",
        "flows.book",
        "flows.keep",
        "flows.minutes",
        "flows.take",
        "meta.",
        "recording.",
        "tsa.",
    ];
    let is_kind = |word: &str| {
        let plain = word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b".-".contains(&b));
        plain && families.iter().any(|family| word.starts_with(family))
    };
    let mut named = BTreeSet::new();
    for (_, text) in sources() {
        let names = text
            .lines()
            .filter(|line| {
                line.contains("&str = \"")
                    || line.contains("&'static str = \"")
                    || line.contains("=> \"meta.")
            })
            .filter_map(|line| line.split('"').nth(1))
            .filter(|word| is_kind(word));
        named.extend(names.map(str::to_owned));
    }
    // Consensus has a wire version of its own, and its kinds are numbers there.
    assert!(named.remove("meta.raft"));
    let known: BTreeSet<String> = messages::CALLS
        .iter()
        .chain(messages::QUESTIONS)
        .map(|&kind| kind.to_owned())
        .collect();
    assert_eq!(named, known);
}

#[test]
fn every_limit_of_a_matrix_is_in_its_reference() {
    let page = read("docs/reference/flow-matrix.md");
    let limits = read("nodes/flow/src/limits.rs");
    let names = limits
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "));
    let names = names.filter_map(|rest| rest.split(':').next());
    let missing: Vec<&str> = names.filter(|name| !page.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let words = Protocol::ALL.iter().map(|it| it.word());
    let missing: Vec<&str> = words
        .filter(|it| !page.contains(&format!("`{it}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
