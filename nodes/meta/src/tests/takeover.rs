//! A city is lost, the other goes on, and what comes back of the first is fenced.

use guitai_host::Disk as _;
use guitai_types::{
    Epoch, NodeName,
    lineage::{LineageView, TakeoverOrder},
};

use super::*;
use crate::{TakeoverError, WriteError};

/// Seats of city A, then of city B; the last one of B is a learner.
const A: [usize; 3] = [0, 1, 2];
const B: [usize; 3] = [3, 4, 5];

/// Four voters in A would do as three; B has one voter more than a learner can replace.
async fn two_cities(snapshot_every: u64) -> Cluster {
    let members = (1..=6).map(|number| Member {
        centre: id(if number <= 3 { "a1" } else { "b" }),
        voice: if number <= 5 {
            Voice::Voter
        } else {
            Voice::Learner
        },
        ..member(number)
    });
    Cluster::of(members.collect(), snapshot_every, Vec::new()).await
}

fn order() -> TakeoverOrder {
    TakeoverOrder {
        epoch: None,
        survivors: Vec::new(),
        reason: "city A burns".to_owned(),
    }
}

async fn tickets(meta: &Meta, count: usize) -> Vec<TicketId> {
    let mut acked = Vec::new();
    for _ in 0..count {
        let ticket = ticket();
        meta.write(open(&ticket)).await.unwrap();
        acked.push(ticket);
    }
    acked
}

/// Waits until a node has applied as much as another had.
async fn caught_up(meta: &Meta, of: &Meta) {
    let number = of.peek(crate::State::event_number);
    wait_for(meta, move |state| state.event_number() >= number).await;
}

