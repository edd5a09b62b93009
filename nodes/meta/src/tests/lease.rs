//! The sync lease over real consensus: a guard that is lost, stopped, and back.

use guitai_host::Clock as _;
use guitai_types::{
    event::Change,
    sync::{DegradeCause, SyncMode},
};

use super::*;

/// Longer than in production: the test machine compiles while a guard answers.
pub(super) const LEASE: Duration = Duration::from_millis(2_000);

fn is_guarded(state: &crate::State) -> bool {
    matches!(state.sync().mode, SyncMode::Sync { .. })
}

fn is_degraded(state: &crate::State) -> bool {
    matches!(state.sync().mode, SyncMode::Degraded { .. })
}

/// A cluster whose last node is the guard city; returns when every node knows that it is waited for.
async fn guarded(size: u64) -> (Cluster, usize) {
    let cluster = Cluster::founded(size, 10_000, vec![NodeId(size)]).await;
    for meta in cluster.running() {
        wait_for(&meta, is_guarded).await;
    }
    (cluster, size as usize - 1)
}

async fn proves(meta: &Meta) {
    let waits = async {
        while !meta.verdict().is_some_and(|verdict| verdict.proves_now) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits)
        .await
        .expect("the guard proves in the end");
}

/// Writes on a node and says by the machine's clock, which all nodes here share, when that was
/// acknowledged at the latest.
async fn acknowledged(meta: &Meta) -> (TicketId, UnixMillis) {
    let ticket = ticket();
    let reply = meta.write(open(&ticket)).await.unwrap();
    assert!(matches!(reply, Reply::Ticket { .. }), "{reply:?}");
    (ticket, SystemClock.wall())
}

fn changes(meta: &Meta) -> Vec<bool> {
    meta.peek(|state| {
        let modes = state.events_from(0).filter_map(|event| match event.change {
            Change::SyncMode { guarded, .. } => Some(guarded),
            _ => None,
        });
        modes.collect()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_that_is_lost_is_waited_for_then_given_up_and_taken_back() {
    let (cluster, guard) = guarded(3).await;
    proves(cluster.meta(guard)).await;
    let leader = cluster.leader().await;
    assert_ne!(leader, guard);
    let (first, _) = acknowledged(cluster.meta(leader)).await;
    let is_there = |seat: usize, ticket: &TicketId| {
        let ticket = ticket.clone();
        let meta = cluster.meta(seat).clone();
        async move { wait_for(&meta, move |state| state.ticket(&ticket).is_some()).await }
    };
    is_there(guard, &first).await;
    assert!(!cluster.meta(leader).status().guards.is_empty());

    let name = cluster.seats[guard].member.name.clone();
    cluster.board.cut(&name);
    // Through a follower, so that the answer waits on the leader and not where it was asked.
    let follower = (0..3).find(|seat| *seat != leader && *seat != guard);
    let (alone, at) = acknowledged(cluster.meta(follower.unwrap())).await;
    assert!(
        cluster.meta(leader).peek(is_degraded),
        "acknowledged without the guard, so the log says so"
    );
    // What the guard says by itself is true: the write came after what it proves.
    let verdict = cluster.meta(guard).verdict().unwrap();
    assert!(
        !cluster
            .meta(guard)
            .peek(|state| state.ticket(&alone).is_some())
    );
    assert!(!verdict.proves_now, "{verdict:?}");
    assert!(verdict.proven_until.unwrap() <= at, "{verdict:?} {at:?}");
    assert_eq!(verdict.sync.guards(), [NodeId(3)], "it knows no better");

    cluster.board.mend(&name);
    is_there(guard, &alone).await;
    for meta in cluster.running() {
        wait_for(&meta, is_guarded).await;
    }
    proves(cluster.meta(guard)).await;
    let seen = changes(cluster.meta(leader));
    assert!(seen.starts_with(&[true, false, true]), "{seen:?}");
    let again = cluster.meta(guard).verdict().unwrap();
    assert!(again.proven_until > verdict.proven_until);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_dies_while_the_guard_is_away() {
    let (mut cluster, guard) = guarded(5).await;
    proves(cluster.meta(guard)).await;
    let leader = cluster.leader().await;
    let name = cluster.seats[guard].member.name.clone();
    cluster.board.cut(&name);
    let writer = (0..5)
        .find(|seat| *seat != leader && *seat != guard)
        .unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writing = tokio::spawn(write_until(cluster.meta(writer).clone(), stopped));
    // In the middle of the stall: the next leader must wait for itself, then say it in the log.
    tokio::time::sleep(LEASE / 4).await;
    cluster.crash(leader, 4).await;
    let next = cluster.leader().await;
    wait_for(cluster.meta(next), is_degraded).await;
    let (last, at) = acknowledged(cluster.meta(next)).await;
    let verdict = cluster.meta(guard).verdict().unwrap();
    assert!(verdict.proven_until.unwrap() <= at, "{verdict:?} {at:?}");
    stop.send_replace(true);
    let mut acked = tokio::time::timeout(PATIENCE, writing)
        .await
        .unwrap()
        .unwrap();
    acked.push(last);
    assert_eq!(missing(cluster.meta(next), &acked).await, 0);

    cluster.board.mend(&name);
    wait_for(cluster.meta(guard), is_guarded).await;
    proves(cluster.meta(guard)).await;
    let there = |state: &crate::State| acked.iter().all(|it| state.ticket(it).is_some());
    assert!(
        cluster.meta(guard).peek(there),
        "who proves again has everything"
    );
    let seen = changes(cluster.meta(next));
    assert!(seen.len() < 20, "the mode flaps: {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_that_stops_gives_its_promise_back_and_remembers_it() {
    let (mut cluster, guard) = guarded(3).await;
    proves(cluster.meta(guard)).await;
    let leader = cluster.leader().await;
    let stopped = cluster.seats[guard].meta.take().unwrap();
    stopped.shutdown().await;
    let until = stopped.verdict().unwrap().proven_until.unwrap();
    assert!(until <= SystemClock.wall(), "nothing is promised ahead");
    let (_, at) = acknowledged(cluster.meta(leader)).await;
    assert!(until <= at);
    let mode = cluster.meta(leader).peek(|state| state.sync().mode.clone());
    let released = |mode: &SyncMode| {
        matches!(
            mode,
            SyncMode::Degraded {
                cause: DegradeCause::Released,
                ..
            }
        )
    };
    assert!(released(&mode), "{mode:?}");

    cluster.seats[guard].disk.crash(5);
    cluster.start(guard).await;
    let verdict = cluster.meta(guard).verdict().unwrap();
    if verdict.from_before_restart {
        assert_eq!(verdict.proven_until, Some(until));
    }
    wait_for(cluster.meta(guard), is_guarded).await;
    proves(cluster.meta(guard)).await;
    assert!(cluster.meta(guard).verdict().unwrap().proven_until > Some(until));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_guard_city_nothing_waits() {
    let cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    acknowledged(cluster.meta(leader)).await;
    let mode = cluster.meta(leader).peek(|state| state.sync().clone());
    assert_eq!(mode, Default::default());
    assert_eq!(cluster.meta(leader).verdict(), None);
    assert!(cluster.meta(leader).status().guards.is_empty());
}
