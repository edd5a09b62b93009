//! The deployment, its rules, and the product's own questions to them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Instant,
};

use guitai_cluster::deployment::binary;
use guitai_lab::{
    Host, Lab, Options, Topology,
    topology::{AGENT, CUSTOMER, OPERATOR},
};
use guitai_types::profile::Profile;
use serde_json::Value;

/// Port of the doors, and of the gateways before them.
pub(crate) const DOOR: u16 = 24_445;
/// Port of the mesh, as the demonstration's profile has it.
pub(crate) const MESH: u16 = 7443;
/// How often a question is asked whose answer a busy machine may spoil.
pub(crate) const TURNS: usize = 4;
/// Tools of others that this test cannot do without, and a question that each answers.
const TOOLS: [(&str, &str); 4] = [
    ("nft", "--version"),
    ("tshark", "--version"),
    ("dumpcap", "--version"),
    ("unshare", "--version"),
];

/// What is missing of [`TOOLS`].
pub(crate) fn missing_tools() -> Option<&'static str> {
    let answers = |(tool, question): &(&str, &str)| {
        let mut command = Command::new(tool);
        command
            .arg(question)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let missing = TOOLS.iter().find(|tool| !answers(tool));
    missing.map(|(tool, _)| *tool)
}

/// The laboratory with its rules.
pub(crate) struct Site {
    pub(crate) lab: Lab,
    pub(crate) dir: PathBuf,
    /// Zone and roles of every place from which the matrix is tried.
    places: BTreeMap<String, (String, Vec<String>)>,
    began: Instant,
}

impl Site {
    /// Founds the deployment, loads each host's rules, and only then switches the nodes on.
    pub(crate) fn up(dir: &Path) -> Self {
        let topology = Topology::named("2l3c", Some(DOOR)).expect("the demo's profile");
        let topology = topology.with_guests();
        let profile: Profile = toml::from_str(&topology.profile).expect("a profile");
        let options = Options {
            dir: dir.join("lab"),
            binary: binary(),
            seed: 6,
            keep: false,
        };
        let began = Instant::now();
        let lab = Lab::wired(topology, options).expect("the laboratory is wired");
        let roles = |roles: &[guitai_types::Role]| roles.iter().map(word_of).collect::<Vec<_>>();
        let nodes = profile.nodes.iter().map(|node| {
            let zone = node.zone.to_string();
            (node.name.to_string(), (zone, roles(&node.roles)))
        });
        let people = [(CUSTOMER, "outer"), (AGENT, "inner"), (OPERATOR, "inner")]
            .map(|(name, zone)| (name.to_owned(), (zone.to_owned(), vec![name.to_owned()])));
        let site = Self {
            lab,
            dir: dir.to_owned(),
            places: nodes.chain(people).collect(),
            began,
        };
        fs::write(site.file("people.toml"), site.addresses(&profile)).expect("written");
        for host in site.hosts() {
            let made = site.product(&host.node, &["flow", "firewall"]).output();
            let made = made.expect("guitai runs");
            assert!(made.status.success(), "{}", complaint(&made));
            fs::write(site.rules(&host.node), made.stdout).expect("written");
            site.load(&host.node);
        }
        site.lab.power_on().expect("the nodes are up");
        site
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.lab.hosts().iter()
    }

    pub(crate) fn pid(&self, node: &str) -> u32 {
        let status = self.lab.status().expect("up");
        let node = status.nodes.into_iter().find(|it| it.node == node);
        node.and_then(|node| node.pid).expect("it runs")
    }

    pub(crate) fn log(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// Loads what the product made for a host, whole.
    pub(crate) fn load(&self, host: &str) {
        let file = self.rules(host);
        let output = self.at(host, "nft").arg("-f").arg(&file).output();
        let output = output.expect("nft runs");
        let text = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            output.status.success(),
            "{host}: {}\n{text}",
            complaint(&output)
        );
    }

    /// A program in a host's network.
    pub(crate) fn at(&self, host: &str, program: &str) -> Command {
        self.lab
            .command_at(host, Path::new(program))
            .expect("a host")
    }

    /// `flow firewall` or `flow verify` for a place, run there.
    pub(crate) fn product(&self, place: &str, command: &[&str]) -> Command {
        let (zone, roles) = self.places.get(place).expect("a place");
        let mut made = self.lab.command_at(place, &binary()).expect("a host");
        made.args(command)
            .arg(self.lab.data().join("a1-1/flows.toml"));
        made.args(["--node-zone", zone, "--addresses"]);
        made.arg(self.file("lab/profile.toml"));
        made.arg("--addresses").arg(self.file("people.toml"));
        for role in roles {
            made.args(["--role", role]);
        }
        made
    }

