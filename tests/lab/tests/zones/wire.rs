//! What crosses the DMZ, taken down by `dumpcap` at every edge and looked at by `tshark`: nothing but QUIC and TLS, and
//! none of the words of the call in it. The same words are looked for where they are known to be, on the loopback between
//! an edge's gateway and its door.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use guitai_cli::demo::CallReport;

use super::{
    call::Seen,
    memory::found,
    site::{DOOR, MESH, Site, complaint},
};

/// How long a capture may take to begin.
const BEGIN_MAX: Duration = Duration::from_secs(20);
/// Bytes of a sealed or plain frame that are looked for.
const PIECE_BYTES: usize = 24;
/// Protocols in which something can be read.
const READABLE: &str = "http || json || websocket || http2 || data-text-lines || xml || dns";

/// Captures under way.
pub(crate) struct Taps {
    children: Vec<Child>,
    wires: BTreeMap<String, PathBuf>,
    loopbacks: BTreeMap<String, PathBuf>,
}

/// Captures that are over.
pub(crate) struct Taken {
    wires: BTreeMap<String, PathBuf>,
    loopbacks: BTreeMap<String, PathBuf>,
}

impl Taps {
    pub(crate) fn begin(site: &Site) -> Self {
        let mut taps = Self {
            children: Vec::new(),
            wires: BTreeMap::new(),
            loopbacks: BTreeMap::new(),
        };
        for host in site.hosts().filter(|host| host.is_edge) {
            let mut tap = |device: &str| {
                let file = site.file(&format!("{}-{device}.pcap", host.node));
                let mut command = site.at(&host.node, "dumpcap");
                command
                    .args(["-q", "-P", "-B", "16", "-i", device, "-w"])
                    .arg(&file);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                taps.children.push(command.spawn().expect("dumpcap runs"));
                file
            };
            let (wire, loopback) = (tap("wan0"), tap("lo"));
            taps.wires.insert(host.node.clone(), wire);
            taps.loopbacks.insert(host.node.clone(), loopback);
        }
        // Packets flow all the time: a file that grows is a capture that has begun.
        let began = Instant::now();
        let grows = |file: &PathBuf| fs::metadata(file).is_ok_and(|file| file.len() > 24);
        while !taps.wires.values().all(grows) {
            assert!(began.elapsed() < BEGIN_MAX, "dumpcap takes nothing down");
            std::thread::sleep(Duration::from_millis(50));
        }
        taps
    }

    pub(crate) fn end(mut self) -> Taken {
        for child in &mut self.children {
            let pid = child.id().to_string();
            let asked = Command::new("kill").args(["-TERM", &pid]).status();
            assert!(
                asked.is_ok_and(|status| status.success()),
                "dumpcap runs still"
            );
            child.wait().expect("it ends");
        }
        self.children.clear();
        Taken {
            wires: std::mem::take(&mut self.wires),
            loopbacks: std::mem::take(&mut self.loopbacks),
        }
    }
}

