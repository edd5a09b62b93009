//! An inner node: core, relay and recorder as its roles say.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use guitai_api::{
    CoreDeps, CoreDesk, Doors, DoorsDeps, Exchange, PermitDeps, PermitSource, Recorders, Rules,
    core_router, draw_and_wrap, follow_recorders, orders, register_calls, register_door,
    register_inventory, register_measures, register_passed, register_permits, register_sandbox,
    renew_permits,
};
use guitai_dr::Recovery;
use guitai_flowlog::FlowLog;
use guitai_host::{Clock, Entropy, Kv, SystemClock, SystemEntropy};
use guitai_meta::{Meta, Timing};
use guitai_net::{Calls, Mesh};
use guitai_recorder::{Authority, Recorder, WORK_FREE_MIN, Workshop};
use guitai_relay::{Limits, Relay, guard::Tunnels, permit::Permits};
use guitai_store::{NodeDir, SealedView, SledView};
use guitai_types::{
    Hex, Member, NodeId, Role, Voice,
    command::Command,
    custody::CertificateUse,
    profile::{Films, Raft},
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};

use super::{
    Ended, Ready, agreed,
    certificate::Certificate,
    custody::Custodian,
    doorway,
    error::AssembleError,
    inventory, links,
    observing::{self, Observer},
    renewal::{self, Renewal},
    stopped,
};
use crate::{
    config::NodeConfig,
    identity::{self, Office},
    keys,
};

/// What a node that starts again in another lineage leaves its peers and clients to hear of it.
const FAREWELL: Duration = Duration::from_millis(200);

