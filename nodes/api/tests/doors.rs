//! Both doors over a real tunnel: an edge and a single core node on loopback, asked as a browser asks.

mod world;

use guitai_crypto::sm2::SecretKey;
use guitai_types::{
    Hex, SessionId,
    record::{Participant, WrappedKey},
};
use serde_json::{Value, json};
use world::{Answer, Outcome, World};

fn media_key(key: &SecretKey) -> Value {
    json!(Hex(key.public().to_point().to_vec()))
}

fn open_body(key: &SecretKey) -> Value {
    json!({
        "institution": "bank", "queue": "retail", "customer": "王小明",
        "consent": { "recording": true, "wording": "2026-11", "at": 1 },
        "media_key": media_key(key),
    })
}

fn opens(key: &SecretKey, wrapped: &Value) -> Outcome<Vec<u8>> {
    let wrapped: WrappedKey = serde_json::from_value(wrapped.clone())?;
    Ok(key.decrypt(&wrapped.wrapped.0)?.to_vec())
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (status, Some(code)),
        "{answer:?}"
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
    for field in ["type", "title", "detail"] {
        assert!(
            answer.body[field]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{field}"
        );
    }
    for field in ["cause", "next"] {
        assert!(answer.body[field]["zh"].is_string() && answer.body[field]["en"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_the_catalogue_to_the_rating() -> Outcome {
    let world = World::new().await?;
    let (customer_key, agent_key) = (SecretKey::generate(), SecretKey::generate());

    let catalogue = world.edge("GET", "/api/v1/catalogue", None, None).await?;
    assert_eq!(
        catalogue.body["institutions"][0]["queues"][0]["id"],
        "retail"
    );
    assert!(
        catalogue
            .header("content-security-policy")
            .contains("frame-ancestors 'none'")
    );
    assert_eq!(
        catalogue.header("cross-origin-embedder-policy"),
        "require-corp"
    );

    let opened = world
        .edge(
            "POST",
            "/api/v1/tickets",
            None,
            Some(open_body(&customer_key)),
        )
        .await?;
    assert_eq!(
        (opened.status, &opened.body["view"]["phase"]["phase"]),
        (201, &json!("waiting"))
    );
    let ticket = opened.text("ticket")?;
    let token = opened.text("token")?;
    let path = |what: &str| format!("/api/v1/tickets/{ticket}{what}");

    let staff = world.login("wang", "right password").await?;
    let ready = json!({ "presence": "ready", "media_key": media_key(&agent_key) });
    let desk = world
        .core("PUT", "/api/v1/me/presence", Some(&staff), Some(ready))
        .await?;
    let ring = desk.body["ring"]["reservation"]
        .as_str()
        .ok_or("nothing rings")?
        .to_owned();
    let accept = format!("/api/v1/reservations/{ring}/accept");
    let desk = world
        .core("POST", &accept, Some(&staff), Some(json!({})))
        .await?;
    assert_eq!(desk.body["presence"], "busy", "{desk:?}");
    let session: SessionId = serde_json::from_value(desk.body["call"]["session"].clone())?;

    let view = world.edge("GET", &path(""), Some(&token), None).await?;
    let call = &view.body["phase"]["call"];
    assert_eq!(call["session"], json!(session));
    let key = opens(&customer_key, &call["media"]["key"])?;
    assert_eq!(key.len(), 32);
    assert_eq!(key, opens(&agent_key, &desk.body["call"]["media"]["key"])?);
    let recorder = Participant::Recorder {
        node: "core-1".parse()?,
    };
    assert_eq!(
        key,
        world.recorder_key(&session, &recorder)?,
        "the recorder may hear"
    );

    let step = json!({ "step": "identity" });
    let steps = format!("/api/v1/sessions/{session}/steps");
    let refused = world
        .core("POST", &steps, Some(&staff), Some(step.clone()))
        .await?;
    assert_problem(&refused, 409, "GT-0451");
    world.recording_runs(&session).await?;
    let added = world
        .core("POST", &steps, Some(&staff), Some(step.clone()))
        .await?;
    assert_eq!(added.status, 200, "{added:?}");
    let confirmed = world
        .edge("POST", &path("/confirm"), Some(&token), Some(step))
        .await?;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");

    let hung_up = json!({ "hang_up": true });
    let over = world
        .edge("POST", &path("/close"), Some(&token), Some(hung_up))
        .await?;
    assert_eq!(over.body["phase"]["reason"], "customer-hung-up");
    let stars = json!({ "stars": 4, "comment": "谢谢" });
    let rated = world
        .edge("POST", &path("/rating"), Some(&token), Some(stars))
        .await?;
    assert_eq!(rated.body["phase"]["stars"], 4);

    let listed = world
        .core("GET", "/api/v1/sessions?state=ended", Some(&staff), None)
        .await?;
    assert_eq!(listed.body[0]["id"], json!(session));
    let one = world
        .core(
            "GET",
            &format!("/api/v1/sessions/{session}"),
            Some(&staff),
            None,
        )
        .await?;
    let kinds: Vec<_> = one.body["events"]
        .as_array()
        .ok_or("no events")?
        .iter()
        .collect();
    assert!(
        kinds.iter().any(|event| event["kind"] == "confirmed"),
        "{kinds:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_lets_nothing_odd_through() -> Outcome {
    let world = World::new().await?;
    let key = SecretKey::generate();
    let post = async |change: fn(&mut Value)| {
        let mut body = open_body(&key);
        change(&mut body);
        world
            .edge("POST", "/api/v1/tickets", None, Some(body))
            .await
    };
    assert_problem(
        &post(|body| body["extra"] = json!(1)).await?,
        400,
        "GT-0400",
    );
    assert_problem(
        &post(|body| body["institution"] = json!("../x")).await?,
        400,
        "GT-0400",
    );
    assert_problem(
        &post(|body| body["customer"] = json!("<script>")).await?,
        400,
        "GT-0400",
    );
    assert_problem(
        &post(|body| body["media_key"] = json!("04")).await?,
        400,
        "GT-0400",
    );
    assert_problem(
        &post(|body| body["queue"] = json!("no-such")).await?,
        404,
        "GT-0404",
    );
    let silent = post(|body| body["consent"]["recording"] = json!(false)).await?;
    assert_problem(&silent, 400, "GT-0452");
    let large = post(|body| body["customer"] = json!("x".repeat(80_000))).await?;
    assert_problem(&large, 413, "GT-0413");
    assert_problem(
        &world.edge("GET", "/nothing/at/all", None, None).await?,
        404,
        "GT-0404",
    );

    let opened = world
        .edge("POST", "/api/v1/tickets", None, Some(open_body(&key)))
        .await?;
    let (ticket, token) = (opened.text("ticket")?, opened.text("token")?);
    let path = format!("/api/v1/tickets/{ticket}");
    assert_problem(&world.edge("GET", &path, None, None).await?, 401, "GT-0401");
    assert_problem(
        &world.edge("GET", &path, Some("a.b"), None).await?,
        401,
        "GT-0401",
    );
    let other = world
        .edge("GET", "/api/v1/tickets/other", Some(&token), None)
        .await?;
    assert_problem(&other, 403, "GT-0403");
    let staff = world.login("wang", "right password").await?;
    assert_problem(
        &world.edge("GET", &path, Some(&staff), None).await?,
        401,
        "GT-0401",
    );
    assert_problem(
        &world.core("GET", "/api/v1/me", Some(&token), None).await?,
        401,
        "GT-0401",
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_the_ticket_moves() -> Outcome {
    let world = World::new().await?;
    let (customer, agent) = (SecretKey::generate(), SecretKey::generate());
    let opened = world
        .edge("POST", "/api/v1/tickets", None, Some(open_body(&customer)))
        .await?;
    let (ticket, token) = (opened.text("ticket")?, opened.text("token")?);
    let mut events = world
        .edge_events(&format!("/api/v1/tickets/{ticket}/events"), &token)
        .await?;
    let first = events.next().await?;
    assert!(
        first.contains("event: ticket\n") && first.contains("\"phase\":\"waiting\""),
        "{first}"
    );
    assert!(first.starts_with("id: "), "{first}");

    let staff = world.login("wang", "right password").await?;
    let ready = json!({ "presence": "ready", "media_key": media_key(&agent) });
    world
        .core("PUT", "/api/v1/me/presence", Some(&staff), Some(ready))
        .await?;
    loop {
        if events.next().await?.contains("\"phase\":\"ringing\"") {
            return Ok(());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_duties() -> Outcome {
    let world = World::new().await?;
    let login = async |name: &str, password: &str| {
        let body = json!({ "institution": "bank", "name": name, "password": password });
        world.core("POST", "/api/v1/login", None, Some(body)).await
    };
    let (wrong, unknown) = (
        login("wang", "wrong").await?,
        login("nobody", "wrong").await?,
    );
    assert_problem(&wrong, 401, "GT-0402");
    assert_eq!(wrong.body, unknown.body, "a name that exists must not show");

    let agent = world.login("wang", "right password").await?;
    let auditor = world.login("zhou", "right password").await?;
    let me = world.core("GET", "/api/v1/me", Some(&agent), None).await?;
    assert_eq!(me.body["number"], "8001");
    let recordings = world
        .core("GET", "/api/v1/recordings", Some(&agent), None)
        .await?;
    assert_problem(&recordings, 403, "GT-0403");
    assert_eq!(
        world
            .core("GET", "/api/v1/recordings", Some(&auditor), None)
            .await?
            .status,
        200
    );
    let desk = world
        .core("GET", "/api/v1/desk", Some(&auditor), None)
        .await?;
    assert_problem(&desk, 403, "GT-0403");
    let package = world
        .core(
            "GET",
            "/api/v1/recordings/none/package",
            Some(&auditor),
            None,
        )
        .await?;
    assert_problem(&package, 404, "GT-0404");

    let status = world
        .core("GET", "/api/v1/status", Some(&auditor), None)
        .await?;
    assert_eq!(
        status.body["quorum"],
        json!({ "voters": 1, "up": 1, "needed": 1 })
    );
    let nodes = status.body["nodes"].as_array().ok_or("no nodes")?;
    assert!(nodes.iter().all(|node| node["up"] == true), "{nodes:?}");

    // The inventory asks the edge too, which answers over a connection opened from inside.
    let refused = world.core("GET", "/api/v1/crypto", Some(&agent), None);
    assert_problem(&refused.await?, 403, "GT-0403");
    let crypto = world.core("GET", "/api/v1/crypto", Some(&auditor), None);
    let crypto = crypto.await?.body;
    let names: Vec<_> = crypto["nodes"]
        .as_array()
        .ok_or("no inventory")?
        .iter()
        .map(|node| node["node"].clone())
        .collect();
    assert_eq!(
        names,
        ["core-1", "edge-1", "edge-2"].map(|name| json!(name))
    );
    assert_eq!(crypto["silent"], json!([]));
    assert_eq!(crypto["findings"], json!([]));

    // So do the keys: every node for itself, and to nobody but who may look at the machine.
    let refused = world.core("GET", "/api/v1/keys", Some(&agent), None);
    assert_problem(&refused.await?, 403, "GT-0403");
    let keys = world.core("GET", "/api/v1/keys", Some(&auditor), None);
    let keys = keys.await?.body;
    let rows: Vec<_> = keys["nodes"]
        .as_array()
        .ok_or("no keys")?
        .iter()
        .map(|node| (node["node"].clone(), node["keys"][0]["zone"].clone()))
        .collect();
    let expected = [("core-1", "inner"), ("edge-1", "dmz"), ("edge-2", "dmz")];
    assert_eq!(
        rows,
        expected.map(|(node, zone)| (json!(node), json!(zone)))
    );
    assert_eq!(keys["silent"], json!([]));

    // And which connections they saw; what no row declares is found.
    let refused = world.core("GET", "/api/v1/flows/seen", Some(&agent), None);
    assert_problem(&refused.await?, 403, "GT-0403");
    let seen = world.core("GET", "/api/v1/flows/seen", Some(&auditor), None);
    let seen = seen.await?.body;
    let found: Vec<_> = seen["findings"]
        .as_array()
        .ok_or("no findings")?
        .iter()
        .map(|it| (it["node"].clone(), it["fault"].clone()))
        .collect();
    let holes = ["edge-1", "edge-2"].map(|edge| (json!(edge), json!("socket")));
    assert_eq!(found, holes);
    assert_eq!(seen["silent"], json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn disaster_recovery_is_seen_live_by_those_who_may_look() -> Outcome {
    let world = World::new().await?;
    let (agent, auditor) = (
        world.login("wang", "right password").await?,
        world.login("zhou", "right password").await?,
    );
    for path in ["/api/v1/dr/live", "/api/v1/dr/runs/r-1/report/page"] {
        let refused = world.core("GET", path, Some(&agent), None).await?;
        assert_problem(&refused, 403, "GT-0403");
        let nobody = world.core("GET", path, None, None).await?;
        assert_problem(&nobody, 401, "GT-0401");
    }
    let page = "/api/v1/dr/runs/r-1/report/page";
    let none = world.core("GET", page, Some(&auditor), None).await?;
    assert_problem(&none, 404, "GT-0404");

    let live = world.core("GET", "/api/v1/dr/live", Some(&auditor), None);
    let live = live.await?.body;
    assert_eq!(live["node"], "core-1");
    assert_eq!(live["leader"], "core-1", "{live}");
    assert!(live["applied"].as_u64() > Some(0), "{live}");
    assert_eq!(live["silent"], json!([]), "edges are not asked");
    assert!(live.get("run").is_none(), "{live}");
    let nodes = live["nodes"].as_array().ok_or("no nodes")?;
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    assert_eq!(
        (&nodes[0]["node"], &nodes[0]["leads"], &nodes[0]["lanes"]),
        (&json!("core-1"), &json!(true), &json!([]))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_of_both_doors() -> Outcome {
    let world = World::new().await?;
    world.edge("GET", "/api/v1/catalogue", None, None).await?;
    for (answer, names) in [
        (
            world.edge("GET", "/metrics", None, None).await?,
            [
                "guitai_guard_tunnels 1",
                "guitai_guard_passed_total{way=\"inward\",kind=\"catalogue\"}",
            ],
        ),
        (
            world.core("GET", "/metrics", None, None).await?,
            [
                "guitai_meta_leader 1",
                "guitai_queue_waiting{institution=\"bank\",queue=\"retail\"} 0",
            ],
        ),
    ] {
        let text = answer.body.as_str().unwrap_or_default();
        for name in names {
            assert!(text.contains(name), "{name} is missing in\n{text}");
        }
    }
    assert_eq!(
        world.edge("GET", "/healthz", None, None).await?.body["node"],
        "edge-1"
    );
    assert_eq!(
        world.core("GET", "/healthz", None, None).await?.body["node"],
        "core-1"
    );
    let lonely = World::lonely_edge()?;
    assert_problem(&lonely.get("/healthz").await?, 503, "GT-0504");
    assert_problem(&lonely.get("/api/v1/catalogue").await?, 503, "GT-0504");
    Ok(())
}

/// One call as far as this: both pages and the recorder hold its first key.
struct Held {
    session: SessionId,
    ticket: String,
    token: String,
    staff: String,
}

async fn call(world: &World, customer: &SecretKey, agent: &SecretKey) -> Outcome<Held> {
    let opened = world
        .edge("POST", "/api/v1/tickets", None, Some(open_body(customer)))
        .await?;
    let staff = world.login("wang", "right password").await?;
    let ready = json!({ "presence": "ready", "media_key": media_key(agent) });
    let desk = world
        .core("PUT", "/api/v1/me/presence", Some(&staff), Some(ready))
        .await?;
    let ring = desk.body["ring"]["reservation"]
        .as_str()
        .ok_or("nothing rings")?
        .to_owned();
    let accept = format!("/api/v1/reservations/{ring}/accept");
    let desk = world
        .core("POST", &accept, Some(&staff), Some(json!({})))
        .await?;
    Ok(Held {
        session: serde_json::from_value(desk.body["call"]["session"].clone())?,
        ticket: format!("/api/v1/tickets/{}", opened.text("ticket")?),
        token: opened.text("token")?,
        staff,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_confirmation_reaches_the_desk_by_itself() -> Outcome {
    let world = World::new().await?;
    let (customer, agent) = (SecretKey::generate(), SecretKey::generate());
    let held = call(&world, &customer, &agent).await?;
    world.recording_runs(&held.session).await?;
    let mut desk = world
        .core_events("/api/v1/desk/events", &held.staff)
        .await?;
    let step = json!({ "step": "identity" });
    let confirm = format!("{}/confirm", held.ticket);
    let confirmed = world.edge("POST", &confirm, Some(&held.token), Some(step));
    assert_eq!(confirmed.await?.status, 200);
    // Nothing else happens from here on: the desk is told because of the confirmation, or never.
    loop {
        let event = desk.next().await?;
        let (_, data) = event.split_once("data: ").ok_or("no data")?;
        let view: Value = serde_json::from_str(data.trim())?;
        if view["call"]["confirmed"] == json!(["identity"]) {
            assert_eq!(view["call"]["done"], json!([]), "not done by it");
            return Ok(());
        }
    }
}

/// Region, date and check character are right; nobody has it.
const ID_CARD: &str = "11010519491231002X";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_in_a_call_is_masked_kept_and_shown_to_both() -> Outcome {
    let world = World::new().await?;
    let (customer, agent) = (SecretKey::generate(), SecretKey::generate());
    let held = call(&world, &customer, &agent).await?;
    let (outside, inside) = (
        format!("{}/messages", held.ticket),
        format!("/api/v1/sessions/{}/messages", held.session),
    );
    let say = |text: &str| Some(json!({ "text": text }));
    let early = world.edge("POST", &outside, Some(&held.token), say("你好"));
    assert_problem(&early.await?, 409, "GT-0451");
    world.recording_runs(&held.session).await?;
    let mut desk = world
        .core_events("/api/v1/desk/events", &held.staff)
        .await?;
    let text = format!("我的证件号是{ID_CARD},电话 13800138000");
    let said = world
        .edge("POST", &outside, Some(&held.token), say(&text))
        .await?;
    assert_eq!(said.status, 200, "{:?}", said.body);
    let masked = "我的证件号是**************002X,电话 13800138000";
    assert_eq!(said.body["body"]["text"], masked);
    // The desk is told by itself, and asks what was said.
    loop {
        let event = desk.next().await?;
        let (_, data) = event.split_once("data: ").ok_or("no data")?;
        let view: Value = serde_json::from_str(data.trim())?;
        if view["call"]["message"] == said.body["number"] {
            break;
        }
    }
    let mut page = world
        .edge_events(&format!("{}/events", held.ticket), &held.token)
        .await?;
    page.next().await?;
    let answered = world
        .core("POST", &inside, Some(&held.staff), say("好的,请稍候"))
        .await?;
    assert_eq!(answered.status, 200, "{:?}", answered.body);
    page.next().await?;
    for seen in [
        world.core("GET", &inside, Some(&held.staff), None).await?,
        world.edge("GET", &outside, Some(&held.token), None).await?,
    ] {
        assert_eq!(seen.body[0]["body"]["text"], masked);
        assert_eq!(seen.body[0]["from"], "customer");
        assert_eq!(seen.body[1]["body"]["text"], "好的,请稍候");
        let found = json!([
            { "rule": "id-card", "action": "mask", "count": 1 },
            { "rule": "phone", "action": "count", "count": 1 },
        ]);
        assert_eq!(seen.body[0]["found"], found);
    }
    let after = format!("{outside}?after={}", said.body["number"]);
    let later = world.edge("GET", &after, Some(&held.token), None).await?;
    assert_eq!(later.body.as_array().map(Vec::len), Some(1));

    // The event knows how much and what of, and nothing of what was said; nothing of it crossed in the clear.
    let path = format!("/api/v1/sessions/{}", held.session);
    let session = world.core("GET", &path, Some(&held.staff), None).await?;
    let events = session.body["events"].as_array().ok_or("no events")?;
    let event = events
        .iter()
        .find(|event| event["kind"] == "message")
        .ok_or("no event")?;
    assert_eq!(event["actor"], "customer");
    assert_eq!(event["details"]["found"], "id-card:mask=1 phone:count=1");
    let digest = guitai_crypto::sm3::hash(masked.as_bytes()).to_vec();
    assert_eq!(event["details"]["sm3"], Hex(digest).to_string());
    assert!(!session.body.to_string().contains("证件号"));
    assert!(
        world
            .crossed()
            .iter()
            .all(|message| !message.contains(ID_CARD))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_may_say_or_nobody_keeps_is_refused() -> Outcome {
    let world = World::new().await?;
    let (customer, agent) = (SecretKey::generate(), SecretKey::generate());
    let held = call(&world, &customer, &agent).await?;
    world.recording_runs(&held.session).await?;
    let outside = format!("{}/messages", held.ticket);
    let say = |text: String| json!({ "text": text });
    for (text, status, code) in [
        (String::new(), 400, "GT-0400"),
        ("王".repeat(501), 400, "GT-0400"),
        ("a\u{202e}b".to_owned(), 400, "GT-0400"),
        ("卡在 BLOCKED-1 这里".to_owned(), 422, "GT-0455"),
    ] {
        let said = world.edge("POST", &outside, Some(&held.token), Some(say(text)));
        assert_problem(&said.await?, status, code);
    }
    let other = world.edge("GET", &outside, Some(&held.staff), None).await?;
    assert_problem(&other, 401, "GT-0401");
    let inside = format!("/api/v1/sessions/{}/messages", held.session);
    let auditor = world.login("zhou", "right password").await?;
    let seen = world.core("GET", &inside, Some(&auditor), None).await?;
    assert_problem(&seen, 403, "GT-0403");
    world
        .shelves
        .is_full
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let said = world.edge(
        "POST",
        &outside,
        Some(&held.token),
        Some(say("你好".to_owned())),
    );
    assert_problem(&said.await?, 503, "GT-0457");
    let none = world.edge("GET", &outside, Some(&held.token), None).await?;
    assert_eq!(none.body, json!([]));
    world
        .shelves
        .is_full
        .store(false, std::sync::atomic::Ordering::Relaxed);
    let mut last = 200;
    for _ in 0..30 {
        let said = world.edge(
            "POST",
            &outside,
            Some(&held.token),
            Some(say("在吗".to_owned())),
        );
        last = said.await?.status;
    }
    assert_eq!(last, 429, "a pace is kept");
    let numbers = world.edge("GET", "/metrics", None, None).await?.body;
    let numbers = numbers.as_str().unwrap_or_default();
    let blocked = r#"guitai_guard_messages_total{kind="text",verdict="blocked"} 1"#;
    assert!(numbers.contains(blocked), "{numbers}");
    assert!(numbers.contains(r#"guitai_guard_found_total{rule="ticket",action="block"} 1"#));
    Ok(())
}

/// A PNG of two points, with a chunk of text that names its author.
const PNG: &str = concat!(
    "89504e470d0a1a0a0000000d49484452000000020000000108020000007b40e8dd0000001474455874417574",
    "686f720057616e67205869616f6d696e67d9b1a0df0000000f49444154789c63f8cfc0c0f09f010007ff01ff",
    "017f89a70000000049454e44ae426082",
);

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_made_anew_on_its_way_in_and_given_to_both() -> Outcome {
    let world = World::new().await?;
    let (customer, agent) = (SecretKey::generate(), SecretKey::generate());
    let held = call(&world, &customer, &agent).await?;
    world.recording_runs(&held.session).await?;
    let png = serde_json::from_value::<Hex>(json!(PNG))?.0;
    let outside = format!("{}/files", held.ticket);
    let inside = format!("/api/v1/sessions/{}/files", held.session);
    let to = format!("{outside}?name=%E5%90%88%E5%90%8C.png");
    let post = async |kind: &str, body: &[u8]| world.send_file(&to, &held.token, kind, body).await;
    let sent = post("image/png", &[&png[..], b"PK\x03\x04"].concat()).await?;
    assert_eq!(sent.status, 200, "{:?}", sent.body);
    assert_eq!(sent.body["body"]["file"]["name"], "合同.png");
    assert_eq!(sent.body["body"]["file"]["kind"], "png");
    let id = sent.body["id"].as_str().ok_or("no id")?;
    let of_agent = world
        .file(false, &format!("{inside}/{id}"), &held.staff)
        .await?;
    let of_customer = world
        .file(true, &format!("{outside}/{id}"), &held.token)
        .await?;
    assert_eq!(of_agent, of_customer);
    assert!(of_agent.starts_with(b"\x89PNG"));
    for gone in [&b"Wang"[..], b"PK\x03"] {
        assert!(
            !of_agent.windows(gone.len()).any(|it| it == gone),
            "{gone:?}"
        );
    }
    let path = format!("/api/v1/sessions/{}", held.session);
    let session = world.core("GET", &path, Some(&held.staff), None).await?;
    let events = session.body["events"].as_array().ok_or("no events")?;
    let event = events
        .iter()
        .find(|event| event["kind"] == "file")
        .ok_or("no event")?;
    let digest = guitai_crypto::sm3::hash(&of_agent).to_vec();
    assert_eq!(event["details"]["sm3"], Hex(digest).to_string());
    assert_eq!(event["details"]["type"], "png");
    assert!(
        !event.to_string().contains("合同"),
        "a name may say something"
    );

    // What is not what it says, or nothing that is known, goes no further than the edge.
    let crossed = world.crossed().len();
    assert_problem(&post("image/jpeg", &png).await?, 422, "GT-0456");
    assert_problem(&post("text/html", b"<script>").await?, 422, "GT-0456");
    assert_problem(
        &post("application/pdf", b"%PDF-1.7 no").await?,
        422,
        "GT-0456",
    );
    assert_problem(&post("image/png", &vec![7; 5 << 20]).await?, 413, "GT-0413");
    assert_eq!(world.crossed().len(), crossed);
    let other = format!("{outside}/0011");
    let none = world.edge("GET", &other, Some(&held.token), None).await?;
    assert_problem(&none, 404, "GT-0404");
    let auditor = world.login("zhou", "right password").await?;
    let seen = world
        .core("GET", &format!("{inside}/{id}"), Some(&auditor), None)
        .await?;
    assert_problem(&seen, 403, "GT-0403");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_media_key_changes_with_who_takes_part_and_never_crosses_the_guard() -> Outcome {
    let mut world = World::new().await?;
    let (customer, agent) = (SecretKey::generate(), SecretKey::generate());
    let held = call(&world, &customer, &agent).await?;
    let Held {
        session,
        ticket,
        token,
        staff,
    } = &held;
    let recorder = Participant::Recorder {
        node: "core-1".parse()?,
    };
    let mut plain = vec![world.recorder_key(session, &recorder)?];

    // The customer's page is loaded again: another key for all, none for the page before.
    let leave = json!({ "media_key": media_key(&customer) });
    let left = world
        .edge(
            "POST",
            &format!("{ticket}/leave"),
            Some(token),
            Some(leave.clone()),
        )
        .await?;
    let call = &left.body["phase"]["call"];
    assert_eq!(
        (&call["key"]["epoch"], &call["media"]["key"]["wrapped"]),
        (&json!(2), &json!(""))
    );
    assert_eq!(
        call["key"]["holders"].as_array().map(Vec::len),
        Some(2),
        "{call}"
    );
    plain.push(world.recorder_key(session, &recorder)?);
    let again = SecretKey::generate();
    let rejoin = json!({ "media_key": media_key(&again) });
    let back = world
        .edge(
            "PUT",
            &format!("{ticket}/key"),
            Some(token),
            Some(rejoin.clone()),
        )
        .await?;
    let wrapped = &back.body["phase"]["call"]["media"]["key"];
    assert_eq!(back.body["phase"]["call"]["media"]["epoch"], 3);
    assert!(
        opens(&customer, wrapped).is_err(),
        "the page before opens nothing"
    );
    let desk = world.core("GET", "/api/v1/desk", Some(staff), None).await?;
    let third = opens(&again, wrapped)?;
    assert_eq!(third, opens(&agent, &desk.body["call"]["media"]["key"])?);
    assert_eq!(third, world.recorder_key(session, &recorder)?);
    plain.push(third);
    // Late word of a page that is gone, and the same word twice, change nothing.
    for (method, what, body) in [("POST", "leave", leave), ("PUT", "key", rejoin)] {
        let path = format!("{ticket}/{what}");
        let same = world.edge(method, &path, Some(token), Some(body)).await?;
        assert_eq!(same.body["phase"]["call"]["media"]["epoch"], 3, "{same:?}");
    }

    // The call is handed over: who handed it over opens nothing more.
    let other = SecretKey::generate();
    let zhao = world.login("zhao", "right password").await?;
    let transfer = format!("/api/v1/sessions/{session}/transfer");
    let to = json!({ "to": "zhao" });
    let early = world
        .core("POST", &transfer, Some(staff), Some(to.clone()))
        .await?;
    assert_problem(&early, 409, "GT-0409");
    let list = format!("/api/v1/sessions/{session}/colleagues");
    let nobody = world.core("GET", &list, Some(staff), None).await?;
    assert_eq!(nobody.body, json!([]), "zhao is not ready yet");
    let ready = json!({ "presence": "ready", "media_key": media_key(&other) });
    world
        .core("PUT", "/api/v1/me/presence", Some(&zhao), Some(ready))
        .await?;
    let ready = world.core("GET", &list, Some(staff), None).await?;
    assert_eq!(ready.body[0]["id"]["name"], "zhao", "{ready:?}");
    assert_eq!(ready.body.as_array().map(Vec::len), Some(1));
    let not_theirs = world.core("GET", &list, Some(&zhao), None).await?;
    assert!(not_theirs.status >= 400, "{not_theirs:?}");
    let done = world.core("POST", &transfer, Some(staff), Some(to)).await?;
    assert_eq!(done.status, 204, "{done:?}");
    let desk = world.core("GET", "/api/v1/desk", Some(&zhao), None).await?;
    assert_eq!(desk.body["presence"], "busy");
    let wrapped = &desk.body["call"]["media"]["key"];
    assert!(opens(&agent, wrapped).is_err());
    plain.push(opens(&other, wrapped)?);
    let former = world.core("GET", "/api/v1/desk", Some(staff), None).await?;
    assert_eq!(
        (&former.body["presence"], &former.body["call"]),
        (&json!("wrap-up"), &Value::Null)
    );

    // The recorder's certificate is renewed: the leader sees to the next key by itself.
    world.renew_recorder().await?;
    let mut opened = None;
    for _ in 0..500 {
        opened = world.recorder_key(session, &recorder).ok();
        if opened.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    plain.push(opened.ok_or("the recorder with its new key pair has no media key")?);
    let view = world.edge("GET", ticket, Some(token), None).await?;
    assert_eq!(view.body["phase"]["call"]["media"]["epoch"], 5);

    assert_eq!(plain.len(), 5);
    assert!(plain.iter().all(|key| key.len() == 32));
    let crossed = world.crossed();
    assert!(
        crossed.len() > 8,
        "{} messages were looked at",
        crossed.len()
    );
    for key in &plain {
        let hex = Hex(key.clone()).to_string();
        assert!(crossed.iter().all(|message| !message.contains(&hex)));
        // Not even a part of it, however it is written.
        assert!(crossed.iter().all(|message| !message.contains(&hex[..16])));
    }
    assert_eq!(
        plain
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        5
    );
    Ok(())
}

/// The list of an edge once it says that both edges are alive.
async fn living_doors(world: &World) -> Outcome<Value> {
    for _ in 0..600 {
        let list = world.edge("GET", "/api/v1/doors", None, None).await?;
        let doors = list.body["doors"].as_array().ok_or("no list")?;
        if doors.len() == 2 && doors.iter().all(|door| door["alive"] == true) {
            return Ok(list.body);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err("the edge is not told of living doors".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_door_names_those_of_its_own_kind_and_lets_their_pages_ask() -> Outcome {
    let world = World::new().await?;
    let list = living_doors(&world).await?;
    assert_eq!(list["node"], "edge-1");
    let nodes: Vec<_> = list["doors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|door| door["node"].as_str())
        .collect();
    assert_eq!(nodes, [Some("edge-1"), Some("edge-2")]);
    let inner = world.core("GET", "/api/v1/doors", None, None).await?;
    assert_eq!(inner.body["doors"].as_array().map(Vec::len), Some(1));
    assert_eq!(inner.body["doors"][0]["node"], "core-1");

    // The page of another edge may ask, and is told before it does.
    let origin = list["doors"][1]["http"].as_str().ok_or("no origin")?;
    let path = "/api/v1/tickets/t/key";
    let asked = world.edge_from(origin, "OPTIONS", path).await?;
    assert_eq!(asked.status, 204);
    assert_eq!(asked.header("access-control-allow-origin"), origin);
    assert_eq!(
        asked.header("access-control-allow-methods"),
        "GET, POST, PUT"
    );
    let fields = "authorization, content-type, last-event-id, prefer";
    assert_eq!(asked.header("access-control-allow-headers"), fields);
    assert_eq!(asked.header("vary"), "origin");
    let got = world.edge_from(origin, "GET", "/api/v1/catalogue").await?;
    assert_eq!(
        (got.status, got.header("access-control-allow-origin")),
        (200, origin)
    );
    let policy = got.header("content-security-policy");
    assert!(
        policy.contains("connect-src 'self' https: ws: wss: http://"),
        "{policy}"
    );

    // Nobody else's page may: neither a stranger's, nor one of an inner door, nor a lookalike.
    let core = inner.body["doors"][0]["http"].as_str().ok_or("no origin")?;
    for stranger in [
        "https://evil.example",
        core,
        &format!("{origin}.evil"),
        "null",
    ] {
        for method in ["OPTIONS", "GET"] {
            let answer = world
                .edge_from(stranger, method, "/api/v1/catalogue")
                .await?;
            assert_eq!(
                answer.header("access-control-allow-origin"),
                "",
                "{stranger}"
            );
        }
        assert_ne!(
            world.edge_from(stranger, "OPTIONS", path).await?.status,
            204
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_through_another_edge() -> Outcome {
    let world = World::new().await?;
    let (customer, agent) = (SecretKey::generate(), SecretKey::generate());
    let held = call(&world, &customer, &agent).await?;
    let ticket = held
        .ticket
        .rsplit('/')
        .next()
        .ok_or("no ticket")?
        .to_owned();
    let path = format!("{}/events", held.ticket);
    let mut events = world.edge_events(&path, &held.token).await?;
    let before = events.next().await?;
    let seen = |event: &str| -> Outcome<u64> {
        let id = event
            .strip_prefix("id: ")
            .and_then(|rest| rest.lines().next());
        Ok(id.ok_or("no number")?.parse()?)
    };
    let last = seen(&before)?;
    drop(events);
    let mut events = world.edge_events(&path, &held.token).await?;
    assert_eq!(events.doors().await?["node"], "edge-1");
    drop(events);
    assert_eq!(world.edge_of(&ticket)?, "edge-1");

    // The same ticket, the same token, another edge: what was seen does not come again.
    let mut events = world.other_edge_events(&path, &held.token, last).await?;
    world.recording_runs(&held.session).await?;
    let after = events.next().await?;
    assert!(seen(&after)? > last, "{after}");
    assert!(after.contains("\"state\":\"running\""), "{after}");
    for _ in 0..600 {
        if world.edge_of(&ticket)? == "edge-2" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(world.edge_of(&ticket)?, "edge-2");
    let session = format!("/api/v1/sessions/{}", held.session);
    let view = world.core("GET", &session, Some(&held.staff), None).await?;
    assert_eq!(view.body["edge"], "edge-2");
    let moved: Vec<&Value> = view.body["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|event| event["kind"] == "moved")
        .collect();
    assert_eq!(moved.len(), 1);
    assert_eq!(
        moved[0]["details"],
        json!({ "from": "edge-1", "to": "edge-2" })
    );
    // Nobody was given another media key.
    assert_eq!(view.body["key"]["epoch"], 1);
    let same = world
        .other_edge("GET", &held.ticket, Some(&held.token), None)
        .await?;
    let media = &same.body["phase"]["call"]["media"];
    assert_eq!(
        opens(&customer, &media["key"])?,
        world.recorder_key(
            &held.session,
            &Participant::Recorder {
                node: "core-1".parse()?
            }
        )?
    );
    // Another ticket's token opens nothing there either.
    let other = world
        .other_edge("POST", "/api/v1/tickets", None, Some(open_body(&customer)))
        .await?;
    let token = other.text("token")?;
    let refused = world
        .other_edge("GET", &held.ticket, Some(&token), None)
        .await?;
    assert_problem(&refused, 403, "GT-0403");
    Ok(())
}
