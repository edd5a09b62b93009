//! `relay …`: what an auditor asks of the buffer area: where protocols end, what may cross, what is left there, what it
//! stores, and what whoever takes it over has in hand.

mod buffer;
mod taken;

use clap::Subcommand;
use guitai_flow::{End, Matrix};
use guitai_relay::guard::{MESSAGE_BYTES_MAX, SCHEMAS, schema::Form};
use guitai_types::{
    Zone,
    flows::Flows,
    observed::{FlowStanding, FlowWay, FlowsSeen},
    record::Duty,
};
use serde_json::{Value, json};

use crate::{
    Done, Language,
    args::Asked,
    failure::{FINDINGS, Failure},
    flow::told::{as_of, bytes},
    http::Door,
    show, staff,
    table::Table,
};

/// Who may ask.
const READERS: &[Duty] = &[Duty::Operator, Duty::Auditor];

/// `relay …`
#[derive(Debug, Subcommand)]
pub enum Relay {
    /// 各协议在何处终止、重新生成为何物 / Where each protocol ends, and as what it is made anew
    Breaks(Asked),
    /// 可跨区的消息、字段与限值,及通过与拒绝之数 / Which messages and fields may cross, their limits, how many did and did not
    Schema(Asked),
    /// 缓冲区有无留存客户数据 / Whether data of customers stayed in the buffer area
    Residue(Asked),
    /// 缓冲区现存何物、由何密钥加密 / What is stored in the buffer area, under which key
    Store(Asked),
    /// 缓冲区节点失陷后能触及、伪造、读取什么 / What a node of the buffer area reaches, forges and reads once it is taken over
    BlastRadius(Asked),
}

impl Relay {
    pub(crate) const fn asked(&self) -> &Asked {
        let (Self::Breaks(asked)
        | Self::Schema(asked)
        | Self::Residue(asked)
        | Self::Store(asked)
        | Self::BlastRadius(asked)) = self;
        asked
    }
}

/// Runs one `guitai relay …` command.
pub(crate) async fn run(command: &Relay, lang: Language) -> Result<Done, Failure> {
    let asked = command.asked();
    let door = staff::enter(&asked.access, READERS).await?;
    let mut answer = match command {
        Relay::Breaks(_) => breaks(&door, lang).await?,
        Relay::Schema(_) => schema(&door, lang).await?,
        Relay::Residue(_) => buffer::residue(&door, lang).await?,
        Relay::Store(_) => buffer::store(&door, lang).await?,
        Relay::BlastRadius(_) => taken::blast_radius(&door, lang).await?,
    };
    answer.as_of(&door).await;
    answer.done(asked.output.json, lang)
}

/// An answer to an auditor: the same in words and as JSON.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) value: Value,
    /// What somebody has to look at.
    pub(crate) findings: Vec<String>,
    /// The checkpoint of the log that it was made from.
    checkpoint: Option<String>,
}

impl Answer {
    /// Notes the newest checkpoint of the log.
    pub(crate) async fn as_of(&mut self, door: &Door) {
        self.checkpoint = checkpoint(door).await;
    }

    /// As it is printed, and its exit code.
    pub(crate) fn done(self, json: bool, lang: Language) -> Result<Done, Failure> {
        let exit = if self.findings.is_empty() {
            0
        } else {
            FINDINGS
        };
        let text = if json {
            let mut value = self.value;
            value["findings"] = json!(self.findings);
            value["checkpoint"] = json!(self.checkpoint);
            show::json(&value)?
        } else {
            let mut text = self.text;
            text.push('\n');
            for finding in &self.findings {
                text.push_str(&format!("! {finding}\n"));
            }
            if self.findings.is_empty() {
                text.push_str(
                    lang.pick("无须处理之事\n", "Nothing that somebody has to look at\n"),
                );
            }
            text + &as_of(self.checkpoint.as_deref(), lang)
        };
        Ok(Done { text, exit })
    }
}

/// The newest checkpoint; none where the log has published none.
pub(crate) async fn checkpoint(door: &Door) -> Option<String> {
    let pieces = door.download("/log/sm3/checkpoint").await.ok()?;
    let bytes: Vec<_> = futures::TryStreamExt::try_collect::<Vec<_>>(pieces)
        .await
        .ok()?;
    String::from_utf8(bytes.concat()).ok()
}

/// The matrix in force.
pub(crate) async fn matrix(door: &Door) -> Result<Matrix, Failure> {
    let flows: Flows = door.get("/api/v1/flows").await?;
    Matrix::parse(&flows.present.matrix).map_err(|error| {
        Failure::usage(
            error.to_string(),
            "现行矩阵不可读",
            "The matrix in force cannot be read",
        )
    })
}