/// Assembles and runs an inner node until it is asked to stop.
pub(super) async fn run(ready: Ready, stop: watch::Receiver<bool>) -> Result<Ended, AssembleError> {
    let Ready {
        config,
        gate,
        keys,
        own,
        certificate,
        selftest,
        sandbox,
        measure,
        open_files: _,
    } = ready;
    let held = keys::source(&config, &keys);
    let NodeConfig {
        member,
        files,
        cluster,
        peers,
        raft,
        crypto,
        sink,
        films,
        guard: messages,
        tls,
        origins,
        ..
    } = config;
    let roots = identity::roots(&files)?;
    let verifier = identity::verifier(&files)?;
    let token = files
        .token_secret
        .as_deref()
        .ok_or(AssembleError::Missing("token_secret"))?;
    let data = files
        .data
        .as_deref()
        .ok_or(AssembleError::Missing("data"))?;
    let foundation = files
        .foundation
        .as_deref()
        .map(read_foundation)
        .transpose()?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let dir = NodeDir::open(data, &cluster, &member.name)?;
    let sealing = keys::sealing(&keys, member.name.as_str(), data)?;
    if sealing.is_none() {
        tracing::warn!("the release before began this metadata in plain; it stays plain");
    }
    let view = SledView::open(&data.join("view"))?;
    if let Some(aside) = &view.quarantined {
        tracing::warn!(aside = %aside.display(), "the view was damaged; it is made again from snapshot and log");
    }
    let mesh = Mesh::bind(member.mesh, &own, &roots, clock.clone())?;
    mesh.guard(gate.clone());
    let doormen = doorway::Doormen::inside(&clock);
    let bound = doorway::Sockets::bind(
        &member,
        crypto.policy,
        &own,
        tls.as_ref(),
        &doormen,
        clock.clone(),
    );
    let door = bound.await?;
    let mut renewal = Renewal::begin(&files, &keys, &own, &mesh, &door.media);
    let web = certificate.as_ref().map(Certificate::shown);
    let tls = renewal.with_certificate(certificate);

    // Everything is bound; from here on things are served.
    let calls = Calls::new();
    calls.attach(&mesh);
    mesh.serve_lists();
    let kv: Arc<dyn Kv> = match &sealing {
        Some(sealing) => Arc::new(SealedView::new(view.view, sealing.clone())),
        None => Arc::new(view.view),
    };
    let mut meta_config = guitai_meta::Config::new(member.clone(), peers.clone(), dir.disk(), kv);
    meta_config.sealing = sealing.clone();
    let signing = own.key.clone();
    meta_config.seal = Some(guitai_meta::Seal {
        public_key: Hex(own.key.public().to_point().to_vec()),
        sign: Arc::new(move |message| signing.sign(message)),
    });
    let log = files.log.as_ref();
    let log = log.map(|log| identity::log(log, &keys, &member.name));
    meta_config.log = log.transpose()?;
    meta_config.timing = timing(&raft, &member);
    meta_config.homes = homes(&raft, peers.iter().chain([&member]));
    meta_config.guards = guards(&raft, peers.iter().chain([&member]));
    meta_config.sync_lease = Duration::from_millis(raft.sync_lease_ms);
    let replace_after = Duration::from_millis(raft.replace_voter_after_ms);
    meta_config.replace_after = (!replace_after.is_zero()).then_some(replace_after);
    let meta = Meta::start(meta_config, &mesh, &calls, clock.clone(), entropy.clone()).await?;

    let relay = member.has(Role::Relay).then(|| {
        let (name, zone) = (member.name.clone(), member.zone);
        let config = guitai_relay::Config {
            name,
            zone,
            limits: Limits::default(),
        };
        Relay::new(config, verifier.clone(), clock.clone())
    });
    let permits = relay.as_ref().map(|relay| {
        let permits = Permits::new(member.name.clone(), verifier.clone(), clock.clone());
        relay.require(permits.clone());
        relay.register(&mesh);
        permits
    });
    let seal = files
        .seal
        .as_ref()
        .map(|files| {
            let present = identity::signer_of(Office::Seal, files, &keys)?;
            let (roots, clock) = (roots.clone(), clock.clone());
            let seal = renewal.with_signer(Office::Seal, files, roots, present, clock);
            Ok::<_, AssembleError>(seal)
        })
        .transpose()?;
    let tsa = files
        .tsa
        .as_ref()
        .map(|files| {
            let present = identity::signer_of(Office::TimeStamps, files, &keys)?;
            let (roots, clock) = (roots.clone(), clock.clone());
            let tsa = renewal.with_signer(Office::TimeStamps, files, roots, present, clock);
            Ok::<_, AssembleError>(tsa)
        })
        .transpose()?;
    let authority = tsa.clone().map(|identity| {
        let authority = Authority::new(identity, meta.clone(), clock.clone());
        authority.register(&calls);
        authority
    });
    let signers = [
        (CertificateUse::Seal, seal.clone()),
        (CertificateUse::Tsa, tsa.clone()),
    ];
    let signers = signers
        .into_iter()
        .filter_map(|(usage, signer)| Some((usage, signer?)));
    let custodian = Custodian {
        member: member.clone(),
        meta: meta.clone(),
        mesh: mesh.clone(),
        keys: keys.clone(),
        signers: signers.collect(),
    };
    let inventory = inventory::source(inventory::Subject {
        member: member.clone(),
        files: files.clone(),
        own: own.clone(),
        seal: seal.clone(),
        tsa,
        keys: keys.clone(),
        metadata_sealed: sealing.is_some(),
        door: door.media.clone(),
        web,
        selftest,
        sink: sink.clone(),
    });
    // The tunnels come later: they need what the recorder keeps.
    let guarded = Arc::new(OnceLock::<Tunnels>::new());
    let counted = guarded.clone();
    let observer = Observer::new(
        &member,
        gate.clone(),
        mesh.ledger().clone(),
        Arc::new(move || {
            let counts = counted.get().map(Tunnels::stats);
            observing::messages(counts.unwrap_or_default())
        }),
        clock.clone(),
    );
    let connections = observer.source();
    let questions = Calls::new();
    register_inventory(
        &questions,
        inventory.clone(),
        held.clone(),
        connections.clone(),
    );
    let source = door.source(&member);
    let held_by = permits.clone();
    let permit: PermitSource = Arc::new(move || held_by.as_ref().map(Permits::view));
    let doors = Doors::default();
    let held_to = sandbox.source();
    register_door(
        &questions,
        source.clone(),
        doors.fit(),
        permit.clone(),
        held_to.clone(),
    );
    register_sandbox(&questions, held_to.clone());
    register_measures(&questions, measure.source());
    let passed = relay
        .as_ref()
        .map(|relay| doorway::passed(&member, relay, clock.wall()));
    if let Some(passed) = &passed {
        register_passed(&questions, passed.clone());
    }
    if let Some(permits) = &permits {
        register_permits(&questions, permits.clone());
    }
    guitai_flowlog::register_minutes(&questions, observer.minutes());
    questions.attach_questions(&mesh);
    let flow_log = FlowLog::new(
        guitai_flowlog::Deps {
            me: member.clone(),
            meta: meta.clone(),
            mesh: mesh.clone(),
            disk: dir.disk(),
            sealing: sealing.clone(),
            clock: clock.clone(),
            minutes: observer.minutes(),
        },
        &calls,
    );
    let recorder = match seal {
        Some(seal) if member.has(Role::Recorder) => {
            let config = guitai_recorder::Config {
                name: member.name.clone(),
                dir: data.join("recordings"),
                keys: keys.clone(),
                identity: identity::media(&files, &keys, own.clone())?,
                seal,
                root: roots.first().cloned().unwrap_or_default(),
                sink,
                films: workshop(films, data, &member),
            };
            let deps = guitai_recorder::Deps {
                meta: meta.clone(),
                mesh: mesh.clone(),
                relay: relay.clone(),
                calls: calls.clone(),
                authority,
                clock: clock.clone(),
            };
            Some(Recorder::start(config, deps)?)
        }
        _ => None,
    };

    let signer = Arc::new(identity::signer(token, &keys)?);
    let exchange = Exchange {
        meta: meta.clone(),
        shelves: Arc::new(Recorders {
            me: member.name.clone(),
            meta: meta.clone(),
            mesh: mesh.clone(),
            own: recorder.clone(),
        }),
        rules: Rules::new(&messages)?,
        clock: clock.clone(),
        entropy: entropy.clone(),
    };
    let desk = CoreDesk::new(signer.clone(), exchange.clone());
    let tunnels = Tunnels::new(mesh.clone(), Arc::new(desk), gate.clone(), clock.clone());
    // Nobody else sets it.
    drop(guarded.set(tunnels.clone()));
    register_calls(&calls, member.name.clone(), meta.clone(), source.clone());

    let recovery = Recovery::new(
        guitai_dr::Config {
            member: member.clone(),
            raft: raft.clone(),
            binary: std::env::current_exe().unwrap_or_default(),
            version: guitai_api::VERSION,
            identity: own.clone(),
            root: roots.first().cloned().unwrap_or_default(),
            relay: relay.clone(),
            wrap: {
                let entropy = entropy.clone();
                Arc::new(move |holders| draw_and_wrap(&*entropy, holders))
            },
        },
        meta.clone(),
        mesh.clone(),
        dir.disk(),
        clock.clone(),
        entropy.clone(),
        &questions,
    );

    let mut tasks = JoinSet::new();
    tasks.spawn(recovery.clone().run());
    tasks.spawn(doors.clone().keep(DoorsDeps {
        me: member.clone(),
        meta: meta.clone(),
        mesh: mesh.clone(),
        door: source.clone(),
        origins,
        permit,
        sandbox: held_to.clone(),
        tunnels: tunnels.clone(),
        clock: clock.clone(),
    }));
    tasks.spawn(renew_permits(PermitDeps {
        me: member.clone(),
        meta: meta.clone(),
        mesh: mesh.clone(),
        signer: signer.clone(),
        own: permits,
    }));
    if let Some(command) = foundation {
        tasks.spawn(found(meta.clone(), command));
    }
    tasks.spawn(renewal.follow());
    tasks.spawn(renewal::spread(member.clone(), meta.clone(), mesh.clone()));
    tasks.spawn(keys::follow(keys));
    tasks.spawn(custodian.follow());
    tasks.spawn(observer.follow());
    tasks.spawn(flow_log.clone().follow());
    tasks.spawn(agreed::follow(
        member.clone(),
        gate.clone(),
        meta.clone(),
        mesh.clone(),
    ));
    let judge = gate.clone();
    tasks.spawn(links::keep(
        member.clone(),
        gate,
        meta.clone(),
        mesh.clone(),
        relay.clone(),
        tunnels.clone(),
    ));
    tasks.spawn(follow_recorders(meta.clone(), member.id, entropy.clone()));
    tasks.spawn(orders::follow(meta.clone(), relay.clone(), tunnels.clone()));
    let media = relay.clone().map(|relay| {
        let ledger = mesh.ledger().clone();
        doorway::serve_media(door.media.clone(), relay, member.clone(), ledger)
    });
    let entered = (mesh.ledger().clone(), observing::pages(&member));

    let router = core_router(CoreDeps {
        member: member.clone(),
        meta: meta.clone(),
        mesh: mesh.clone(),
        relay,
        recorder: recorder.clone(),
        signer,
        verifier,
        clock,
        entropy,
        door: source,
        doors,
        tunnels: tunnels.clone(),
        inventory,
        keys: held,
        connections,
        flow_log,
        passed,
        measure: measure.source(),
        sandbox: held_to,
        policy: crypto.policy,
        recovery,
        exchange,
        judge: {
            let meta = meta.clone();
            Arc::new(move |matrix: &str| {
                let members: Vec<Member> = meta.peek(|state| state.members().cloned().collect());
                judge.planned(matrix, &members)
            })
        },
        identity: own.clone(),
        root: roots.first().cloned().unwrap_or_default(),
    });
    tracing::info!(door = %member.door, mesh = %member.mesh, "node is listening");
    let (say, said) = oneshot::channel();
    let ending = {
        let meta = meta.clone();
        async move {
            let ended = tokio::select! {
                () = stopped(stop) => Ok(Ended::Asked),
                () = meta.restart_wanted() => Ok(Ended::StartAgain),
                why = meta.failed() => Err(AssembleError::Consensus(why)),
            };
            // The receiver is in this very function.
            drop(say.send(ended));
        }
    };
    // Who waits for an agreement of a lineage that is left waits for nothing; who ordered it is answered at once.
    let hurry = async {
        meta.restart_wanted().await;
        tokio::time::sleep(FAREWELL).await;
    };
    let served = tokio::select! {
        served = guitai_api::serve(door.http, router, doormen.tcp, entered, tls, ending) => served,
        () = hurry => Ok(()),
    };

    // Down in the order of the data's way: no new orders, then media, recordings, metadata, sockets.
    tasks.shutdown().await;
    tunnels.keep(&[]);
    if let Some(media) = media {
        media.abort();
    }
    if let Some(recorder) = recorder {
        recorder.shutdown().await;
    }
    meta.shutdown().await;
    // Nobody said why it ends only where serving ended by itself.
    let ended = said.await.unwrap_or(Ok(Ended::Asked));
    let closed = async { tokio::join!(door.media.close(), mesh.close()) };
    if matches!(ended, Ok(Ended::StartAgain)) {
        // Peers of a lost city never say that they have heard.
        drop(tokio::time::timeout(FAREWELL, closed).await);
    } else {
        closed.await;
    }
    served.map_err(AssembleError::Serve)?;
    ended
}

