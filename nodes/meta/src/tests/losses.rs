//! Nodes that are lost for good: a disk that fails, a voter that stays dead.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_fails_says_that_it_must_end() {
    let cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    let failing = (leader + 1) % 3;
    let failed = cluster.meta(failing).failed();
    tokio::pin!(failed);
    let healthy = tokio::time::timeout(Duration::from_millis(300), failed.as_mut()).await;
    assert!(healthy.is_err(), "a node whose disk works goes on");
    cluster.seats[failing].disk.fail_sync();
    for _ in 0..3 {
        let reply = cluster.meta(leader).write(open(&ticket())).await.unwrap();
        assert!(matches!(reply, Reply::Ticket { .. }), "{reply:?}");
    }
    let why = tokio::time::timeout(PATIENCE, failed).await.unwrap();
    assert!(why.contains("torage") || why.contains("sync"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_stays_dead_is_replaced_and_comes_back_as_a_learner() {
    let mut members: Vec<Member> = (1..=4).map(member).collect();
    members[3].voice = Voice::Learner;
    let mut cluster = Cluster::of(members, 10_000, Vec::new()).await;
    // The profile says it of every node: each is started again with it.
    cluster.replace_after = Some(Duration::from_secs(2));
    for seat in 0..4 {
        cluster.crash(seat, seat as u64).await;
        cluster.start(seat).await;
        cluster.leader().await;
    }
    let voices = |meta: &Meta| meta.peek(|state| state.members().map(|it| it.voice).collect());
    let leader = cluster.leader().await;
    let dead = (leader + 1) % 3;
    let expected: Vec<Voice> = (0..4)
        .map(|seat| {
            if seat == dead {
                Voice::Learner
            } else {
                Voice::Voter
            }
        })
        .collect();
    cluster.crash(dead, 7).await;
    let meta = cluster.meta(leader).clone();
    let replaced = async {
        loop {
            let now: Vec<Voice> = voices(&meta);
            if now == expected && meta.status().voters.len() == 3 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, replaced).await.unwrap();
    // The next loss is borne, which it was not before.
    cluster.start(dead).await;
    let acked = ticket();
    meta.write(open(&acked)).await.unwrap();
    wait_for(cluster.meta(dead), move |state| {
        state.ticket(&acked).is_some()
    })
    .await;
    assert!(
        !meta
            .status()
            .voters
            .contains(&cluster.seats[dead].member.id)
    );
}