/// Waits until there is no sign of a leader any more.
async fn forgotten(meta: &Meta) {
    let waits = async {
        while meta.stand().leader.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap();
}

async fn lineage(meta: &Meta, holds: impl Fn(&LineageView) -> bool) {
    let waits = async {
        while !holds(&meta.lineage_view()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waits).await;
    assert!(waited.is_ok(), "{:?}", meta.lineage_view());
}

impl Cluster {
    /// Starts nodes anew as their supervisor would, whenever they ask for it.
    async fn restart_when_wanted(&mut self, seat: usize) {
        let wanted = self.meta(seat).restart_wanted();
        tokio::time::timeout(PATIENCE, wanted).await.unwrap();
        self.restart(seat).await;
    }

    async fn restart(&mut self, seat: usize) {
        let meta = self.seats[seat].meta.take().unwrap();
        meta.shutdown().await;
        drop(meta);
        self.seats[seat].disk.restart();
        self.start(seat).await;
    }

    async fn lose(&mut self, seats: impl IntoIterator<Item = usize>) {
        for seat in seats {
            self.crash(seat, 1 + seat as u64).await;
        }
    }
}

/// Checks and takes over.
async fn taking(meta: &Meta, order: TakeoverOrder) -> Result<Epoch, TakeoverError> {
    let checked = meta.check_takeover(order, "bank/admin".to_owned()).await?;
    meta.takeover(checked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_city_goes_on_with_everything_acknowledged_and_the_first_is_fenced() {
    let mut cluster = two_cities(10_000).await;
    let acked = tickets(cluster.meta(0), 30).await;
    for seat in B {
        caught_up(cluster.meta(seat), cluster.meta(0)).await;
    }
    cluster.lose(A).await;
    forgotten(cluster.meta(3)).await;
    let epoch = taking(cluster.meta(3), order());
    assert_eq!(epoch.await.unwrap(), Epoch(2));
    cluster.restart_when_wanted(3).await;

    // The node that took over leads alone, in the new epoch, with everything.
    wait_for(cluster.meta(3), |state| state.epoch() == Epoch(2)).await;
    assert_eq!(missing(cluster.meta(3), &acked).await, 0);
    let tombstone = cluster.meta(3).lineage_view().tombstone.unwrap();
    assert_eq!(
        (tombstone.epoch_old, tombstone.ordered_by.as_str()),
        (Epoch(1), "bank/admin")
    );
    assert_eq!(tombstone.survivors.len(), 3);
    // The other survivors follow without anybody's help and hold what comes after.
    cluster.restart_when_wanted(4).await;
    cluster.restart_when_wanted(5).await;
    let more = tickets(cluster.meta(3), 5).await;
    for seat in B {
        caught_up(cluster.meta(seat), cluster.meta(3)).await;
        let held = cluster.meta(seat).peek(|state| {
            let held = |ticket: &&TicketId| state.ticket(ticket).is_some();
            acked.iter().chain(&more).filter(held).count()
        });
        assert_eq!(held, acked.len() + more.len(), "seat {seat}");
    }
    // The member list says what raft does.
    let voices = |state: &crate::State| {
        let voices = state.members().map(|member| member.voice);
        voices.collect::<Vec<_>>()
    };
    let (none, voter, learner) = (Voice::None, Voice::Voter, Voice::Learner);
    wait_for(cluster.meta(3), move |state| {
        voices(state) == [none, none, none, voter, learner, learner]
    })
    .await;

    // A majority of the old lineage comes back together, and still none of it is obeyed.
    for seat in A {
        cluster.start(seat).await;
    }
    let back = cluster.meta(0);
    lineage(back, |view| view.quarantine.is_some()).await;
    let refused = back.write(open(&ticket())).await;
    assert!(
        matches!(refused, Err(WriteError::Quarantined { heard: Epoch(2) })),
        "{refused:?}"
    );
    assert_eq!(back.status().leader, None);
    assert_eq!(back.peek(|state| state.epoch()), Epoch(1), "read-only");
    for seat in A {
        lineage(cluster.meta(seat), |view| view.quarantine.is_some()).await;
    }
    assert!(cluster.meta(4).lineage_view().quarantine.is_none());
    assert_eq!(missing(cluster.meta(4), &more).await, 0);
    // For good: a restart does not lift it.
    cluster.restart(0).await;
    assert!(cluster.meta(0).lineage_view().quarantine.is_some());
    let again = taking(cluster.meta(0), order()).await;
    assert!(
        matches!(again, Err(TakeoverError::Quarantined { .. })),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_nobody_said_was_committed_is_taken_along() {
    let mut cluster = two_cities(10_000).await;
    let leader = cluster.leader().await;
    let acked = tickets(cluster.meta(leader), 3).await;
    caught_up(cluster.meta(3), cluster.meta(leader)).await;
    cluster.lose((0..6).filter(|seat| *seat != 3)).await;
    // An entry in the log, durable, that the node was never told is committed.
    let late = ticket();
    let last = cluster.meta(3).log_last().unwrap().unwrap();
    let metrics = cluster.meta(3).raft().metrics();
    let vote = openraft::async_runtime::WatchReceiver::borrow_watched(&metrics).vote;
    let leading = vote.leader_id;
    let proposal = guitai_types::command::Proposal {
        v: 1,
        request: random_id(&SystemEntropy, RequestId::from_random),
        at: UnixMillis(1),
        command: open(&late),
        salt: None,
    };
    let entry = crate::raft::Entry {
        log_id: crate::raft::LogId::new(leading, last.index + 1),
        payload: openraft::EntryPayload::Normal(crate::raft::Agreed(vec![
            crate::raft::Proposed::new(proposal).unwrap(),
        ])),
    };
    let append = crate::raft::AppendRequest {
        vote: crate::raft::Vote::new_committed(leading.term, leading.node_id),
        prev_log_id: Some(last),
        entries: vec![entry],
        leader_commit: None,
    };
    cluster.meta(3).raft().append_entries(append).await.unwrap();
    assert!(
        cluster.meta(3).peek(|state| state.ticket(&late).is_none()),
        "it is not applied"
    );
    forgotten(cluster.meta(3)).await;
    let epoch = taking(cluster.meta(3), order());
    epoch.await.unwrap();
    cluster.restart_when_wanted(3).await;
    assert_eq!(missing(cluster.meta(3), &acked).await, 0);
    assert_eq!(missing(cluster.meta(3), &[late]).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_that_need_not_be_is_refused_with_the_reason() {
    let mut cluster = two_cities(10_000).await;
    let leader = cluster.leader().await;
    let refused = taking(cluster.meta(3), order()).await;
    assert!(
        matches!(refused, Err(TakeoverError::LeaderKnown { .. })),
        "{refused:?}"
    );
    let low = TakeoverOrder {
        epoch: Some(Epoch(1)),
        ..order()
    };
    let refused = taking(cluster.meta(3), low).await;
    assert!(
        matches!(refused, Err(TakeoverError::EpochNotAbove { .. })),
        "{refused:?}"
    );
    let unnamed: NodeName = id("n-9");
    let strange = TakeoverOrder {
        survivors: vec![unnamed],
        ..order()
    };
    let refused = taking(cluster.meta(3), strange).await;
    assert!(
        matches!(refused, Err(TakeoverError::Unknown { .. })),
        "{refused:?}"
    );
    let refused = taking(
        cluster.meta(3),
        TakeoverOrder {
            reason: " ".to_owned(),
            ..order()
        },
    )
    .await;
    assert!(matches!(refused, Err(TakeoverError::Reason)), "{refused:?}");

    // Nobody can lead any more, but one of A still answers: it must be off first.
    let lost: Vec<usize> = [0, 1, 2, 4].into();
    let kept = if lost.contains(&leader) && leader < 3 {
        (leader + 1) % 3
    } else {
        0
    };
    cluster
        .lose(lost.into_iter().filter(|seat| *seat != kept))
        .await;
    forgotten(cluster.meta(3)).await;
    let refused = taking(cluster.meta(3), order()).await;
    let name = cluster.seats[kept].member.name.clone();
    assert!(
        matches!(&refused, Err(TakeoverError::Reachable { node }) if *node == name),
        "{refused:?}"
    );
    // Refused means unchanged: it goes on as soon as a majority is back.
    for seat in [0, 1, 2, 4] {
        if cluster.seats[seat].meta.is_none() {
            cluster.start(seat).await;
        }
    }
    tickets(cluster.meta(3), 1).await;
    assert_eq!(cluster.meta(3).lineage_view().epoch, Epoch(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_checked_is_void_when_a_leader_is_heard_again() {
    let mut cluster = two_cities(10_000).await;
    cluster.lose(A).await;
    forgotten(cluster.meta(3)).await;
    let checked = cluster.meta(3).check_takeover(order(), String::new()).await;
    for seat in A {
        cluster.start(seat).await;
    }
    tickets(cluster.meta(3), 1).await;
    let refused = cluster.meta(3).takeover(checked.unwrap());
    // By the leader it hears, or by the clock where the cluster took longer to come back.
    assert!(
        matches!(
            refused,
            Err(TakeoverError::LeaderKnown { .. } | TakeoverError::Stale { .. })
        ),
        "{refused:?}"
    );
    tickets(cluster.meta(3), 1).await;
    assert_eq!(cluster.meta(3).lineage_view().epoch, Epoch(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_survivor_with_more_entries_is_named() {
    let mut cluster = two_cities(10_000).await;
    let behind = cluster.seats[5].member.name.clone();
    cluster.board.cut(&behind);
    tickets(cluster.meta(3), 5).await;
    caught_up(cluster.meta(4), cluster.meta(3)).await;
    cluster.lose(A).await;
    cluster.board.mend(&behind);
    for seat in B {
        forgotten(cluster.meta(seat)).await;
    }
    let refused = taking(cluster.meta(5), order()).await;
    assert!(
        matches!(&refused, Err(TakeoverError::Behind { there, here, .. }) if there > here),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_cut_at_any_place_is_done_again() {
    let mut cluster = two_cities(20).await;
    let acked = tickets(cluster.meta(0), 50).await;
    caught_up(cluster.meta(3), cluster.meta(0)).await;
    cluster.lose([0, 1, 2, 4, 5]).await;
    forgotten(cluster.meta(3)).await;
    let epoch = taking(cluster.meta(3), order());
    epoch.await.unwrap();
    let mut cuts = 0;
    loop {
        // Every start gets a little farther before the power fails.
        let meta = cluster.seats[3].meta.take();
        if let Some(meta) = meta {
            meta.shutdown().await;
        }
        cluster.seats[3].disk.crash(cuts);
        cluster.seats[3].disk.cut_after(cuts);
        let opened = cluster.try_start(3).await;
        let there = cluster.seats[3]
            .disk
            .exists(std::path::Path::new("raft-takeover.json"));
        cuts += 1;
        if opened && !there.unwrap_or(true) {
            break;
        }
        assert!(cuts < 2_000, "it comes to an end");
    }
    assert!(cuts > 10, "{cuts} cuts hit the rebuild");
    if let Some(meta) = cluster.seats[3].meta.take() {
        meta.shutdown().await;
    }
    cluster.seats[3].disk.crash(7);
    cluster.start(3).await;
    assert_eq!(missing(cluster.meta(3), &acked).await, 0);
    let view = cluster.meta(3).lineage_view();
    assert_eq!((view.epoch, view.quarantine), (Epoch(2), None));
}