impl Drop for Taps {
    fn drop(&mut self) {
        for child in &mut self.children {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Taken {
    pub(crate) fn tell_nothing(&self, site: &Site, report: &CallReport, seen: &Seen) {
        let words = words(site, report);
        let frames = pieces(seen);
        let edge = site
            .hosts()
            .find(|host| host.door.to_string() == report.edge);
        let edge = &edge.expect("the edge of the call").node;
        // Where the gateway hands pages on in plain, what is looked for is found.
        let plain = fs::read(&self.loopbacks[edge]).expect("a capture");
        let there = hits(&plain, &words);
        for known in ["HTTP/1.1", "media_key", "演示客户", "demo-bank", "session"] {
            assert!(
                there.contains(known),
                "{known} is not on the loopback: {there:?}"
            );
        }
        assert!(
            !readable(&self.loopbacks[edge]).is_empty(),
            "tshark reads the loopback"
        );
        for (node, file) in &self.wires {
            let wire = fs::read(file).expect("a capture");
            assert_eq!(hits(&wire, &words), BTreeSet::new(), "{node}");
            let in_clear = found(&wire, &frames).len();
            assert_eq!(
                in_clear, 0,
                "{node}: frames of the call, as they were sealed or before"
            );
            assert_eq!(readable(file), "", "{node}");
            let undeclared = tshark(
                file,
                &format!("!(udp.port == {MESH} || udp.port == {DOOR} || tcp.port == {DOOR})"),
            );
            assert_eq!(undeclared, "", "{node}: ports that no row has");
            assert_eq!(tshark(file, "udp && !quic"), "", "{node}");
            let kinds = kinds(file);
            eprintln!("          {node}: {} bytes, {kinds:?}", wire.len());
            let sealed = |stack: &String| {
                ["raw:ip:udp:quic", "raw:ip:tcp"]
                    .iter()
                    .any(|it| stack.starts_with(it))
            };
            assert!(kinds.keys().all(sealed), "{node}: {kinds:?}");
        }
        let wire = &self.wires[edge];
        assert!(
            kinds(wire).keys().any(|it| it.contains("tls")),
            "pages cross in TLS"
        );
        // More than the media of the call went by, or nothing was looked at.
        let media: usize = seen.witnessed.frames.iter().map(|it| it.sealed.len()).sum();
        let length = fs::metadata(wire).expect("a capture").len();
        assert!(
            length > media as u64,
            "{length} bytes on the wire, {media} of media"
        );
    }
}

/// Words that only a plain text has.
fn words(site: &Site, report: &CallReport) -> Vec<String> {
    let fixed = [
        "HTTP/1.1",
        "HTTP/2",
        "media_key",
        "institution",
        "演示客户",
        "demo-bank",
        "张伟",
        "李娜",
        "session",
        "ticket",
        "jwt=",
        "consent",
        "catalog.json",
        "broadcast",
        "customer/",
        "agent/",
        "order",
        "answer",
        "Authorization",
        "Bearer",
        "epoch",
    ];
    let mut words: Vec<String> = fixed.map(str::to_owned).into();
    words.extend(report.session.as_ref().map(ToString::to_string));
    let logins = fs::read_to_string(site.lab.data().join("demo-login.json")).unwrap_or_default();
    let logins: serde_json::Value = serde_json::from_str(&logins).unwrap_or_default();
    let accounts = logins["accounts"].as_array().into_iter().flatten();
    let passwords = accounts.filter_map(|it| it["password"].as_str().map(str::to_owned));
    let before = words.len();
    words.extend(passwords);
    assert!(words.len() > before, "passwords of the demonstration");
    // Short words stand in random bytes by chance.
    words.retain(|word| word.len() >= 5);
    words
}

/// Pieces of the call's frames: sealed, and what was sealed.
fn pieces(seen: &Seen) -> Vec<&[u8]> {
    let frames = seen.witnessed.frames.iter();
    let all = frames.flat_map(|frame| [&frame.sealed[..], &frame.plain[..]]);
    // The end of a frame differs from every other's; its beginning may be a header.
    all.filter(|bytes| bytes.len() > 2 * PIECE_BYTES)
        .map(|bytes| &bytes[bytes.len() - PIECE_BYTES..])
        .step_by(7)
        .collect()
}

fn hits<'a>(bytes: &[u8], words: &'a [String]) -> BTreeSet<&'a str> {
    let pieces: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let found = found(bytes, &pieces).into_iter();
    found.map(|index| words[index].as_str()).collect()
}

fn readable(file: &Path) -> String {
    tshark(file, READABLE)
}

/// What `tshark` shows of a capture under a filter: the stacks of protocols, a packet a line.
fn tshark(file: &Path, filter: &str) -> String {
    let mut command = Command::new("tshark");
    command
        .arg("-r")
        .arg(file)
        .args(["-n", "-T", "fields", "-e", "frame.protocols"]);
    for port in [
        format!("udp.port=={MESH},quic"),
        format!("udp.port=={DOOR},quic"),
    ] {
        command.args(["-d", &port]);
    }
    // On the wire the gateways end TLS at the doors' port; on the loopback there is what they hand on.
    let is_wire = file.to_string_lossy().contains("wan0");
    let pages = if is_wire { "tls" } else { "http" };
    command.args(["-d", &format!("tcp.port=={DOOR},{pages}")]);
    let output = command.args(["-Y", filter]).output().expect("tshark runs");
    assert!(output.status.success(), "{}", complaint(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn kinds(file: &Path) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for stack in tshark(file, "ip").lines() {
        *kinds.entry(stack.to_owned()).or_insert(0) += 1;
    }
    kinds
}