async fn breaks(door: &Door, lang: Language) -> Result<Answer, Failure> {
    let matrix = matrix(door).await?;
    let seen: FlowsSeen = door.get("/api/v1/flows/seen").await?;
    let mut answer = Answer::default();
    let mut table = Table::new(match lang {
        Language::Zh => [
            "矩阵行",
            "由谁建立",
            "至",
            "协议",
            "终止于",
            "重新生成为",
            "原样通过",
            "连接",
            "字节",
        ],
        Language::En => [
            "row",
            "who opens",
            "to",
            "protocol",
            "ends at",
            "made anew as",
            "goes on unopened",
            "connections",
            "bytes",
        ],
    });
    let mut rows = Vec::new();
    let buffer = matrix
        .rows()
        .iter()
        .filter(|row| [row.from.zone, row.to.zone].contains(&Zone::Dmz));
    for row in buffer {
        let used = seen
            .nodes
            .iter()
            .filter(|node| node.zone == Zone::Dmz)
            .flat_map(|node| &node.flows);
        let used = used.filter(|flow| {
            flow.way == FlowWay::Accepted
                && flow.standing != FlowStanding::Refused
                && flow.rows.iter().any(|it| it == row.id.as_str())
        });
        let (connections, moved) = used.fold((0_u64, 0_u64), |(connections, moved), flow| {
            (
                connections + flow.connections,
                moved + flow.sent + flow.received,
            )
        });
        let Some(end) = row.protocol.broken() else {
            let id = &row.id;
            answer.findings.push(match lang {
                Language::Zh => format!("行 {id}:协议 {} 在缓冲区不终止", row.protocol),
                Language::En => {
                    format!("row {id}: nothing ends {} in the buffer area", row.protocol)
                }
            });
            continue;
        };
        table.row([
            row.id.to_string(),
            row.opener().to_string(),
            row.listener().to_string(),
            row.protocol.to_string(),
            lang.of(&end.ends).to_owned(),
            lang.of(&end.remade).to_owned(),
            lang.of(&end.unopened).to_owned(),
            connections.to_string(),
            bytes(moved),
        ]);
        rows.push(json!({
            "row": row.id, "opens": row.opener(), "to": row.listener(), "protocol": row.protocol, "ends": end.ends,
            "remade": end.remade, "unopened": end.unopened, "connections": connections, "bytes": moved,
        }));
    }
    // What customers speak to an edge nobody speaks with the inner zone: nothing can go through as it came.
    let of = |other: Zone| -> Vec<_> {
        let rows = matrix.rows().iter().filter(|row| {
            let ends = [row.from, row.to];
            // A browser or a monitor inside that looks at an edge is no way in.
            let passes =
                |end: &End| end.zone == other && (other == Zone::Outer || end.role.is_node());
            ends.iter().any(|end| end.zone == Zone::Dmz) && ends.iter().any(passes)
        });
        rows.map(|row| row.protocol).collect()
    };
    let inside = of(Zone::Inner);
    for protocol in of(Zone::Outer).into_iter().filter(|it| inside.contains(it)) {
        answer.findings.push(match lang {
            Language::Zh => format!("{protocol} 在缓冲区两侧同用:可能原样穿过"),
            Language::En => format!("{protocol} is spoken on both sides of the buffer area: it may go through as it came"),
        });
    }
    answer.text = table.render();
    answer.value = json!({ "at": seen.at, "matrix": seen.matrix, "rows": rows });
    Ok(answer)
}

fn form(form: Form, lang: Language) -> String {
    match (form, lang) {
        (Form::Id(max), Language::Zh) => format!("1 至 {max} 个 a-z、0-9、-"),
        (Form::Id(max), Language::En) => format!("1 to {max} of a-z, 0-9, -"),
        (Form::Line(max), Language::Zh) => format!("单行可打印文字,至多 {max} 字"),
        (Form::Line(max), Language::En) => format!("one printable line, at most {max} characters"),
        (Form::Text(max), Language::Zh) => format!("可打印文字,至多 {max} 字"),
        (Form::Text(max), Language::En) => format!("printable text, at most {max} characters"),
        (Form::Point(bytes), Language::Zh) => format!("SM2 公钥,{bytes} 字节,须在曲线上"),
        (Form::Point(bytes), Language::En) => {
            format!("SM2 public key, {bytes} bytes, on the curve")
        }
        (Form::Wrapped(bytes), Language::Zh) => format!("空,或 SM2 密文 {bytes} 字节"),
        (Form::Wrapped(bytes), Language::En) => {
            format!("nothing, or {bytes} bytes that SM2 wrapped")
        }
        (Form::Integer(from, to), Language::Zh) => format!("整数 {from} 至 {to}"),
        (Form::Integer(from, to), Language::En) => format!("integer, {from} to {to}"),
        (Form::Flag, _) => lang.pick("真或假", "true or false").to_owned(),
        (Form::Yes, _) => lang.pick("仅可为真", "only true").to_owned(),
        (Form::Token(max), Language::Zh) => format!("字母、数字、-_.,至多 {max} 字节"),
        (Form::Token(max), Language::En) => {
            format!("letters, digits, - _ and ., at most {max} bytes")
        }
        (Form::Origin(max), Language::Zh) => format!("协议、主机、端口,至多 {max} 字节"),
        (Form::Origin(max), Language::En) => format!("scheme, host and port, at most {max} bytes"),
        (Form::Hash(chars), Language::Zh) => format!("摘要,{chars} 个十六进制字符"),
        (Form::Hash(chars), Language::En) => format!("a digest, {chars} hexadecimal characters"),
        (Form::Time, _) => lang.pick("毫秒时间", "time in milliseconds").to_owned(),
        (Form::OneOf(words), _) => words.join(" / "),
        (Form::Number, _) => lang.pick("非负整数", "a number from 0 on").to_owned(),
        (Form::Word, _) => lang
            .pick("封闭集合中之一", "a word of a closed set")
            .to_owned(),
    }
}

