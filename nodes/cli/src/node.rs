//! `node …`: which lineage a node is of, the way back from an old one, and who votes.

use clap::{Args, Subcommand};
use guitai_types::{
    Epoch, NodeName,
    lineage::{LineageView, Rejoined, VoiceChange, VoiceOrder},
    record::Duty,
};
use reqwest::Method;
use serde::Serialize;

use crate::{Asked, Language, Output, failure::Failure, show, staff};

/// `node …`
#[derive(Debug, Subcommand)]
pub enum Node {
    /// 该节点所属纪元 / Which epoch and lineage the node is of
    Lineage(Asked),
    /// 旧纪元节点导出分歧日志后,以学习者身份重新加入 / A node of an old epoch exports what only it has and comes back as a learner
    Rejoin(Rejoin),
    /// 核心节点成为学习者 / A core node becomes a learner
    Add(Voices),
    /// 追平的学习者成为投票者 / Learners that caught up become voters
    Promote(Voices),
    /// 投票者成为学习者 / Voters become learners
    Demote(Voices),
    /// 学习者退出 / A learner leaves
    Remove(Voices),
    /// 以学习者替换投票者 / A learner takes a voter's place
    Replace(Replace),
}

/// Arguments of the changes of who votes.
#[derive(Debug, Args)]
pub struct Voices {
    /// 节点 / Nodes
    #[arg(required = true)]
    pub nodes: Vec<NodeName>,
    /// 允许投票者为偶数 / An even number of voters is meant
    #[arg(long)]
    pub even: bool,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `node replace`.
#[derive(Debug, Args)]
pub struct Replace {
    /// 退出的投票者 / The voter that leaves
    pub old: NodeName,
    /// 接替的学习者 / The learner that votes instead
    #[arg(long)]
    pub by: NodeName,
    /// 允许投票者为偶数 / An even number of voters is meant
    #[arg(long)]
    pub even: bool,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `node rejoin`.
#[derive(Debug, Args)]
pub struct Rejoin {
    /// 要加入的纪元;默认为该节点所知最高者 / The epoch to join; the highest the node has heard of unless given
    #[arg(long)]
    pub epoch: Option<u64>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

impl Node {
    pub(crate) const fn output(&self) -> &Output {
        match self {
            Self::Lineage(asked) => &asked.output,
            Self::Rejoin(rejoin) => &rejoin.asked.output,
            Self::Add(voices)
            | Self::Promote(voices)
            | Self::Demote(voices)
            | Self::Remove(voices) => &voices.asked.output,
            Self::Replace(replace) => &replace.asked.output,
        }
    }
}

#[derive(Serialize)]
struct RejoinBody {
    epoch: Option<Epoch>,
}

pub(crate) async fn answer(command: &Node, lang: Language) -> Result<String, Failure> {
    match command {
        Node::Lineage(asked) => lineage(asked, lang).await,
        Node::Rejoin(rejoin) => come_back(rejoin, lang).await,
        Node::Add(voices) => one_by_one(voices, lang, |node| VoiceChange::Add { node }).await,
        Node::Remove(voices) => one_by_one(voices, lang, |node| VoiceChange::Remove { node }).await,
        Node::Promote(voices) => {
            let nodes = voices.nodes.clone();
            change(
                &voices.asked,
                VoiceChange::Promote { nodes },
                voices.even,
                lang,
            )
            .await
        }
        Node::Demote(voices) => {
            let nodes = voices.nodes.clone();
            change(
                &voices.asked,
                VoiceChange::Demote { nodes },
                voices.even,
                lang,
            )
            .await
        }
        Node::Replace(it) => {
            let (old, by) = (it.old.clone(), it.by.clone());
            change(&it.asked, VoiceChange::Replace { old, by }, it.even, lang).await
        }
    }
}

async fn one_by_one(
    voices: &Voices,
    lang: Language,
    act: impl Fn(NodeName) -> VoiceChange,
) -> Result<String, Failure> {
    let mut text = String::new();
    for node in &voices.nodes {
        let act = act(node.clone());
        text = change(&voices.asked, act, voices.even, lang).await?;
    }
    Ok(text)
}

async fn change(
    asked: &Asked,
    change: VoiceChange,
    even: bool,
    lang: Language,
) -> Result<String, Failure> {
    let door = staff::enter(&asked.access, &[Duty::Operator]).await?;
    let order = VoiceOrder { change, even };
    let order: VoiceOrder = door.send(Method::POST, "/api/v1/voices", &order).await?;
    if asked.output.json {
        return show::json(&order);
    }
    Ok(lang
        .pick("表决成员已变更\n", "Who votes has changed\n")
        .to_owned())
}

async fn lineage(asked: &Asked, lang: Language) -> Result<String, Failure> {
    let door = staff::enter_node(&asked.access, &[Duty::Operator, Duty::Auditor]).await?;
    let lineage: LineageView = door.get("/api/v1/node/lineage").await?;
    if asked.output.json {
        return show::json(&lineage);
    }
    let mut text = format!("{} {}\n", lang.pick("纪元", "epoch"), lineage.epoch.0);
    if let Some(quarantine) = &lineage.quarantine {
        text.push_str(&show::quarantine(quarantine, lang));
    }
    if lineage.joining {
        text.push_str(lang.pick(
            "等待被接纳为学习者\n",
            "waiting to be taken in as a learner\n",
        ));
    }
    if let Some(it) = &lineage.tombstone {
        text.push_str(&format!(
            "{} {} → {} · {} · {} · {} · {}\n",
            lang.pick("接管", "takeover"),
            it.epoch_old.0,
            it.epoch.0,
            it.node,
            show::when(it.at.0),
            it.ordered_by,
            it.reason,
        ));
    }
    Ok(text)
}

async fn come_back(arguments: &Rejoin, lang: Language) -> Result<String, Failure> {
    let door = staff::enter_node(&arguments.asked.access, &[Duty::Operator]).await?;
    let body = RejoinBody {
        epoch: arguments.epoch.map(Epoch),
    };
    let rejoined: Rejoined = door
        .send(Method::POST, "/api/v1/node/rejoin", &body)
        .await?;
    if arguments.asked.output.json {
        return show::json(&rejoined);
    }
    let Rejoined {
        epoch_old,
        epoch,
        divergent,
        file,
    } = rejoined;
    let file = file.unwrap_or_else(|| "-".to_owned());
    let (old, new) = (epoch_old.0, epoch.0);
    Ok(match lang {
        Language::Zh => format!(
            "由纪元 {old} 加入纪元 {new};分歧日志 {divergent} 条,已导出:{file}\n节点正在重新启动,随后以学习者身份加入\n"
        ),
        Language::En => format!(
            "From epoch {old} to epoch {new}; {divergent} divergent entries, exported to {file}\nThe node starts anew and comes back as a learner\n"
        ),
    })
}
