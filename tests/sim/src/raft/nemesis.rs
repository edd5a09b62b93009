//! Does harm by dice, then lets the cluster show that it goes on.

use std::time::Duration;

use guitai_meta::sim;
use guitai_types::NodeId;

use super::{clients, cluster::Cluster, net::Weather};
use crate::{Dice, Violation};

/// Harm is done for at most this, in milliseconds; at least half of it.
const RAGE_MS: u64 = 14_000;
/// Longest pause between two acts, in milliseconds.
const REST_MS: u64 = 900;
/// After everything is healed, every node must have a write acknowledged within this, in
/// milliseconds: several elections at the slowest timing, and a snapshot.
const RECOVERY_MS: u64 = 40_000;
/// After the last write every node must have applied the same within this, in milliseconds.
const SETTLE_MS: u64 = 20_000;

/// Whoever is to vote when the leader is cut off has done so within this, in milliseconds.
const ELECTION_MS: u64 = 4_000;

/// One act of the nemesis, with how often it is chosen.
const ACTS: [(Act, u64); 16] = [
    (Act::Kill, 8),
    (Act::PowerCut, 10),
    (Act::Pause, 8),
    (Act::Isolate, 8),
    (Act::Split, 10),
    (Act::CutThenLose, 8),
    (Act::OneWay, 8),
    (Act::SlowDisk, 6),
    (Act::DiskFails, 6),
    (Act::ClockWrong, 4),
    (Act::Transfer, 8),
    (Act::Snapshot, 6),
    (Act::AllPowerCut, 5),
    (Act::BadWeather, 6),
    (Act::RestartStorm, 8),
    (Act::VoteThenCut, 14),
];

#[derive(Debug, Clone, Copy)]
enum Act {
    Kill,
    PowerCut,
    Pause,
    Isolate,
    Split,
    CutThenLose,
    OneWay,
    SlowDisk,
    DiskFails,
    ClockWrong,
    Transfer,
    Snapshot,
    AllPowerCut,
    BadWeather,
    RestartStorm,
    VoteThenCut,
}

/// Rages for a while, up to two acts at a time.
pub async fn rage(cluster: &Cluster, dice: &mut Dice) {
    let mut left_ms = RAGE_MS / 2 + dice.below(RAGE_MS / 2);
    // A world in three loses a centre for good, and must live without.
    let mut loses_a_centre = dice.percent(33);
    let mut acts = Vec::new();
    while left_ms > 0 {
        let rest_ms = (100 + dice.below(REST_MS)).min(left_ms);
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
        left_ms -= rest_ms;
        let act = choose(dice);
        cluster.trace().note(format_args!("act {act:?}"));
        let for_good = matches!(act, Act::CutThenLose) && std::mem::take(&mut loses_a_centre);
        let doing = perform(cluster.clone(), act, for_good, Dice::new(dice.throw()));
        acts.push(tokio::spawn(doing));
        if dice.percent(60) {
            // Alone for a while.
            let alone_ms = dice.below(1_500).min(left_ms);
            tokio::time::sleep(Duration::from_millis(alone_ms)).await;
            left_ms -= alone_ms;
        }
    }
    for act in acts {
        if let Err(error) = act.await {
            cluster
                .oracle()
                .accuse(format!("the nemesis broke: {error}"));
        }
    }
}