async fn schema(door: &Door, lang: Language) -> Result<Answer, Failure> {
    let matrix = matrix(door).await?;
    let seen: FlowsSeen = door.get("/api/v1/flows/seen").await?;
    let mut table = Table::new(match lang {
        Language::Zh => ["消息", "字段", "可为", "个数", "通过", "拒绝"],
        Language::En => [
            "message", "field", "may be", "how many", "passed", "refused",
        ],
    });
    let mut kinds = Vec::new();
    let mut answer = Answer::default();
    let counted = |kind: &str, refused: bool| -> u64 {
        let all = seen.nodes.iter().flat_map(|node| &node.messages);
        all.filter(|it| it.kind == kind && it.is_refused() == refused)
            .map(|it| it.count)
            .sum()
    };
    for schema in SCHEMAS {
        let rows = matrix
            .rows()
            .iter()
            .filter(|row| row.messages.iter().any(|it| it == schema.kind));
        let rows: Vec<String> = rows.map(|row| row.id.to_string()).collect();
        let (passed, refused) = (counted(schema.kind, false), counted(schema.kind, true));
        if rows.is_empty() && passed > 0 {
            answer.findings.push(match lang {
                Language::Zh => format!("{} 通过 {passed} 条,矩阵无此消息", schema.kind),
                Language::En => format!(
                    "{} passed {passed} times, and no row of the matrix has it",
                    schema.kind
                ),
            });
        }
        let (passed_text, refused_text) = (passed.to_string(), refused.to_string());
        let nothing = lang.pick("(无字段)", "(no field)");
        let mut first = Some((schema.kind.to_owned(), passed_text, refused_text));
        let mut line = |field: &str, may: String, count: String| {
            let (kind, passed, refused) = first.take().unwrap_or_default();
            table.row([kind, field.to_owned(), may, count, passed, refused]);
        };
        if schema.fields.is_empty() {
            line(nothing, String::new(), String::new());
        }
        let mut fields = Vec::new();
        for field in schema.fields {
            let may = form(field.form, lang);
            fields.push(json!({ "field": field.path, "may_be": may, "count": field.count }));
            let count = if field.count > 1 {
                format!("≤ {}", field.count)
            } else {
                String::new()
            };
            line(field.path, may, count);
        }
        kinds.push(json!({
            "kind": schema.kind, "rows": rows, "fields": fields, "passed": passed, "refused": refused,
        }));
    }
    let unknown: u64 = counted("unknown", true);
    table.row([
        "unknown".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        "0".to_owned(),
        unknown.to_string(),
    ]);
    let mut limits = Table::new(match lang {
        Language::Zh => ["矩阵行", "单条字节", "每秒消息", "每秒连接"],
        Language::En => [
            "row",
            "bytes a message",
            "messages a second",
            "connections a second",
        ],
    });
    let mut of_rows = Vec::new();
    for row in matrix
        .rows()
        .iter()
        .filter(|row| [row.from.zone, row.to.zone].contains(&Zone::Dmz))
    {
        let it = &row.limits;
        let numbers = [
            it.message_bytes,
            it.messages_per_second,
            it.connections_per_second,
        ];
        let [message, messages, connections] = numbers.map(|number| number.to_string());
        limits.row([row.id.to_string(), message, messages, connections]);
        of_rows.push(json!({ "row": row.id, "limits": it }));
    }
    let whole = match lang {
        Language::Zh => {
            format!("任何控制消息至多 {MESSAGE_BYTES_MAX} 字节;未列出的字段与消息一律拒绝\n")
        }
        Language::En => {
            format!(
                "Any control message has at most {MESSAGE_BYTES_MAX} bytes; fields and kinds not listed are refused\n"
            )
        }
    };
    answer.text = format!("{}\n{}\n{whole}", table.render(), limits.render());
    answer.value = json!({
        "at": seen.at, "matrix": seen.matrix, "message_bytes_max": MESSAGE_BYTES_MAX, "kinds": kinds, "limits": of_rows,
        "unknown_refused": unknown,
    });
    Ok(answer)
}