    /// `flow verify` of a place: its exit code and what it says.
    pub(crate) fn verify(&self, place: &str, with_rules: bool) -> (i32, Value) {
        let mut command = self.product(place, &["flow", "verify", "--json"]);
        command.args(with_rules.then_some("--rules"));
        verdict(&command.output().expect("guitai runs"))
    }

    /// `flow verify` of every place, all at once.
    pub(crate) fn verify_everywhere(&self) -> BTreeMap<String, (i32, Value)> {
        let start = |place: &String| {
            let mut command = self.product(place, &["flow", "verify", "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            (place.clone(), command.spawn().expect("guitai runs"))
        };
        let started: Vec<_> = self.places.keys().map(start).collect();
        let end = |(place, child): (String, std::process::Child)| {
            let output = child.wait_with_output().expect("it ends");
            (place, verdict(&output))
        };
        started.into_iter().map(end).collect()
    }

    /// From everywhere what is declared answers and nothing else does, and every host has the rules of the matrix.
    pub(crate) fn everything_is_as_declared(&self) {
        for (place, (mut exit, mut said)) in self.verify_everywhere() {
            // A listener that has no processor for two seconds is silent, too.
            for _ in 1..TURNS {
                if exit == 0 {
                    break;
                }
                (exit, said) = self.verify(&place, false);
            }
            assert_eq!(exit, 0, "{place}: {said:#}");
            let probes = said["probes"].as_array().expect("probes");
            let is_declared =
                |probe: &&Value| probe["rows"].as_array().is_some_and(|it| !it.is_empty());
            let declared = probes.iter().filter(is_declared).count();
            let is_edge = self.hosts().any(|host| host.node == place && host.is_edge);
            assert_eq!(declared == 0, is_edge, "{place}: {said:#}");
            assert!(
                probes.len() > declared,
                "{place} tries what is not declared, too"
            );
        }
        for host in self.hosts() {
            let (_, said) = self.verify(&host.node, true);
            let rules = &said["rules"];
            let is_same = rules["reordered"] == false
                && ["missing", "surplus"]
                    .iter()
                    .all(|it| rules[it].as_array().is_some_and(Vec::is_empty));
            assert!(is_same, "{}: {rules:#}", host.node);
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn rules(&self, host: &str) -> PathBuf {
        self.file(&format!("{host}.nft"))
    }

    /// Where people are, and the gateways before the nodes.
    fn addresses(&self, profile: &Profile) -> String {
        let mut text = "format = \"guitai-flow-addresses/1\"\n".to_owned();
        let mut party = |zone: &str, role: &str, networks: &[String], door: Option<u16>| {
            let networks: Vec<String> = networks.iter().map(|it| format!("{it:?}")).collect();
            let networks = networks.join(", ");
            text += &format!(
                "[[parties]]\nzone = {zone:?}\nrole = {role:?}\nnetworks = [{networks}]\n"
            );
            if let Some(door) = door {
                text += &format!("door = {door}\n");
            }
        };
        party("outer", "customer", &["10.200.0.0/24".to_owned()], None);
        party("inner", "agent", &["10.201.0.0/24".to_owned()], None);
        party("inner", "operator", &["10.202.0.0/24".to_owned()], None);
        for (zone, role) in [
            ("dmz", guitai_types::Role::Edge),
            ("inner", guitai_types::Role::Core),
            ("inner", guitai_types::Role::Relay),
            ("inner", guitai_types::Role::Recorder),
        ] {
            let nodes = profile
                .nodes
                .iter()
                .filter(|node| node.roles.contains(&role));
            let gateways: Vec<String> = nodes.map(|node| node.mesh.ip().to_string()).collect();
            party(zone, &word_of(&role), &gateways, Some(DOOR));
        }
        text
    }
}

/// A role as profiles and matrices write it.
fn word_of(role: &guitai_types::Role) -> String {
    let word = serde_json::to_value(role).expect("a word");
    word.as_str().expect("a word").to_owned()
}

fn verdict(output: &Output) -> (i32, Value) {
    let said = serde_json::from_slice(&output.stdout);
    let said = said.unwrap_or_else(|_| panic!("{}", complaint(output)));
    (output.status.code().expect("it ended"), said)
}

pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
