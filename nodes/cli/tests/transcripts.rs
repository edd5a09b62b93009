//! What the user sees: help, and the exit code of every way to fail, as the binary gives them.

use std::process::ExitCode;

use clap::{Command as Clap, FromArgMatches as _, Subcommand as _};
use guitai_cli::{Command, FAILED, FINDINGS, NOT_REACHABLE, NOT_VERIFIED, USAGE};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn parser() -> Clap {
    Command::augment_subcommands(Clap::new("guitai").subcommand_required(true))
}

async fn run(words: &[&str]) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let matches = parser().try_get_matches_from([&["guitai"], words].concat())?;
    Ok(guitai_cli::run(Command::from_arg_matches(&matches)?).await)
}

#[test]
fn help_names_every_command_in_both_languages() {
    let help = parser().render_help().to_string();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    assert_eq!(
        commands,
        [
            "  status      集群概览 / The cluster at a glance",
            "  nodes       节点一览 / The nodes and how they are",
            "  sessions    会话一览 / The sessions",
            "  recordings  录制一览;保存期限、保全与销毁 / The recordings; how long they are kept, holds, and their end",
            "  evidence    证据包:导出与离线校验 / Evidence packages: export, and verify offline",
            "  log         透明日志:证明、副本与离线校验 / The transparency log: proofs, copies, and checks offline",
            "  flow        流转矩阵:跨区流转、差异、防火墙规则、失陷影响 / The flow matrix: what may cross zones, diffs, firewall rules, blast radius",
            "  relay       缓冲区:协议断点、消息规格、留存、存储、失陷影响 / The buffer area: where protocols end, what may cross, residue, stores, blast radius",
            "  trace       一次会话的路径 / The path of one session",
            "  audit       审计:谁登录、做了什么、取用了什么 / Audit: who logged in, did what, was given what",
            "  attest      核验:各节点所运行者是否为批准者 / Whether what runs on every node is what was approved",
            "  ferry       网闸摆渡:以带编号、签名的文件包进出,逐项检查、可续传 / The ferry: what passes a file gap, in numbered, signed bundles",
            "  sandbox     沙箱:各节点进程受何约束,本机内核能给什么 / The sandbox: what holds each node's process, what this kernel can give",
            "  crypto      密码:清单与自检 / Cryptography: the inventory and the self-test",
            "  pki         证书:签发、换发、吊销 / Certificates: issue, rotate, revoke",
            "  tsa         时间戳:签发与离线校验 / Time stamps: make one, and check offline",
            "  keys        密钥:何在、轮换、重新包裹 / Keys at rest: where they are, rotate, rewrap",
            "  dr          灾备:计划、预演、切换、报告 / Disaster recovery: plan, rehearse, fail over, report",
            "  node        单个节点:纪元、重新加入、投票权 / One node: its epoch, coming back, who votes",
            "  demo        经由浏览器所走的入口完成整通演示通话 / Complete calls through the doors that browsers use",
            "  openapi     打印 HTTP 接口描述(OpenAPI) / Print the description of the HTTP interface (OpenAPI)",
            "  help        Print this message or the help of the given subcommand(s)",
        ]
    );
}

#[test]
fn the_arguments_are_sound_and_the_environment_s_secrets_stay_hidden() {
    parser().debug_assert();
    // A value set in the environment would be shown in the help otherwise.
    for command in parser().get_subcommands() {
        for argument in command.get_arguments() {
            if argument.get_env().is_some_and(|name| name != "GUITAI_URL") {
                assert!(argument.is_hide_env_values_set(), "{}", argument.get_id());
            }
        }
    }
}