/// Where this node makes films: several nodes of one machine share no directory.
fn workshop(films: Films, data: &Path, member: &Member) -> Workshop {
    let own = || data.join("films");
    let shared = films.work.map(|work| work.join(member.name.as_str()));
    Workshop {
        work: shared.unwrap_or_else(own),
        path: std::env::var_os("PATH").unwrap_or_default(),
        font: films.font,
        free_bytes_min: WORK_FREE_MIN,
    }
}

fn read_foundation(path: &Path) -> Result<Command, AssembleError> {
    let fail = |source: Box<dyn std::error::Error + Send + Sync>| AssembleError::Foundation {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::read(path).map_err(|error| fail(error.into()))?;
    serde_json::from_slice(&bytes).map_err(|error| fail(error.into()))
}

/// Founds the cluster if it is not there yet; a cluster that is there answers "done".
async fn found(meta: Meta, command: Command) {
    if let Err(error) = meta.found(command).await {
        tracing::error!(error = %crate::exit::chain(&error), "the cluster was not founded");
    }
}

/// A preference is a delay: a node of a reluctant centre waits longer before it stands for election.
fn timing(raft: &Raft, member: &Member) -> Timing {
    let reluctant = raft.reluctant.contains(&member.centre);
    let (election_min_ms, election_max_ms) = if reluctant {
        (raft.reluctant_min_ms, raft.reluctant_max_ms)
    } else {
        (raft.election_min_ms, raft.election_max_ms)
    };
    Timing {
        heartbeat_ms: raft.heartbeat_ms,
        election_min_ms,
        election_max_ms,
    }
}

/// Voters that should lead.
fn homes<'a>(raft: &Raft, members: impl Iterator<Item = &'a Member>) -> Vec<NodeId> {
    let willing = members
        .filter(|member| member.voice == Voice::Voter && !raft.reluctant.contains(&member.centre));
    if raft.reluctant.is_empty() {
        Vec::new()
    } else {
        willing.map(|member| member.id).collect()
    }
}

/// Voters of the guard city, by id: the reluctant centres are the city that sync writes wait for.
fn guards<'a>(raft: &Raft, members: impl Iterator<Item = &'a Member>) -> Vec<NodeId> {
    let remote = members
        .filter(|member| member.voice == Voice::Voter && raft.reluctant.contains(&member.centre));
    let mut guards: Vec<NodeId> = remote.map(|member| member.id).collect();
    guards.sort_unstable();
    guards.dedup();
    guards
}
