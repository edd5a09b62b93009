//! An edge: listens, and nothing else. Relay and guard; no data directory, no peer, no dialling. Once it listens it
//! gives up making sockets, connections and files altogether.

use std::sync::Arc;

use guitai_api::{
    CertificateSource, EdgeDeps, Rules, edge_router, register_door, register_inventory,
    register_measures, register_passed, register_permits, register_sandbox,
};
use guitai_host::{Clock, SystemClock};
use guitai_net::{Calls, Mesh, TUNNEL_ALPN};
use guitai_relay::{
    Config, Limits, Relay,
    guard::{Guard, OrderSink},
    permit::Permits,
};
use guitai_types::{Epoch, SessionId, TicketId};
use tokio::sync::watch;

use super::{
    Ready, agreed,
    certificate::Certificate,
    doorway,
    error::AssembleError,
    inventory,
    observing::{self, Observer},
    renewal::Renewal,
    stopped,
};
use crate::{config::NodeConfig, identity, keys};

/// Assembles and runs an edge until it is asked to stop.
pub(super) async fn run(ready: Ready, stop: watch::Receiver<bool>) -> Result<(), AssembleError> {
    let Ready {
        config,
        gate,
        keys,
        own,
        certificate,
        selftest,
        sandbox,
        measure,
        open_files,
    } = ready;
    let held = keys::source(&config, &keys);
    let NodeConfig {
        member,
        files,
        crypto,
        guard: messages,
        tls,
        door_limits,
        ..
    } = config;
    let roots = identity::roots(&files)?;
    let verifier = identity::verifier(&files)?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mesh = Mesh::bind(member.mesh, &own, &roots, clock.clone())?;
    mesh.guard(gate.clone());
    let limits = door_limits.within(open_files);
    if limits != door_limits {
        let (wanted, connections) = (door_limits.connections, limits.connections);
        tracing::warn!(
            wanted,
            connections,
            "this process may not have as many files open as its door may have connections"
        );
    }
    let doormen = doorway::Doormen::of_edge(&limits, &clock);
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

    let relay_config = Config {
        name: member.name.clone(),
        zone: member.zone,
        limits: Limits::default(),
    };
    let relay = Relay::new(relay_config, verifier.clone(), clock.clone());
    let guard = Guard::new(Arc::new(Orders(relay.clone())), gate.clone(), clock.clone());
    let permits = Permits::new(member.name.clone(), verifier.clone(), clock.clone());
    relay.require(permits.clone());
    relay.register(&mesh);
    mesh.serve_lists();
    let tunnels = guard.clone();
    mesh.serve(
        TUNNEL_ALPN,
        Arc::new(move |link| {
            let guard = tunnels.clone();
            Box::pin(async move { guard.serve_tunnel(link).await })
        }),
    );
    let (guarded, kept) = (guard.clone(), doormen.clone());
    let observer = Observer::new(
        &member,
        gate.clone(),
        mesh.ledger().clone(),
        Arc::new(move || {
            let mut seen = observing::messages(guarded.stats());
            seen.extend(kept.refused());
            seen
        }),
        clock.clone(),
    );
    let questions = Calls::new();
    register_inventory(
        &questions,
        inventory::source(inventory::Subject {
            member: member.clone(),
            files,
            own,
            seal: None,
            tsa: None,
            door: door.media.clone(),
            web,
            keys,
            metadata_sealed: false,
            selftest,
            sink: None,
        }),
        held,
        observer.source(),
    );
    let source = door.source(&member);
    let tunnelled = guard.clone();
    let fit = Arc::new(move || !tunnelled.tunnels().is_empty());
    let held = permits.clone();
    let permit = Arc::new(move || Some(held.view()));
    register_door(&questions, source.clone(), fit, permit, sandbox.source());
    register_sandbox(&questions, sandbox.source());
    register_measures(&questions, measure.source());
    register_passed(&questions, doorway::passed(&member, &relay, clock.wall()));
    register_permits(&questions, permits.clone());
    agreed::register(&questions, &gate, &mesh);
    guitai_flowlog::register_minutes(&questions, observer.minutes());
    questions.attach_questions(&mesh);
    let media = doorway::serve_media(
        door.media.clone(),
        relay.clone(),
        member.clone(),
        mesh.ledger().clone(),
    );
    let router = edge_router(EdgeDeps {
        node: member.name.clone(),
        guard,
        relay,
        verifier,
        clock,
        door: source,
        certificates: certificates(&mesh),
        sandbox: sandbox.source(),
        rules: Rules::new(&messages)?,
        door_stats: doormen.source(),
    });
    let renewal = tokio::spawn(renewal.follow());
    let observing = tokio::spawn(observer.follow());
    // Every socket is open: whatever runs here from now on, it opens none.
    let sealed = sandbox.seal();
    sealed.map_err(|failure| AssembleError::Sandbox(failure.problem.detail))?;
    tracing::info!(door = %member.door, mesh = %member.mesh, "edge is listening");
    let entered = (mesh.ledger().clone(), observing::pages(&member));
    let serving = guitai_api::serve(door.http, router, doormen.tcp, entered, tls, stopped(stop));
    let served = serving.await;
    renewal.abort();
    observing.abort();
    media.abort();
    door.media.close().await;
    mesh.close().await;
    served.map_err(AssembleError::Serve)
}

fn certificates(mesh: &Mesh) -> CertificateSource {
    let mesh = mesh.clone();
    Arc::new(move || mesh.certificate_stats())
}

/// What orders from inside do to this edge's media.
struct Orders(Relay);

impl OrderSink for Orders {
    fn end_session(&self, session: SessionId) {
        self.0.revoke_session(&session);
    }

    fn revoke_ticket(&self, ticket: TicketId) {
        self.0.revoke_ticket(&ticket);
    }

    fn set_epoch(&self, epoch: Epoch) {
        self.0.set_epoch(epoch);
    }
}