#[test]
fn help_of_evidence_names_the_composite() {
    let mut parser = parser();
    parser.build();
    let evidence = parser.find_subcommand("evidence").expect("evidence");
    let about = |command: &Clap| {
        let about = command.get_about().map(ToString::to_string);
        format!("{}: {}", command.get_name(), about.unwrap_or_default())
    };
    let commands: Vec<String> = evidence.get_subcommands().map(about).collect();
    assert_eq!(
        commands[..3],
        [
            "export: 取回一通会话的证据包 / Fetch the package of a session",
            "verify: 离线逐项校验证据包 / Check a package offline, item by item",
            "composite: 合成录像:由证据包制作、校验 / The composite: one film of the call, made from its package and checked",
        ]
    );
    let composite = evidence.find_subcommand("composite").expect("composite");
    let commands: Vec<String> = composite.get_subcommands().map(about).collect();
    assert_eq!(
        commands[..2],
        [
            "make: 由证据包制作合成录像;被中断后再次运行即续作 / Make the composite of a package; run again after an interruption, it goes on",
            "verify: 离线校验合成录像:出自此证据包、一字节不差 / Check a composite offline: of this package, and every byte",
        ]
    );
}

#[tokio::test]
async fn a_composite_of_nothing_is_refused() -> Outcome {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("stray.txt"), "no evidence")?;
    let path = dir.path().to_str().ok_or("path")?;
    let out = dir.path().join("film.mp4");
    let film = out.to_str().ok_or("path")?;
    let make = |package, out| ["evidence", "composite", "make", package, "--out", out];
    let missing = run(&make("no-such-directory", film)).await?;
    assert_eq!(missing, ExitCode::from(USAGE));
    assert_eq!(run(&make(path, "film.avi")).await?, ExitCode::from(USAGE));
    // Without ffmpeg it fails before it looks at the package, with another code.
    let refused = run(&make(path, film)).await?;
    assert!(
        [FAILED, NOT_VERIFIED]
            .map(ExitCode::from)
            .contains(&refused)
    );
    assert!(!out.exists());
    let words = ["evidence", "composite", "verify", path, film];
    assert_eq!(run(&words).await?, ExitCode::from(USAGE));
    std::fs::write(&out, "no film")?;
    assert_eq!(run(&words).await?, ExitCode::from(NOT_VERIFIED));
    for bad in ["640", "641x360", "9000x9000"] {
        let words = [&make(path, "b.mp4")[..], &["--size", bad]].concat();
        assert!(run(&words).await.is_err(), "clap refuses {bad}");
    }
    Ok(())
}

#[tokio::test]
async fn evidence_that_is_none_is_not_verified() -> Outcome {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("stray.txt"), "no evidence")?;
    let path = dir.path().to_str().ok_or("path")?;
    assert_eq!(
        run(&["evidence", "verify", path]).await?,
        ExitCode::from(NOT_VERIFIED)
    );
    assert_eq!(
        run(&["evidence", "verify", path, "--json"]).await?,
        ExitCode::from(NOT_VERIFIED)
    );
    Ok(())
}

#[test]
fn recordings_say_how_they_are_kept_in_both_languages() {
    let mut parser = parser();
    let recordings = parser
        .find_subcommand_mut("recordings")
        .expect("a command of guitai");
    let help = recordings.render_help().to_string();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    assert_eq!(
        commands,
        [
            "  list       各录制保存到哪天、是否保全、是否已销毁 / Until when each is kept, what is held, what was erased",
            "  find       查找:业务编号、客户号、姓名、机构网点等 / Find by number of business or customer, name, branch and more",
            "  show       一次录制:类别、保全、期限 / One recording: its classes, holds and last day",
            "  class      给录制定类别,登记终止日 / Say which classes a recording is of, and when what it is about ended",
            "  hold       保全:从此不得销毁,一名授权人即可 / Hold: from now on it is not erased; one officer is enough",
            "  release    解除保全,须两名授权人以本人密钥批准 / Release a hold; two officers must approve with their own keys",
            "  placement  各副本在哪些中心、是否完好 / In which centres its copies are, and how each is",
            "  scrub      通读副本:逐字节与封存时比对,损坏的自动补 / Read copies through, byte by byte; a damaged one is replaced",
            "  film       合成录像:请制作、看进度、下载 / Films: have one made, see how far it is, download it",
            "  policy     保存期限表 / The retention matrix",
            "  help       Print this message or the help of the given subcommand(s)",
        ]
    );
}