/// After healing: every node that is on has a write acknowledged.
pub async fn must_go_on(cluster: &Cluster) -> Result<(), Violation> {
    let nodes = cluster.wanted();
    for node in nodes {
        let tried = async {
            while !clients::write(cluster, node, 0).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let within = Duration::from_millis(RECOVERY_MS);
        if tokio::time::timeout(within, tried).await.is_err() {
            let leaders = cluster.leaders();
            return Err(format!(
                "liveness: {RECOVERY_MS} ms after everything was healed no write on node {node} is \
                 acknowledged (leading: {leaders:?})"
            ));
        }
    }
    Ok(())
}

/// After the last write: every node that is on applies the same.
pub async fn must_settle(cluster: &Cluster) -> Result<(), Violation> {
    let nodes = cluster.wanted();
    let applied = || -> Vec<u64> {
        let metas = nodes.iter().filter_map(|node| cluster.meta(*node));
        metas
            .map(|meta| sim::applied(&meta, |applied, _| applied))
            .collect()
    };
    for _ in 0..SETTLE_MS / 20 {
        let now = applied();
        if now.len() == nodes.len() && now.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!(
        "liveness: {SETTLE_MS} ms after the last write nodes {nodes:?} have applied {:?}",
        applied()
    ))
}

fn choose(dice: &mut Dice) -> Act {
    let all: u64 = ACTS.iter().map(|(_, often)| often).sum();
    let mut at = dice.below(all);
    for (act, often) in ACTS {
        if at < often {
            return act;
        }
        at -= often;
    }
    Act::Kill
}

async fn perform(cluster: Cluster, act: Act, for_good: bool, mut dice: Dice) {
    let dice = &mut dice;
    match act {
        Act::Kill => {
            let node = somebody(&cluster, dice);
            cluster.kill(node);
            pause(dice, 2_000).await;
            cluster.switch_on(node).await;
        }
        Act::PowerCut => {
            let node = somebody(&cluster, dice);
            cut_power(&cluster, &[node], dice).await;
            pause(dice, 2_000).await;
            cluster.switch_on(node).await;
        }
        Act::Pause => {
            let node = somebody(&cluster, dice);
            cluster.pause(node);
            pause(dice, 3_000).await;
            cluster.resume(node);
        }
        Act::Isolate => {
            let node = somebody(&cluster, dice);
            let rest = others(&cluster, &[node]);
            part(&cluster, &[node], &rest, dice).await;
        }
        Act::Split => {
            let centre = dice.pick(["a1", "a2", "b"]).unwrap_or("b");
            let side = cluster.centre(centre);
            let rest = if dice.percent(50) {
                others(&cluster, &side)
            } else {
                let other = dice.pick(["a1", "a2", "b"].into_iter().filter(|it| *it != centre));
                cluster.centre(other.unwrap_or("a1"))
            };
            part(&cluster, &side, &rest, dice).await;
        }
        Act::CutThenLose => cut_then_lose(&cluster, for_good, dice).await,
        Act::OneWay => {
            let node = somebody(&cluster, dice);
            let rest = others(&cluster, &[node]);
            let (from, to) = if dice.percent(50) {
                (vec![node], rest)
            } else {
                (rest, vec![node])
            };
            cluster.net().cut(&from, &to);
            pause(dice, 3_000).await;
            cluster.net().mend(&from, &to);
        }
        Act::SlowDisk => {
            let node = somebody(&cluster, dice);
            cluster.disk_pace(node, Some(20 + dice.below(400)));
            pause(dice, 3_000).await;
            cluster.disk_pace(node, None);
        }
        // It is started again when its consensus stops.
        Act::DiskFails => {
            let node = somebody(&cluster, dice);
            cluster.disk_fails(node, dice);
        }
        Act::ClockWrong => {
            let node = somebody(&cluster, dice);
            let by_ms = dice.below(10_000) as i64 - 5_000;
            cluster.clock_wrong(node, by_ms);
        }
        Act::Transfer => {
            let to = somebody(&cluster, dice);
            for leader in cluster.leaders() {
                cluster
                    .on(leader, move |meta| async move {
                        sim::transfer_leader(&meta, to.0).await;
                    })
                    .await;
            }
        }
        Act::Snapshot => {
            let node = somebody(&cluster, dice);
            cluster
                .on(node, |meta| async move { sim::snapshot(&meta).await })
                .await;
        }
        Act::AllPowerCut => {
            let all = cluster.wanted();
            cut_power(&cluster, &all, dice).await;
            let mut off = all;
            while let Some(node) = dice.pick(off.clone()) {
                off.retain(|it| *it != node);
                pause(dice, 400).await;
                cluster.switch_on(node).await;
            }
        }
        Act::BadWeather => {
            cluster.net().weather(Weather {
                lost_percent: dice.below(25),
                twice_percent: dice.below(25),
                jitter_ms: dice.below(60),
            });
            pause(dice, 3_000).await;
            cluster.net().weather(Weather::default());
        }
        Act::RestartStorm => restart_storm(&cluster, dice).await,
        Act::VoteThenCut => vote_then_cut(&cluster, dice).await,
    }
}

/// facts/raft-dr.md 6.3: the link A1-A2 is cut, entries are committed with B; then A1 is lost.
async fn cut_then_lose(cluster: &Cluster, for_good: bool, dice: &mut Dice) {
    let (near, far) = (cluster.centre("a1"), cluster.centre("a2"));
    let leads_far = cluster.leaders().iter().any(|leader| far.contains(leader));
    let (lost, left) = if leads_far { (far, near) } else { (near, far) };
    cluster.net().cut(&lost, &left);
    cluster.net().cut(&left, &lost);
    tokio::time::sleep(Duration::from_millis(400 + dice.below(800))).await;
    if for_good {
        for node in &lost {
            cluster.lose(*node);
        }
    } else {
        cut_power(cluster, &lost, dice).await;
    }
    cluster.net().mend(&lost, &left);
    cluster.net().mend(&left, &lost);
    if !for_good {
        pause(dice, 4_000).await;
        for node in lost {
            cluster.switch_on(node).await;
        }
    }
}

/// The leader goes, and voters restart just when they have voted.
async fn restart_storm(cluster: &Cluster, dice: &mut Dice) {
    for leader in cluster.leaders() {
        cluster.kill(leader);
        tokio::time::sleep(Duration::from_millis(400)).await;
        for _ in 0..dice.below(14) {
            tokio::time::sleep(Duration::from_millis(10 + dice.below(60))).await;
            let node = somebody(cluster, dice);
            cluster.kill(node);
            cluster.switch_on(node).await;
        }
        cluster.switch_on(leader).await;
    }
}

/// Whoever votes loses power as soon as its vote has left it, and comes back on the side of the leader
/// whose term that vote ended. A vote that was not durable is then given away again.
async fn vote_then_cut(cluster: &Cluster, dice: &mut Dice) {
    let Some(leader) = dice.pick(cluster.leaders()) else {
        return;
    };
    let mut votes = cluster.net().votes();
    let rest = others(cluster, &[leader]);
    cluster.net().cut(&[leader], &rest);
    cluster.net().cut(&rest, &[leader]);
    // With two of them the old leader has a quorum again.
    let mut voters = Vec::new();
    let mut within_ms = ELECTION_MS;
    while let Ok(Some(voter)) =
        tokio::time::timeout(Duration::from_millis(within_ms), votes.recv()).await
    {
        if voter != leader && !voters.contains(&voter) {
            cluster.power_off(voter, dice);
            voters.push(voter);
        }
        if voters.len() == 2 {
            break;
        }
        within_ms = 40;
    }
    // The votes arrive, then the new leader is alone with who is left.
    tokio::time::sleep(Duration::from_millis(40)).await;
    let side: Vec<NodeId> = voters.iter().copied().chain([leader]).collect();
    let rest = others(cluster, &side);
    cluster.net().cut(&side, &rest);
    cluster.net().cut(&rest, &side);
    cluster.net().mend(&side, &side);
    for voter in &voters {
        cluster.switch_on(*voter).await;
    }
    pause(dice, 1_500).await;
    cluster.net().mend(&side, &rest);
    cluster.net().mend(&rest, &side);
}

/// The power of some machines fails at once, mostly in the middle of their writes.
async fn cut_power(cluster: &Cluster, nodes: &[NodeId], dice: &mut Dice) {
    if dice.percent(70) {
        for node in nodes {
            cluster.power_will_fail(*node, dice);
        }
        tokio::time::sleep(Duration::from_millis(dice.below(30))).await;
    }
    for node in nodes {
        cluster.power_off(*node, dice);
    }
}

async fn part(cluster: &Cluster, side: &[NodeId], rest: &[NodeId], dice: &mut Dice) {
    cluster.net().cut(side, rest);
    cluster.net().cut(rest, side);
    pause(dice, 3_000).await;
    cluster.net().mend(side, rest);
    cluster.net().mend(rest, side);
}

/// A voter mostly, the leader often.
fn somebody(cluster: &Cluster, dice: &mut Dice) -> NodeId {
    let leader = if dice.percent(35) {
        dice.pick(cluster.leaders())
    } else {
        None
    };
    let anybody = dice.pick(cluster.nodes());
    leader.or(anybody).unwrap_or(NodeId(1))
}

fn others(cluster: &Cluster, side: &[NodeId]) -> Vec<NodeId> {
    let all = cluster.nodes().into_iter();
    all.filter(|node| !side.contains(node)).collect()
}

async fn pause(dice: &mut Dice, ms_max: u64) {
    tokio::time::sleep(Duration::from_millis(50 + dice.below(ms_max))).await;
}