#[tokio::test]
async fn a_matrix_that_is_none_is_wrong_usage() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("matrix.toml");
    std::fs::write(&path, "version = 2\nclasses = [{ id = \"loan\" }]\n")?;
    let path = path.to_str().ok_or("path")?;
    assert_eq!(
        run(&["recordings", "policy", "set", path]).await?,
        ExitCode::from(USAGE)
    );
    // A date that does not exist is refused before anybody is asked.
    let words = [
        "recordings",
        "class",
        "s1",
        "--class",
        "loan",
        "--ends",
        "2026-02-29",
    ];
    assert!(run(&words).await.is_err());
    Ok(())
}

#[tokio::test]
async fn wrong_usage_has_its_own_code() -> Outcome {
    let missing = "no-such-directory";
    assert_eq!(
        run(&["evidence", "verify", missing]).await?,
        ExitCode::from(USAGE)
    );
    assert_eq!(
        run(&["status", "--data", missing]).await?,
        ExitCode::from(USAGE)
    );
    assert_eq!(
        run(&["demo", "--data", missing]).await?,
        ExitCode::from(USAGE)
    );
    assert!(
        run(&["sessions", "--state", "sleeping"]).await.is_err(),
        "clap refuses with 2 itself"
    );
    assert!(run(&["demo", "--calls", "0"]).await.is_err());
    Ok(())
}

#[tokio::test]
async fn nobody_there_has_its_own_code() -> Outcome {
    // Port 9 of the loopback has no listener: the kernel refuses at once.
    let words = [
        "nodes",
        "--url",
        "http://127.0.0.1:9",
        "--token",
        "x.y",
        "--json",
    ];
    assert_eq!(run(&words).await?, ExitCode::from(NOT_REACHABLE));
    Ok(())
}

#[tokio::test]
async fn openapi_needs_nobody() -> Outcome {
    assert_eq!(run(&["openapi"]).await?, ExitCode::SUCCESS);
    Ok(())
}

/// A file of the repository's profiles.
fn profile(name: &str) -> String {
    format!("{}/../../profiles/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn help_of_flow_names_its_commands_in_both_languages() {
    let mut parser = parser();
    let flow = parser.find_subcommand_mut("flow").expect("flow");
    let help = flow.render_help().to_string();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    assert_eq!(
        commands,
        [
            "  show       哪些区域之间可有哪些流转:表格、规范形式、图 / What may flow between which zones: a table, the canonical form, a picture",
            "  check      检查矩阵:错误、到期,及与部署的出入 / Check a matrix: faults, expiry, and where a deployment differs",
            "  diff       两版矩阵之差,逐条成句;--since:实际流转与矩阵之差 / What one version allows that another did not, in sentences; --since: what flowed beside what may",
            "  firewall   由矩阵生成主机防火墙规则(nftables) / Rules of a host's firewall (nftables), from the matrix alone",
            "  verify     从本机实测矩阵:该通者通、不该通者不通;--rules 另比对已加载的规则 / Try the matrix from this host: what is declared answers, nothing else does; --rules compares the rules that are loaded",
            "  reach      某角色失陷后能触及什么、不能触及什么 / What a role that was taken over reaches, and what not",
            "  matrix     集群现行的矩阵 / The matrix that the cluster has in force",
            "  plan       新矩阵与现行矩阵之差;--submit 提交 / What a new matrix changes; --submit proposes it",
            "  approve    批准待批准的一版,须两名授权人各以本人密钥 / Approve the version that is proposed; takes two officers, each with the own key",
            "  withdraw   撤回待批准的一版 / Take the version that is proposed back",
            "  undo       提交上一版,一步回退 / Propose the version before: one step back",
            "  history    历次版本:谁提出、谁批准、何时生效 / The versions: who proposed, who approved, in force since when",
            "  seen       各节点所见的流转、内核所见的套接字,与矩阵之出入 / What nodes and their kernels saw, and where it differs from the matrix",
            "  listeners  谁在监听、谁建立了连接;内区不接受外来连接 / Who listens, and who opened; the inner zone takes nothing from outside",
            "  denied     被拒绝的流转:来自何处、缘由 / What was refused, from where, and why",
            "  unused     从未用到的矩阵行 / Rows that nothing has used",
            "  plugins    有什么去往 AI 插件及其他外部系统 / What leaves for AI plug-ins and other systems outside",
            "  minute     流转日志的一分钟,其根与透明日志比对 / One minute of the flow log, its root compared with the transparency log's",
            "  help       Print this message or the help of the given subcommand(s)",
        ]
    );
}

#[tokio::test]
async fn a_flow_matrix_is_checked_without_anybody() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (matrix, demo) = (profile("demo.flows.toml"), profile("demo.toml"));
    let (matrix, demo) = (matrix.as_str(), demo.as_str());
    let on = ["--on", "2026-11-23"];
    let check = ["flow", "check", matrix, "--profile", demo];
    for more in [&[][..], &["--json"], &["--lang", "zh"]] {
        let words = [&check[..], &on, more].concat();
        assert_eq!(run(&words).await?, ExitCode::SUCCESS);
    }
    // Its rows have expired by then.
    let late = [&check[..], &["--on", "2029-01-01"]].concat();
    assert_eq!(run(&late).await?, ExitCode::from(FINDINGS));

    // An edge that would open inward is a finding, and for every other command no matrix.
    let bad = dir.path().join("bad.toml");
    let text = std::fs::read_to_string(matrix)?;
    std::fs::write(&bad, text.replace("opens = \"to\"", "opens = \"from\""))?;
    let bad = bad.to_str().ok_or("path")?;
    for more in [&[][..], &["--json"]] {
        let words = [&["flow", "check", bad][..], more].concat();
        assert_eq!(run(&words).await?, ExitCode::from(FINDINGS));
    }
    for words in [
        &["flow", "show", bad][..],
        &["flow", "diff", matrix, bad],
        &["flow", "reach", bad, "--from", "dmz/edge"],
        &["flow", "check", demo],
        &["flow", "check", "no-such-file"],
        &["flow", "reach", matrix, "--from", "dmz/core"],
        &["flow", "reach", matrix, "--from", "edge"],
    ] {
        assert_eq!(run(words).await?, ExitCode::from(USAGE), "{words:?}");
    }
    assert!(
        run(&["flow", "check", matrix, "--on", "2026-02-30"])
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn what_follows_from_a_flow_matrix_is_printed() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (matrix, demo) = (profile("demo.flows.toml"), profile("demo.toml"));
    let (matrix, demo) = (matrix.as_str(), demo.as_str());
    let svg = dir.path().join("flows.svg");
    let picture = svg.to_str().ok_or("path")?;
    for words in [
        &["flow", "show"][..],
        &["flow", "show", "--json"],
        &["flow", "show", matrix, "--canonical"],
        &["flow", "show", matrix, "--svg", picture, "--lang", "zh"],
        &["flow", "diff", matrix, matrix],
        &["flow", "diff", matrix, matrix, "--json"],
        &["flow", "reach", matrix, "--from", "dmz/edge"],
        &["flow", "reach", matrix, "--from", "dmz/edge", "--json"],
        &[
            "flow",
            "firewall",
            matrix,
            "--node-zone",
            "dmz",
            "--role",
            "edge",
            "--addresses",
            demo,
        ],
    ] {
        assert_eq!(run(words).await?, ExitCode::SUCCESS, "{words:?}");
    }
    assert!(std::fs::read_to_string(&svg)?.starts_with("<svg"));
    let nowhere = [
        "flow",
        "firewall",
        matrix,
        "--node-zone",
        "inner",
        "--role",
        "edge",
        "--addresses",
        demo,
    ];
    assert_eq!(run(&nowhere).await?, ExitCode::from(USAGE));
    // People have no rules; a role of another zone is none.
    for (zone, role, more) in [
        ("inner", "edge", None),
        ("outer", "customer", Some("--rules")),
    ] {
        let place = [
            "flow",
            "verify",
            matrix,
            "--node-zone",
            zone,
            "--role",
            role,
        ];
        let mut words = [&place[..], &["--addresses", demo]].concat();
        words.extend(more);
        assert_eq!(run(&words).await?, ExitCode::from(USAGE), "{words:?}");
    }
    Ok(())
}
